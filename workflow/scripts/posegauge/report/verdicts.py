"""Which latency rows are results, and which row each has its speed-up against."""

from posegauge.report.markdown import DEVICE_TITLES
from posegauge.report.parity import TIER_COLUMNS, tier_columns
from posegauge.score import tiers
from posegauge.study import BENCHMARKS, GIVEN, PIPELINE_TITLES, RUNTIME_TITLES, SOURCE, Artifact, source_title

NO_RESULT = "no result"


def with_verdicts(records: list[dict]) -> list[dict]:
    """Return latency records in which a row that did other work than its reference is "no result", and why.

    A detect+pose row estimates as many poses as its own detector finds. The reference is the row of the
    networks as they were given: on the CPU if it ran, else on the GPU.
    """
    counted = {record["benchmark"]: record for record in records if record["persons"] is not None}
    judged = []
    for record in records:
        name = _row_of_source(record, counted, ("cpu", "cuda"))
        reference = counted[name] if name else record
        if record["status"] != "not run" and record["persons"] != reference["persons"]:
            count = record["persons"]
            reason = (
                f"finds {count or 'no'} person{'' if count == 1 else 's'} in the image, where "
                f"{reference['title']} finds {reference['persons'] or 'none'}"
            )
            # The reason of one that found nobody is its own.
            told = {"status": NO_RESULT, "reason": reason} if record["status"] == "ok" else {}
            record = record | told | {"other_persons": True}
        judged.append(record)
    return judged


def _sources(record: dict) -> set[str]:
    """Return the runtimes of what the networks of a row are compared with; PyTorch in old files."""
    return set((record.get("source") or {"pose": SOURCE.runtime}).values())


def plain_runtime(record: dict) -> str:
    """Return the runtime whose rows a row is compared with: PyTorch, or ONNX Runtime where ONNX is given."""
    return SOURCE.runtime if _sources(record) == {SOURCE.runtime} else GIVEN.runtime


def _row_of_source(record: dict, known: dict, devices) -> str | None:
    """Return the row among `known` of the same pipeline and the plain runtime on the first of `devices`."""
    for device in devices:
        for name, row in BENCHMARKS.items():
            same = PIPELINE_TITLES[row.pipeline] == record["pipeline"]
            if same and row.artifact == Artifact(plain_runtime(record), device) and name in known:
                return name
    return None


def row_tier(record: dict, parity: dict[str, dict]) -> dict:
    """Return the columns TIER_COLUMNS of a row; `parity` maps artifacts to their records.

    A row that finds other persons than its reference fails, whatever its artifact's AP on other images.
    """
    artifact = BENCHMARKS[record["benchmark"]].artifact
    found = parity.get(artifact.name)
    columns = dict.fromkeys(TIER_COLUMNS)
    if artifact in (SOURCE, GIVEN) and _sources(record) == {artifact.runtime}:
        return columns | {"tier": tiers.SOURCE}
    if found is None:
        note = f"not compared with {source_title(record.get('source'))}"
        columns |= {"tier": tiers.NOT_CHECKED, "tier_note": note}
    else:
        columns |= tier_columns(found)
    if record.get("other_persons"):
        columns |= {"tier": tiers.FAILS, "tier_note": record["reason"]}
    return columns


def baseline(record: dict, trusted: dict) -> str | None:
    """Return the row of `trusted` that `record` is compared with: that of the GPU, else of its own device.

    With networks given as ONNX that of the CPU, too, which is the source itself.
    """
    devices = ("cuda", record["device"])
    return _row_of_source(
        record, trusted, (*devices, "cpu") if plain_runtime(record) == GIVEN.runtime else devices
    )


def no_baseline(record: dict, ran: dict, trusted: dict) -> str:
    """Say why a row has no speed-up."""
    plain = [Artifact(plain_runtime(record), device) for device in ("cpu", "cuda")]
    names = [name for name, row in BENCHMARKS.items() if name in ran and row.artifact in plain]
    same = [name for name in names if ran[name]["pipeline"] == record["pipeline"]]
    if wrong := [name for name in same if name not in trusted]:
        return f"{BENCHMARKS[wrong[0]].title} fails"
    row = f"no {RUNTIME_TITLES[plain_runtime(record)]} row"
    return f"{row} ran on the {DEVICE_TITLES[record['device']]}" if same else f"{row} ran"
