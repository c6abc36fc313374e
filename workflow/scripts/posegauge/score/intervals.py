"""Statistics of a comparison: how sure is a ratio of two medians, or a difference of two scores?

The timed runs of one process are no independent samples: neighbours in time are alike (frequency, caches,
other load), and another process of the same program may be faster or slower as a whole. So
- within a process, circular blocks of a tenth of its runs are drawn instead of single runs (Politis and
  Romano, A circular block-resampling procedure for stationary data, 1992);
- with several processes in both runs, their medians are the samples (Kalibera and Jones, Rigorous
  benchmarking in reasonable time, 2013), compared by Welch's t on their logarithms, which holds for three of
  them, where a bootstrap of three values would be too sure;
- with one process, what processes differ by cannot be known from the run: PROCESS_SPREAD is allowed for it.
Everything is computed on logarithms, so that exchanging the two runs inverts every ratio and nothing else.
"""

import math
import zlib

import numpy as np
from scipy import stats

from posegauge.errors import PoseGaugeError
from posegauge.score.bootstrap import LEVEL

RESAMPLES = 2000


BLOCKS = 10


ALPHA = 1 - LEVEL


# A smaller ratio is no difference worth telling, however sure it is.
MINIMUM_EFFECT = 0.03


# Standard deviation of the logarithm of a process's median among processes of one program (docs/compare.md).
PROCESS_SPREAD = 0.03


# A smaller difference of AP or detection rate is none: the default of the parity gate max_ap_diff.
MINIMUM_SCORE_DIFFERENCE = 0.002


PERCENTILES = {"median": 50, "p95": 95, "p99": 99}


_CHUNK = 4_000_000  # samples drawn at a time


def split(samples, processes: int, where: str = "latency_ms") -> np.ndarray:
    """Return the samples of each process, float64 [processes, runs], from all in the order measured."""
    samples = np.asarray(samples, np.float64)
    if processes < 1 or len(samples) % processes or not len(samples):
        raise PoseGaugeError(
            f"{where}: {len(samples)} samples are not the same number from each of {processes} processes"
        )
    return samples.reshape(processes, -1)


def figures(samples: np.ndarray) -> dict[str, float]:
    """Return median, p95 and p99 of all samples together; samples: float64 [processes, runs]."""
    found = np.percentile(samples, list(PERCENTILES.values()))
    return dict(zip(PERCENTILES, found.tolist(), strict=True))


