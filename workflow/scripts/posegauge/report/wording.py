"""Words that the sentences of all subjects share: values, changes, names of conditions, order."""

from posegauge.report.markdown import condition_title, spread
from posegauge.report.records import estimate
from posegauge.score.estimate import Estimate

HOLDS_FROM = 0.9  # detection rate from which a condition "holds", as in the original study


NAMED = 3  # conditions that a sentence tells with figures


# --------------------------------------------------------------------------------------------- words


def figure_text(figure: Estimate, **style) -> str:
    """Return '0.290 [0.276, 0.304]'; style as in markdown.spread."""
    return spread(figure.columns("x"), "x", **style)


def as_change(figure: Estimate) -> str:
    """Return '-0.290 [-0.304, -0.276]'."""
    return figure_text(figure, signed=True)


def as_points(figure: Estimate) -> str:
    """Return a difference of shares as '-15.0 points [-16.3, -13.7]'."""
    return figure_text(figure, digits=1, scale=100, unit=" points", signed=True)


def as_percent(figure: Estimate) -> str:
    """Return a share as '95.0 % [91.3, 98.5]'."""
    return figure_text(figure, digits=1, scale=100, unit=" %")


def name_of(record: dict) -> str:
    """Return the condition's title."""
    return condition_title(record["condition"])


def change_of(record: dict, clean: dict, metric: str) -> Estimate:
    """Return the change of a score of the detected boxes against clean."""
    return estimate(record, "detected", metric) - estimate(clean, "detected", metric)


def kept_share(record: dict, clean: dict, metric: str) -> Estimate:
    """Return the share of a score of clean images that a condition keeps."""
    return estimate(record, "detected", metric) / estimate(clean, "detected", metric)


def in_order(pairs) -> list[tuple]:
    """Return pairs (figure, what) from the lowest figure up, without the unknown ones."""
    return sorted((pair for pair in pairs if pair[0].value is not None), key=_value)


def by_size(pairs) -> list[tuple]:
    """Return pairs (figure, what) from the largest figure down, of either sign, without the unknown ones."""
    return sorted((pair for pair in pairs if pair[0].value is not None), key=_size, reverse=True)


def _value(pair: tuple) -> float:
    return pair[0].value


def _size(pair: tuple) -> float:
    return abs(pair[0].value)


# ----------------------------------------------------------------------------------- each condition


# The two scores of a condition: name, and how a value and a change of it are written.
METRICS = {
    "detection_rate": ("detection rate", as_percent, as_points),
    "ap": ("AP", figure_text, as_change),
}
