"""Result files: written whole or not at all, hashed, and validated against their schema."""

import contextlib
import functools
import hashlib
import json
import math
import os
import tempfile
from pathlib import Path

import jsonschema
import referencing
import yaml

from posegauge.errors import PoseGaugeError, nearest

SCHEMA_VERSION = 1


SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"


@contextlib.contextmanager
def atomic_path(path):
    """Give a temporary path beside `path`; rename it to `path` when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept because OpenCV and matplotlib choose the format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _finite(value):
    """Replace NaN and infinities, which JSON has no word for, by None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    elif hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_schema(name: str) -> dict:
    """Return a schema of workflow/schemas, by file name."""
    return yaml.safe_load((SCHEMAS / name).read_text(encoding="utf-8"))


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return the validator of a schema of workflow/schemas; `$ref` names other files there."""

    def retrieve(uri: str) -> referencing.Resource:
        return referencing.Resource.from_contents(read_schema(uri))

    return jsonschema.Draft202012Validator(
        read_schema(name), registry=referencing.Registry(retrieve=retrieve)
    )


def _misfit(data, schema: str) -> str | None:
    """Say where and why `data` does not fit a schema; None when it does."""
    error = jsonschema.exceptions.best_match(validator(schema).iter_errors(data))
    if error is None:
        return None
    where = "/".join(str(part) for part in error.absolute_path) or "top level"
    return f"does not fit {schema} at {where}: {error.message}"


def write_json(path, data, schema: str | None = None, indent: int | None = 1) -> None:
    """Write `data` as JSON; with `schema` (a file name in workflow/schemas) validate it first.

    indent: of an object, None for a long one; lists are written on one line.

    Numpy numbers and arrays are accepted; NaN becomes null. Raises PoseGaugeError when `data` does not
    fit the schema: that is a fault of this code, and a wrong file is worse than none.
    """
    data = _finite(data)
    if schema and (fault := _misfit(data, schema)):
        raise PoseGaugeError(f"{path}: result {fault}")
    write_text(path, json.dumps(data, indent=indent if isinstance(data, dict) else None) + "\n")


def read_json(path, hint: str = "delete it and run again"):
    """Read a JSON file; PoseGaugeError names the file when it is missing or damaged.

    hint: what to do about a damaged one; the workflow makes it again where it has made it.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PoseGaugeError(f"{path}: no such file") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PoseGaugeError(f"{path}: not valid JSON ({error}); {hint}") from error


def read_record(path, schema: str, hint: str = "delete it and run again") -> dict:
    """Read a JSON file that holds one record, and hold it against its schema.

    Args:
        path: the file.
        schema: file name in workflow/schemas.
        hint: what to do about a file that does not fit.

    Raises:
        PoseGaugeError: the file is missing or not JSON, holds another kind of record or another version of
            it, or does not fit.
    """
    record, rules = read_json(path, hint), validator(schema).schema["properties"]
    if not isinstance(record, dict):
        raise PoseGaugeError(f"{path}: holds a {type(record).__name__}, expected a record; {hint}")
    for key in ("kind", "schema_version"):
        expected = rules[key]["const"]
        if record.get(key) != expected:
            raise PoseGaugeError(
                f"{path}: does not fit {schema}: {key} is {record.get(key)!r}, expected {expected!r}; {hint}"
            )
    if fault := _misfit(record, schema):
        raise PoseGaugeError(f"{path}: {fault}; {hint}")
    return record


def sha256_file(path) -> str:
    """Return the sha256 of a file as 64 hex digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(data) -> str:
    """Return the sha256 of `data` written as canonical JSON (sorted keys): the hash of a config, say."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


def read_records(paths, schema: str, key: str, registry: dict) -> list[dict]:
    """Read result files, validate them, and return them in the order of `registry`."""
    records = {}
    for path in paths:
        record = read_record(path, schema)
        name = record[key]
        if name not in registry:
            raise PoseGaugeError(f"{path}: unknown {key} '{name}'{nearest(name, registry)}")
        if name in records:
            raise PoseGaugeError(f"{path}: {key} '{name}' is given twice")
        records[name] = record
    return [records[name] for name in registry if name in records]
