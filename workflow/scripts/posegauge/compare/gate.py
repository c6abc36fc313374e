"""What differs between two runs, and whether their rows and conditions may be compared at all."""

from posegauge.report.parity import tier_columns
from posegauge.report.verdicts import NO_RESULT
from posegauge.score import tiers
from posegauge.study import BENCHMARKS, GIVEN, ROLES, RUNTIME_TITLES, SOURCE

HASH_DIGITS = 12


# Keys of the config that name a run or a comparison, or say where results go.
NAMES = ("run", "baseline", "candidate", "runs", "board")


RUNTIMES = {title: name for name, title in RUNTIME_TITLES.items()}


# ---------------------------------------------------------------------------------------- what differs


def flat(value, prefix: str = "") -> dict[str, object]:
    """Return nested dicts as one, with dotted keys; lists stay whole, but lists of dicts are numbered."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        value = {str(number): item for number, item in enumerate(value)}
    if not isinstance(value, dict):
        return {prefix: value}
    found = {}
    for key, item in value.items():
        found |= flat(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def differing(group: str, one: dict, other: dict) -> list[dict]:
    """Return {"group", "key", "baseline", "candidate"} for each key whose value differs."""
    one, other = flat(one), flat(other)
    return [
        {"group": group, "key": key, "baseline": _text(one.get(key)), "candidate": _text(other.get(key))}
        for key in dict.fromkeys((*one, *other))
        if one.get(key) != other.get(key)
    ]


def _text(value) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)


def _job(record: dict) -> dict[str, dict]:
    """Return what a job recorded about itself, by group."""
    source = record["provenance"]
    machine = dict(source.get("machine") or {})
    load = {"load_average": machine.pop("load_average", None)}
    artifacts = {
        role: str(used.get("sha256"))[:HASH_DIGITS] for role, used in (source.get("artifacts") or {}).items()
    }
    backend = {key: value for key, value in (source.get("backend") or {}).items() if key != "threads"}
    return {
        "machine": machine,
        "load": load,
        "threads": {"threads": source.get("threads")},
        "versions": source.get("versions") or {},
        "backend": backend,
        "artifacts": artifacts,
    }


def differences(baseline, candidate) -> list[dict]:
    """Return what differs between two runs, as {"group", "key", "baseline", "candidate", "rows"}.

    Machine, threads, versions and artifacts come from the jobs that measured: `rows` names the rows in which
    they differ so, and is None for what holds for the whole run. Nothing for the published run, which
    recorded none of it.
    """
    if baseline.published or candidate.published:
        return []
    one, other = baseline.record, candidate.record
    found = {}
    both = [
        name
        for name in BENCHMARKS
        if all(run.latency.get(name, {}).get("status") == "ok" for run in (baseline, candidate))
    ]
    for name in both:
        jobs = [_job(run.latency[name]) for run in (baseline, candidate)]
        for group in jobs[0]:
            for line in differing(group, jobs[0][group], jobs[1][group]):
                found.setdefault(tuple(line.values()), []).append(name)
    lines = [
        dict(zip(("group", "key", "baseline", "candidate"), key, strict=True)) | {"rows": rows}
        for key, rows in found.items()
        if key[0] != "load"  # changes from row to row; told in the notes where it was high
    ]
    if not both:
        machines = ({k: v for k, v in of["machine"].items() if k != "load_average"} for of in (one, other))
        lines += [line | {"rows": None} for line in differing("machine", *machines)]
        lines += [line | {"rows": None} for line in differing("versions", one["versions"], other["versions"])]
    configs = ({k: v for k, v in of["config"].items() if k not in NAMES} for of in (one, other))
    whole = differing("config", *configs)
    whole += differing("data", one["dataset"], other["dataset"])
    networks = ({role: _network(of, role) for role in ("detector", "pose")} for of in (one, other))
    whole += differing("networks", *networks)
    keys = ("git_revision",)
    whole += differing("revision", *({key: of.get(key) for key in keys} for of in (one, other)))
    return lines + [line | {"rows": None} for line in whole]


def _network(record: dict, role: str) -> dict:
    """Return what makes a network: its weights, by hash, and the size of its input."""
    model = record["models"].get(role) or {}
    digest = model.get("checkpoint_sha256") or model.get("onnx_sha256")
    return {"sha256": digest and str(digest)[:HASH_DIGITS], "input_size": model.get("input_size")}


# ------------------------------------------------------------------------------------ may it be compared


def run_faults(baseline, candidate) -> list[str]:
    """Return why nothing of two runs may be compared: other settings, networks or data."""
    if baseline.published or candidate.published:
        return []
    one, other = baseline.record, candidate.record
    faults = []
    # detect_every is for films, which are not compared.
    settings = [
        {key: value for key, value in (of["config"].get("pipeline") or {}).items() if key != "detect_every"}
        for of in (one, other)
    ]
    for line in differing("pipeline", *settings):
        faults.append(f"pipeline.{line['key']} is {line['baseline']} / {line['candidate']}")
    for role in ("detector", "pose"):
        networks = [_network(of, role) for of in (one, other)]
        for line in differing(role, *networks):
            faults.append(f"another {role}: {line['key']} {line['baseline']} / {line['candidate']}")
    hashes = [of["dataset"].get("annotations_sha256") for of in (one, other)]
    if hashes[0] != hashes[1]:
        names = " / ".join(str(of["dataset"].get("name")) for of in (one, other))
        faults.append(f"other images: the annotations differ ({names})")
    return faults


def row_faults(baseline, candidate, name: str) -> tuple[str, list[str]]:
    """Return (comparable | not comparable | not measured, why not) of one benchmark row of two runs."""
    records = {run: run.latency[name] for run in _pair(baseline, candidate)}
    missing = [
        f"{run.name}: {record['status']} ({record['reason']})"
        for run, record in records.items()
        if record["status"] in ("not run", NO_RESULT)
    ]
    if missing:
        return "not measured", list(dict.fromkeys(missing))
    told = [run for run in records if run.published]
    if told:
        faults = [f"{run.name}: no raw samples were kept; {records[run]['fault']}" for run in told]
        for run in told:
            images = [record["image"]["file_name"] for record in records.values() if record.get("image")]
            faults += [
                f"another image ({name}); published: {run.record['runs']}"
                for name in images
                if name not in run.record["runs"]
            ]
        return "not comparable", faults
    one, other = (records[run] for run in (baseline, candidate))
    faults = []
    if one["image"] != other["image"]:
        faults.append(f"another image ({one['image']['file_name']} / {other['image']['file_name']})")
    if one["persons"] != other["persons"]:
        faults.append(f"another number of persons in the image ({one['persons']} / {other['persons']})")
    artifact = BENCHMARKS[name].artifact.name
    faults += _artifact_faults(baseline, candidate, artifact, one, other)
    return ("not comparable" if faults else "comparable"), faults


def _pair(baseline, candidate) -> tuple:
    return (baseline,) if baseline is candidate else (baseline, candidate)


def _artifact_faults(baseline, candidate, artifact: str | None, one: dict, other: dict) -> list[str]:
    """Return why the artifacts of two records cannot be taken for the same.

    One that fails computes something else. Other bytes are fine when both keep 99 % of their source's AP (an
    engine is built anew on every machine), the same bytes when they were not compared.
    """
    vouched, faults = [], []
    for run in (baseline, candidate):
        tier = tier_of(run, artifact)
        vouched.append(tier not in (tiers.NOT_CHECKED, tiers.FAILS))
        if tier == tiers.FAILS:
            faults.append(f"{run.name}: {artifact} fails ({tier_columns(run.parity[artifact])['tier_note']})")
    hashes = [
        {role: used["sha256"] for role, used in (of["provenance"].get("artifacts") or {}).items()}
        for of in (one, other)
    ]
    same = hashes[0] == hashes[1] and bool(hashes[0])
    # Networks as they were given are the source of parity, so only their bytes can tell.
    given = any(_is_source(run, artifact) for run in (baseline, candidate))
    if not faults and not same and (not all(vouched) or given):
        shown = " / ".join(
            ", ".join(str(value)[:HASH_DIGITS] for value in of.values()) or "not recorded" for of in hashes
        )
        faults.append(f"another artifact ({shown}), and parity does not vouch for both")
    return list(dict.fromkeys(faults))


def tier_of(run, artifact: str | None) -> str:
    """Return the tier of an artifact in a run."""
    return tiers.SOURCE if _is_source(run, artifact) else tiers.of_record(run.parity.get(artifact)).tier


def _is_source(run, artifact: str | None) -> bool:
    """Say whether an artifact is what a run's other artifacts are compared with."""
    given = [run.record["models"].get(role) or {} for role in ROLES]
    checkpoints = [model.get("checkpoint_sha256") for model in given]
    return artifact == SOURCE.name or (artifact == GIVEN.name and all(given) and not any(checkpoints))


