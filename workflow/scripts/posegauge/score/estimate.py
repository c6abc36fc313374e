"""A score with its bootstrap replicates."""

from dataclasses import dataclass

import numpy as np

from posegauge.errors import PoseGaugeError
from posegauge.score import bootstrap


@dataclass(frozen=True)
class Estimate:
    """A figure with its replicates (float64 [resamples], or None), which follow it through every calculation.

    A value of None is unknown, and so is what is calculated from it.
    """

    value: float | None
    replicates: np.ndarray | None = None

    def _with(self, other: "Estimate", operation) -> "Estimate":
        if self.value is None or other.value is None:
            return Estimate(None)
        if self.replicates is None or other.replicates is None:
            return Estimate(float(operation(self.value, other.value)))
        if len(self.replicates) != len(other.replicates):
            raise PoseGaugeError(
                f"{len(self.replicates)} and {len(other.replicates)} bootstrap replicates cannot be paired: "
                "score both with the same bootstrap.resamples"
            )
        return Estimate(
            float(operation(self.value, other.value)), operation(self.replicates, other.replicates)
        )

    def __add__(self, other: "Estimate") -> "Estimate":
        return self._with(other, np.add)

    def __sub__(self, other: "Estimate") -> "Estimate":
        return self._with(other, np.subtract)

    def __truediv__(self, other: "Estimate") -> "Estimate":
        """Divide; a replicate divided by zero is NaN, and a value divided by zero unknown."""
        if other.value == 0:
            return Estimate(None)
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient = self._with(other, np.divide)
        if quotient.replicates is None:
            return quotient
        finite = np.isfinite(quotient.replicates)
        return Estimate(quotient.value, np.where(finite, quotient.replicates, np.nan))

    def interval(self) -> dict:
        """Return {"value", "low", "high"}; low and high are None where there are no replicates."""
        return bootstrap.estimate(self.value, self.replicates)

    def side(self) -> int | None:
        """Return on which side of 0 the interval lies, -1 or 1; 0 when 0 is in it; None without one."""
        bounds = self.interval()
        if bounds["low"] is None:
            return None
        return int(bounds["low"] > 0) - int(bounds["high"] < 0)

    def columns(self, name: str) -> dict:
        """Return {name, name_low, name_high} for a row of a table."""
        bounds = self.interval()
        return {name: bounds["value"], f"{name}_low": bounds["low"], f"{name}_high": bounds["high"]}


def mean(estimates) -> Estimate:
    """Return the mean of one or more estimates; unknown when one of them is."""
    estimates = list(estimates)
    total = estimates[0]
    for other in estimates[1:]:
        total = total + other
    count = len(estimates)
    if total.value is None:
        return total
    return Estimate(total.value / count, None if total.replicates is None else total.replicates / count)
