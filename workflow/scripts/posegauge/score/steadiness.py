"""Did the machine go at one speed while a row was timed?"""

import numpy as np

# Single slow runs show in P95. Where the medians of so many parts of a row, one after another, differ by more
# than this factor, the machine itself went at two speeds, and the mean is of neither.
PARTS, STEADY = 10, 1.25


def course(latency_ms: list[float]) -> list[float]:
    """Return the medians of PARTS parts of a row's runs, in order; of fewer than two runs to a part none."""
    if len(latency_ms) < 2 * PARTS:
        return []
    return [float(np.median(part)) for part in np.array_split(latency_ms, PARTS)]


def is_steady(latency_ms: list[float]) -> bool:
    """Say whether the parts of a row's runs are within STEADY of each other; too few runs cannot tell."""
    medians = course(latency_ms)
    return not medians or max(medians) <= STEADY * min(medians)