def resample(samples: np.ndarray, resamples: int = RESAMPLES) -> dict[str, np.ndarray]:
    """Return bootstrap replicates of the figures, float64 [resamples] each.

    Draws processes, and circular blocks of runs in each. The seed is a hash of the samples: the same run
    gives the same replicates on whichever side of a comparison it stands.
    """
    processes, runs = samples.shape
    generator = np.random.default_rng(zlib.crc32(samples.tobytes()))
    length = -(-runs // BLOCKS)
    count = -(-runs // length)
    parts = []
    step = max(1, _CHUNK // samples.size)
    for begin in range(0, resamples, step):
        size = min(step, resamples - begin)
        chosen = generator.integers(processes, size=(size, processes))
        starts = generator.integers(runs, size=(size, processes, count, 1))
        index = ((starts + np.arange(length)) % runs).reshape(size, processes, -1)[:, :, :runs]
        drawn = samples[chosen[:, :, None], index].reshape(size, -1)
        parts.append(np.percentile(drawn, list(PERCENTILES.values()), axis=1))
    return dict(zip(PERCENTILES, np.concatenate(parts, axis=1), strict=True))


def _bounds(replicates: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval of replicates."""
    low, high = np.percentile(replicates, (100 * ALPHA / 2, 100 * (1 - ALPHA / 2))).tolist()
    return low, high


def interval(replicates: np.ndarray) -> dict[str, float]:
    """Return {"low", "high"} of replicates."""
    low, high = _bounds(replicates)
    return {"low": low, "high": high}


def ratio(baseline: np.ndarray, candidate: np.ndarray, drawn: tuple[np.ndarray, np.ndarray]) -> dict:
    """Compare the medians of two rows.

    Args:
        baseline, candidate: samples, float64 [processes, runs].
        drawn: replicates of the two medians, float64 [resamples].

    Returns:
        {"ratio" (candidate / baseline: above 1 is slower), "low", "high", "p" (two-sided, not corrected),
        "test", "within_low", "within_high" (what the samples alone say, for `same`), "identical"}.
    """
    medians = [np.log(np.median(samples, axis=1)) for samples in (baseline, candidate)]
    value = float(medians[1].mean() - medians[0].mean())
    if baseline.shape == candidate.shape and np.array_equal(baseline, candidate):
        sure = dict.fromkeys(("ratio", "low", "high", "within_low", "within_high", "p"), 1.0)
        return {**sure, "test": "identical samples", "identical": True}
    if min(map(len, medians)) >= 2:
        low, high, p = _welch(*medians, value)
        within, test = (low, high), "Welch's t over process medians"
    else:
        within = _bounds(np.log(drawn[1]) - np.log(drawn[0]))
        spread = PROCESS_SPREAD * np.sqrt(sum(1 / len(found) for found in medians))
        margin = stats.norm.isf(ALPHA / 2) * spread
        low = value - np.hypot(max(value - within[0], 0.0), margin)
        high = value + np.hypot(max(within[1] - value, 0.0), margin)
        error = np.hypot(np.std(np.log(drawn[1]) - np.log(drawn[0])), spread)
        p = max(2 * stats.norm.sf(abs(value) / error), _block_test(baseline, candidate))
        test = "Mann-Whitney over block medians, and a spread between processes"
    names = ("ratio", "low", "high", "within_low", "within_high")
    values = (value, low, high, *within)
    found = {name: float(np.exp(logarithm)) for name, logarithm in zip(names, values, strict=True)}
    return {**found, "p": float(p), "test": test, "identical": False}


def _welch(baseline: np.ndarray, candidate: np.ndarray, value: float) -> tuple[float, float, float]:
    """Return (low, high, p) of the difference of two means; exact where nothing varies."""
    if not (np.ptp(baseline) or np.ptp(candidate)):
        return value, value, float(value == 0)
    test = stats.ttest_ind(candidate, baseline, equal_var=False)
    bounds = test.confidence_interval(LEVEL)
    return float(bounds.low), float(bounds.high), float(test.pvalue)


def _block_test(baseline: np.ndarray, candidate: np.ndarray) -> float:
    """Return the p of Mann and Whitney's test over the medians of BLOCKS parts of each process."""
    medians = [
        [np.median(block) for runs in samples for block in np.array_split(runs, min(BLOCKS, len(runs)))]
        for samples in (baseline, candidate)
    ]
    return float(stats.mannwhitneyu(*medians).pvalue)


def holm(values: list[float]) -> list[float]:
    """Return the p of each test corrected for their number (Holm, 1979)."""
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected


def latency_verdict(found: dict, corrected: float) -> str:
    """Return faster, slower, same or ambiguous. found: of ratio; corrected: its p after holm."""
    least = 1 + MINIMUM_EFFECT
    if corrected < ALPHA and found["low"] > 1 and found["ratio"] >= least:
        return "slower"
    if corrected < ALPHA and found["high"] < 1 and found["ratio"] <= 1 / least:
        return "faster"
    inside = 1 / least < found["within_low"] <= found["within_high"] < least
    return "same" if inside else "ambiguous"


def score_difference(baseline: float, candidate: float, replicates: tuple, paired: bool) -> dict:
    """Compare a score of two runs.

    Args:
        baseline, candidate: the scores.
        replicates: bootstrap replicates of each, float64 [resamples], or None with too few images.
        paired: whether replicate b drew the same images in both.

    Returns:
        {"difference" (candidate - baseline), "low", "high", "p"}; the last three None without replicates.
    """
    value = candidate - baseline
    unknown = {"difference": value, "low": None, "high": None, "p": None}
    if any(drawn is None or np.isnan(drawn).mean() > 0.5 for drawn in replicates):
        return unknown
    if paired:
        drawn = replicates[1] - replicates[0]
        low, high = _bounds(drawn[~np.isnan(drawn)])
        error = float(np.nanstd(drawn))
    else:
        error = float(np.hypot(*(np.nanstd(drawn) for drawn in replicates)))
        margin = stats.norm.isf(ALPHA / 2) * error
        low, high = value - margin, value + margin
    p = float(2 * stats.norm.sf(abs(value) / error)) if error else float(value == 0)
    return {"difference": value, "low": float(low), "high": float(high), "p": p}


def score_verdict(found: dict, corrected: float | None) -> str:
    """Return higher, lower, same or ambiguous. found: of score_difference; corrected: its p after holm."""
    if found["low"] is None:
        return "ambiguous"
    least = MINIMUM_SCORE_DIFFERENCE
    if corrected < ALPHA and found["high"] < 0 and found["difference"] <= -least:
        return "lower"
    if corrected < ALPHA and found["low"] > 0 and found["difference"] >= least:
        return "higher"
    return "same" if -least < found["low"] <= found["high"] < least else "ambiguous"


def geometric_mean(rows: list[dict]) -> dict | None:
    """Return {"ratio", "low", "high", "rows"} of the ratios of rows, or None without one.

    rows: of ratio, taken as independent; the interval adds up their errors on logarithms.
    """
    if not rows:
        return None
    logarithms = {key: np.log([row[key] for row in rows]) for key in ("ratio", "low", "high")}
    value = float(logarithms["ratio"].mean())
    below = np.linalg.norm(logarithms["ratio"] - logarithms["low"]) / len(rows)
    above = np.linalg.norm(logarithms["high"] - logarithms["ratio"]) / len(rows)
    ends = {"ratio": value, "low": value - below, "high": value + above}
    return {key: float(np.exp(end)) for key, end in ends.items()} | {"rows": len(rows)}


def median_interval(samples) -> tuple[float | None, float | None]:
    """Return the 95 % interval (low, high) of the median, from order statistics.

    The number of samples below the median is binomial with p = .5, whatever their distribution (Conover,
    Practical Nonparametric Statistics, 1999, section 3.2): the bounds are the samples with as many beyond
    them as leave at least 95 %. (None, None) with fewer than six, which cannot.
    """
    ordered, count = np.sort(np.asarray(samples, np.float64)), len(samples)
    beyond, outside = -1, 0.0
    while (outside := outside + math.comb(count, beyond + 1) / 2**count) <= (1 - LEVEL) / 2:
        beyond += 1
    return (None, None) if beyond < 0 else (float(ordered[beyond]), float(ordered[-1 - beyond]))


def median_between_processes(samples: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval (low, high) of the median that another run of the same program would have.

    samples: milliseconds, float64 [processes, runs]. Student's t over the logarithms of the processes'
    medians; with one process block resamples, widened by PROCESS_SPREAD.
    """
    middle = math.log(float(np.median(samples)))
    if len(samples) > 1:
        medians = np.log(np.median(samples, axis=1))
        half = stats.t.isf(ALPHA / 2, len(medians) - 1) * medians.std(ddof=1) / math.sqrt(len(medians))
        low, high = middle - half, middle + half
    else:
        margin = stats.norm.isf(ALPHA / 2) * PROCESS_SPREAD
        within = _bounds(np.log(resample(samples)["median"]))
        low = middle - math.hypot(max(middle - within[0], 0.0), margin)
        high = middle + math.hypot(max(within[1] - middle, 0.0), margin)
    return math.exp(low), math.exp(high)


MIN_ROUNDS = 6  # for an interval


def paired_ratio(ours, theirs, resamples: int, seed: int) -> dict:
    """Compare two ways: median of ours / median of theirs, {"value", "low", "high"}.

    ours, theirs: milliseconds [rounds]. The 95 % interval draws rounds with replacement, the same for both
    (paired); None with fewer than MIN_ROUNDS rounds.
    """
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    low = high = None
    if len(ours) >= MIN_ROUNDS:
        drawn = np.random.default_rng(seed).integers(len(ours), size=(resamples, len(ours)))
        replicates = np.median(ours[drawn], 1) / np.median(theirs[drawn], 1)
        low, high = np.percentile(replicates, (2.5, 97.5)).tolist()
    return {"value": float(np.median(ours) / np.median(theirs)), "low": low, "high": high}


def pass_means(latency_ms) -> np.ndarray:
    """Return the milliseconds per frame of each pass over a film, float64 [rounds]: of [rounds][frames]."""
    return np.mean(np.asarray(latency_ms, np.float64), axis=1)


ORIGINAL = "original"


def ratios_to_original(turns: list[dict]) -> list[dict]:
    """Compare the images per second of each way with those of the original, round by round.

    Returns a list of {"way", "condition", "ratio", "low", "high"}: the geometric mean over the rounds and the
    95 % interval of Student's t on the logarithms; no interval with one round, nothing without the original.
    """
    from scipy.stats import t

    speed = {(turn["way"], turn["condition"], turn["round"]): turn["images_per_s"] for turn in turns}
    found = []
    for way, condition in dict.fromkeys((turn["way"], turn["condition"]) for turn in turns):
        rounds = [number for name, where, number in speed if (name, where) == (ORIGINAL, condition)]
        if way == ORIGINAL or not rounds:
            continue
        logs = np.log([speed[way, condition, i] / speed[ORIGINAL, condition, i] for i in rounds])
        low = high = None
        if len(logs) > 1:
            half = t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
            low, high = np.exp([logs.mean() - half, logs.mean() + half]).tolist()
        ratio = float(np.exp(logs.mean()))
        found.append({"way": way, "condition": condition, "ratio": ratio, "low": low, "high": high})
    return found
