"""Finished runs as folders: found by name or path, and checked against the hashes in their run.json.

Nothing heavy is imported here: the workflow reads this file to plan a comparison.
"""

import re
from pathlib import Path, PurePosixPath

from posegauge.errors import PoseGaugeError, nearest
from posegauge.store.files import read_json, read_schema, sha256_file, sha256_json

RESULTS = "results"


# What the study published, as a folder like that of a run (rule make_published_run).
PUBLISHED = "published-t4"


# Folders of results/ that are no runs.
RESERVED = ("compare", "board", "training", PUBLISHED)


# What a comparison or the board reads of a run, by folder inside it. Predictions and networks may be missing.
NEEDED = ("latency", "parity", "robustness", "detect_every")


def known(folder=RESULTS) -> list[str]:
    """Return the names of the finished runs in a folder, and that of the published one."""
    found = {path.parent.name for path in Path(folder).glob("*/run.json")}
    return sorted(found | {PUBLISHED})


def find(given: str, folder=RESULTS) -> Path:
    """Return the folder of a run: given is its name under results/, or a path to a folder (a copy, say).

    The published run need not exist, since the workflow makes it. Raises PoseGaugeError that names the
    nearest run when there is no such folder.
    """
    named, path = Path(folder) / given, Path(given)
    if named.is_dir() or given == PUBLISHED:
        return named
    if path == Path(folder) / PUBLISHED:
        return path
    if path.is_dir():
        return path
    near = nearest(path.name, known(folder))
    raise PoseGaugeError(
        f"no run '{given}': neither {named} nor a folder of that path exists{near}; runs here: "
        f"{', '.join(known(folder))}"
    )


def label(path) -> str:
    """Return the name of a run for files and tables: its folder's, in letters, digits, '.', '_', '-'."""
    name = Path(path).name
    name = Path(path).resolve().name if name in ("", "..") else name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"


def state(path) -> str:
    """Return a hash of names, sizes and times of the files that a comparison reads: has the run changed?"""
    path = Path(path)
    files = [path / "run.json", *(file for name in NEEDED for file in sorted((path / name).glob("*")))]
    stats = [(file.relative_to(path).as_posix(), file.stat()) for file in files if file.is_file()]
    return sha256_json([(name, found.st_size, found.st_mtime_ns) for name, found in stats])


# What to do about a damaged file of a run that may be a copy.
COPIED = "copy the whole folder of the run again, or run again"


def read_about(path) -> dict:
    """Return the run.json of a run folder; PoseGaugeError when there is none or it is no object."""
    path = Path(path)
    if not (path / "run.json").is_file():
        others = sorted(item.name for item in path.iterdir())[:8] if path.is_dir() else []
        there = f"; there is only {', '.join(others)}" if others else ""
        raise PoseGaugeError(
            f"{path}: is no finished run: run.json is missing, which is written last{there}. Finish the run, "
            "or copy its whole folder"
        )
    record = read_json(path / "run.json", COPIED)
    if not isinstance(record, dict):
        raise PoseGaugeError(f"{path}/run.json: expected an object with the keys of run.schema.yaml")
    if "config" in record and sha256_json(record["config"]) != record.get("config_sha256"):
        raise PoseGaugeError(
            f"{path}/run.json: config changed after the run ended (other sha256 than config_sha256); take "
            "the file of the run, or run again"
        )
    return record


def check_files(path, record: dict) -> list[str]:
    """Return the files of a run that a comparison reads, after comparing them with the hashes in run.json.

    Raises PoseGaugeError that names every file that is missing, else every one that was changed.
    """
    path = Path(path)
    files = record.get("files")
    if not isinstance(files, dict):
        raise PoseGaugeError(f"{path}/run.json: files: expected the sha256 of every result file, by path")
    needed = []
    for name in files:
        parts = PurePosixPath(str(name)).parts
        if PurePosixPath(str(name)).is_absolute() or ".." in parts or "\\" in str(name):
            raise PoseGaugeError(f"{path}/run.json: files: '{name}' does not lie inside the run's folder")
        if len(parts) == 2 and parts[0] in NEEDED:
            needed.append(name)
    if missing := [name for name in needed if not (path / name).is_file()]:
        raise PoseGaugeError(
            f"{path}: is incomplete: {', '.join(missing)} of run.json "
            f"{'is' if len(missing) == 1 else 'are'} missing; copy the whole folder, or run again"
        )
    if edited := [name for name in needed if sha256_file(path / name) != files[name]]:
        raise PoseGaugeError(
            f"{path}: {', '.join(edited)} changed after the run ended (other sha256 than in run.json); take "
            "the files of the run, or run again"
        )
    return needed


def check_version(path, record: dict, schema: str) -> None:
    """Raise PoseGaugeError when a file is of another version than its schema (a file name) describes."""
    expected = read_schema(schema)["properties"]["schema_version"]["const"]
    found = record.get("schema_version") if isinstance(record, dict) else None
    if found != expected:
        raise PoseGaugeError(
            f"{path}: is of schema version {found}, this program reads {expected} ({schema}): make both runs "
            "with the same version of the workflow"
        )
