"""Result files: whole or not at all, validated, hashed."""

import json

import jsonschema
import numpy as np
import pytest
import yaml

from posegauge.errors import PoseGaugeError
from posegauge.store import files


@pytest.mark.parametrize("path", sorted(files.SCHEMAS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_schema_is_a_schema_with_a_description_per_key(path):
    schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"]


def references(schema):
    """Yield every `$ref` of a schema."""
    if isinstance(schema, dict):
        yield from [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


@pytest.mark.parametrize("path", sorted(files.SCHEMAS.glob("*.yaml")), ids=lambda path: path.name)
def test_what_a_schema_points_to_is_there(path):
    for reference in references(files.read_schema(path.name)):
        file, _, place = reference.partition("#/")
        found = files.read_schema(file or path.name)
        for key in place.split("/"):
            found = found[key]
        assert found, reference


ENGINE = {
    "schema_version": 1,
    "kind": "engine",
    "role": "pose",
    "status": "not run",
    "reason": "no CUDA device",
    **dict.fromkeys(("engine", "engine_sha256", "bytes", "parts", "build_s", "layers")),
}


def test_a_record_is_read(tmp_path):
    files.write_json(tmp_path / "a.json", ENGINE, "engine.schema.yaml")
    assert files.read_record(tmp_path / "a.json", "engine.schema.yaml") == ENGINE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ('{"a": ', "not valid JSON"),
        ("[1]", "holds a list, expected a record; make it anew"),
        ({"kind": "model"}, "kind is 'model', expected 'engine'; make it anew"),
        ({"kind": None}, "kind is None, expected 'engine'; make it anew"),
        ({"schema_version": 7}, "schema_version is 7, expected 1; make it anew"),
        # In a file that engine.schema.yaml points to.
        ({"status": "maybe"}, "at status: 'maybe' is not one of .*; make it anew"),
        (
            {"bytes": "many"},
            "does not fit engine.schema.yaml at bytes: 'many' is not of type .*; make it anew",
        ),
        ({"extra": 1}, "at top level: Additional properties are not allowed .*; make it anew"),
    ],
)
def test_what_is_no_such_record_is_named_with_the_reason(text, message, tmp_path):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text if isinstance(text, str) else json.dumps(ENGINE | text))
    with pytest.raises(PoseGaugeError, match=rf"a\.json: .*{message}"):
        files.read_record(path, "engine.schema.yaml", "make it anew")


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "result.json"
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert list(target.parent.iterdir()) == []
    files.write_json(target, {"a": 1})
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert json.loads(target.read_text()) == {"a": 1}
    assert len(list(target.parent.iterdir())) == 1


def test_numpy_values_are_written_and_nan_becomes_null(tmp_path):
    data = {
        "mean": np.float32(1.5),
        "count": np.int64(3),
        "list": np.array([1.0, np.nan]),
        "inf": float("inf"),
    }
    files.write_json(tmp_path / "a.json", data)
    expected = {"mean": 1.5, "count": 3, "list": [1.0, None], "inf": None}
    assert files.read_json(tmp_path / "a.json") == expected


def test_a_result_that_does_not_fit_its_schema_is_not_written(tmp_path):
    with pytest.raises(PoseGaugeError, match=r"does not fit model\.schema\.yaml"):
        files.write_json(tmp_path / "a.json", {"kind": "model"}, "model.schema.yaml")
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_missing_files_are_named(tmp_path):
    with pytest.raises(PoseGaugeError, match=r"none\.json: no such file"):
        files.read_json(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(PoseGaugeError, match=r"half\.json: not valid JSON"):
        files.read_json(tmp_path / "half.json")


def test_the_hash_of_a_config_ignores_the_order_of_its_keys():
    assert files.sha256_json({"a": 1, "b": [2]}) == files.sha256_json({"b": [2], "a": 1})
    assert files.sha256_json({"a": 1}) != files.sha256_json({"a": 2})
