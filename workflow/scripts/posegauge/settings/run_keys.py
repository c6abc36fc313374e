"""The check of the keys that name finished runs: those of a comparison, and those of the board."""

from posegauge.errors import PoseGaugeError, nearest
from posegauge.store import runs

SIDES = ("baseline", "candidate")


def compared(values):
    """Yield each fault of the two runs of a comparison; values: see check._Combinations.values."""
    given = values(*SIDES)
    if not given:
        return
    for side, other, name in zip(SIDES, reversed(SIDES), given, strict=True):
        if name is None:
            if any(given):
                yield f"{side}: is null, but {other} is set; name two runs, or none"
            continue
        try:
            runs.find(name)
        except PoseGaugeError as error:
            yield f"{side}: {error}"


def boarded(values):
    """Yield a line for every fault of the board's runs and of what it is asked."""
    for name in (values("runs") or [[]])[0]:
        try:
            if runs.label(runs.find(name)) == runs.PUBLISHED:
                yield f"runs: '{name}' is no run; board.published: true shows what the study published"
        except PoseGaugeError as error:
            yield f"runs: {error}"
    given = values("runs", "board.price_per_hour", "board.currency")
    if not given or given[1] is None:
        return
    names, price, currency = given
    if currency is None:
        yield "board.currency: is null, but board.price_per_hour is set; name the currency, like EUR"
    if isinstance(price, dict) and names:
        labels = [runs.label(name) for name in names]
        for name in price:
            if name not in labels:
                near = nearest(name, labels)
                yield f"board.price_per_hour: '{name}' is none of runs ({', '.join(labels)}){near}"
