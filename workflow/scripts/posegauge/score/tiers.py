"""Accuracy tiers: how much of its reference's AP does an artifact keep?

MLPerf's rule (Reddi et al., MLPerf Inference Benchmark, 2020, and its rules since): what runs a network may
lose 1 % of the reference's score on the same data, or .1 % in the stricter class, by the point estimate. An
AP above the reference's is no loss. Whether an artifact is exact its gates say, not its AP: see
measure.parity.
"""

from dataclasses import dataclass

SOURCE, EXACT, NOT_CHECKED, FAILS = "source", "exact", "not checked", "fails"


# Least share of the reference's AP, best tier first.
LEAST = {"99.9 %": 0.999, "99 %": 0.99}


# All that a row may have, best first. Source: what the others are compared with.
TIERS = (SOURCE, EXACT, *LEAST, NOT_CHECKED, FAILS)


# A quotient of two APs is off by less in float64, so that .999 times an AP has the share .999.
ROUNDING = 1e-9


def of_share(share: float) -> str:
    """Return the tier of a share of the reference's AP."""
    return next((name for name, least in LEAST.items() if share >= least - ROUNDING), FAILS)


def rank(tier: str) -> int:
    """Return the place of a tier in TIERS, for sorting: 0 is the best."""
    return TIERS.index(tier)


@dataclass(frozen=True)
class Verdict:
    """The tier of an artifact, and the share of its reference's AP that gives it, with its interval."""

    tier: str
    share: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def others(self) -> list[str]:
        """The other tiers that its interval reaches into, best first; exact asks for no AP, so for none."""
        if self.share is None or self.low is None or self.tier not in (*LEAST, FAILS):
            return []
        best, worst = rank(of_share(self.high)), rank(of_share(self.low))
        within = [tier for tier in (*LEAST, FAILS) if best <= rank(tier) <= worst]
        return [tier for tier in within if tier != self.tier]

    @property
    def told(self) -> bool:
        """Whether there are images enough to tell the tier; exact is told by the gates."""
        if self.share is None or self.tier not in (*LEAST, FAILS):
            return True
        return self.low is not None and not self.others


def of_record(record: dict | None) -> Verdict:
    """Return the tier of a parity record; without one, or where nothing was compared, it is not checked.

    Records from before shares were recorded have one without an interval. Past a gate, and without an AP of
    the reference or with one of 0, nothing can be told but that the artifact is not exact: it fails.
    """
    if record is None or record["status"] != "ok":
        return Verdict(NOT_CHECKED)
    share = record.get("ap_share")
    if share is None:
        ours, theirs = (record[name]["value"] for name in ("ap_artifact", "ap_source"))
        share = {"value": ours / theirs if ours is not None and theirs else None, "low": None, "high": None}
    tier = FAILS if share["value"] is None else of_share(share["value"])
    return Verdict(EXACT if record["passes"] else tier, share["value"], share["low"], share["high"])