def condition_faults(baseline, candidate, name: str) -> list[str]:
    """Return why one image condition of two runs may not be compared."""
    records = {run: run.scores[name] for run in _pair(baseline, candidate)}
    told = [run for run in records if run.published]
    if told:
        faults = [f"{run.name}: {records[run]['fault']}" for run in told]
        counts = [run.scores[name]["images"] for run in (baseline, candidate)]
        if counts[0] != counts[1]:
            faults.append(f"another number of images ({counts[0]} / {counts[1]})")
        return faults
    one, other = (records[run] for run in (baseline, candidate))
    faults = []
    if one["images_sha256"] != other["images_sha256"]:
        faults.append(f"other images ({one['images']} / {other['images']})")
    for key in ("corruption", "severity", "person_thr", "score_thr", "nms_thr"):
        if one[key] != other[key]:
            faults.append(f"{key} is {one[key]} / {other[key]}")
    artifacts = [_condition_artifact(record) for record in (one, other)]
    if artifacts[0] == artifacts[1]:
        return faults + _artifact_faults(baseline, candidate, artifacts[0], one, other)
    for run, artifact in zip((baseline, candidate), artifacts, strict=True):
        if tier_of(run, artifact) in (tiers.NOT_CHECKED, tiers.FAILS):
            name = artifact or "an unknown artifact"
            faults.append(f"{run.name}: predicted by {name}, for which no parity vouches")
    return faults


def _condition_artifact(record: dict) -> str | None:
    """Return the name of the artifact that made the predictions of a condition."""
    backend = record["provenance"].get("backend") or {}
    runtime, device = RUNTIMES.get(backend.get("runtime")), backend.get("device")
    return f"{runtime}_{device}_fp32" if runtime and device else None
