"""How long the rest of a run takes, from what its jobs took so far and in earlier runs of the same folder."""

import base64
import binascii
import contextlib
import json
import statistics
from collections import Counter, defaultdict
from pathlib import Path

# From fewer finished jobs nothing is concluded.
MIN_JOBS = 3
# Of the jobs that are left, at least so many must be of a kind that has been seen.
MIN_KNOWN = 0.5


def duration(seconds: float) -> str:
    """Return '2.3 s', '48 s', '3 min 5 s' or '2 h 10 min'."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def about(seconds: float) -> str:
    """Return a duration as coarse as an estimate is: 'less than a minute', 'about 4 min', 'about 3 h'."""
    if seconds < 50:
        return "less than a minute"
    if seconds < 90 * 60:
        return f"about {max(1, round(seconds / 60))} min"
    return f"about {round(seconds / 1800) / 2:g} h"


def earlier_durations(metadata: Path) -> dict:
    """Return {folder of a run: {rule: seconds}} from the records that Snakemake keeps of every output."""
    found = defaultdict(lambda: defaultdict(list))
    for file in metadata.glob("*"):
        # A record may be of another version, or vanish meanwhile.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, binascii.Error):
            output = base64.b64decode(file.name, validate=True).decode()
            record = json.loads(file.read_text(encoding="utf-8"))
            found[folder(output)][record["rule"]].append(record["endtime"] - record["starttime"])
    return {
        run: {rule: statistics.median(times) for rule, times in rules.items()} for run, rules in found.items()
    }


def folder(output: str) -> str:
    """Return the folder of a run that an output lies in: 'results/demo', 'data/scenes-demo'."""
    return "/".join(Path(output).parts[:2])


class Estimate:
    """Counts jobs and says what is left of the time."""

    def __init__(self, counts: dict, earlier: dict | None = None):
        """`counts`: {rule: number of jobs to run}; `earlier`: what earlier_durations() returns."""
        self.left = Counter(counts)
        self.earlier = earlier or {}
        self.history = {}
        self.took = defaultdict(list)
        self.running = {}
        self.begin = None

    def started(self, job: int, rule: str, outputs: list, now: float) -> None:
        """Note that a job began; `now` in seconds."""
        self.begin = now if self.begin is None else self.begin
        self.running[job] = (rule, now)
        # A run of another name may have other models and images, so its times say nothing.
        for output in outputs:
            self.history |= self.earlier.pop(folder(output), {})

    def ended(self, job: int, now: float, succeeded: bool = True) -> float | None:
        """Note the end of a job and return how long it took in seconds."""
        if job not in self.running:
            return None
        rule, begin = self.running.pop(job)
        if succeeded:
            self.left[rule] -= 1
            self.took[rule].append(now - begin)
        return now - begin

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds left, or None while too little is known."""
        finished = [seconds for times in self.took.values() for seconds in times]
        left = {rule: count for rule, count in self.left.items() if count > 0}
        if not left or (len(finished) < MIN_JOBS and not self.history):
            return None
        expected = {rule: self._expected(rule) for rule in left}
        known = sum(count for rule, count in left.items() if expected[rule] is not None)
        if known < MIN_KNOWN * sum(left.values()):
            return None
        # The jobs of which nothing is known take as long as those of which something is.
        seen = sum(expected[rule] * count for rule, count in left.items() if expected[rule] is not None)
        work = seen * sum(left.values()) / known
        for rule, begin in self.running.values():
            if expected.get(rule) is not None:
                work -= min(now - begin, expected[rule])
        passed = now - self.begin if self.begin is not None else 0.0
        # Jobs beside each other so far; the rest is taken to go on like that.
        beside = max(1.0, sum(finished) / passed) if passed > 0 and finished else 1.0
        return max(0.0, work) / beside

    def _expected(self, rule: str) -> float | None:
        """Return the seconds of a job: this run's own, an earlier run's, those of rules that begin alike."""
        if self.took.get(rule):
            return statistics.median(self.took[rule])
        if rule in self.history:
            return self.history[rule]
        family = rule.partition("_")[0]
        alike = [s for name, times in self.took.items() if name.partition("_")[0] == family for s in times]
        return statistics.mean(alike) if alike else None
