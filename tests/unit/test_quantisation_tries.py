"""The ways to INT8 and BF16: each is a line of the record, one that fails too, whoever scores the images."""

from pathlib import Path

import pytest
from demo_models import described, written_scenes

from helpers_config import load
from posegauge.data.annotations import read_annotations
from posegauge.measure import quantisation
from posegauge.models.int8 import Int8
from posegauge.report.quantisation import text
from posegauge.store import files
from posegauge.study import ROLES

IMAGES = 3
FINE, JUNK = Int8(), Int8(first=2)
WAYS = (
    quantisation.Try("as it is", None, quantisation.BOTH | {"onnxruntime": "fp32", "openvino": "fp32"}),
    quantisation.Try("first 4", FINE, {"onnxruntime": "int8"}),
    quantisation.Try("junk", JUNK, quantisation.BOTH),
    quantisation.Try("cannot be made", Int8(first=3), {"openvino": "int8"}),
)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict:
    """What measure takes, but for the ways: a config, and files of rendered scenes of two seeds."""
    folder, config = tmp_path_factory.mktemp("scenes"), load("config/config.yaml")
    config["models"] = described()
    config["parity"]["images"] = IMAGES
    ranges = written_scenes(folder / "ranges", IMAGES, 0, 32)
    return {
        "config": config,
        "files": written_scenes(folder / "scored", IMAGES, 0, 31),
        "calibration": {
            "images": ranges["images"],
            "entries": files.read_json(ranges["person_images"])["images"],
            "annotations": read_annotations(ranges["annotations"]),
            "from": "scenes",
            "scored": 0,
        },
    }


@pytest.fixture(scope="module")
def measured(given, demo_onnx, tmp_path_factory):
    """The records with one worker and with two."""
    convert = quantisation.convert_int8

    def made(source, path, batches, how, max_error):
        if how == JUNK:
            return Path(path).write_bytes(b"no ONNX")
        if how != FINE:
            raise ValueError("a shape that the quantiser does not know\nat length")
        return convert(source, path, batches, how=how, max_error=max_error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantisation, "TRIES", WAYS)
        patch.setattr(quantisation, "ROUNDS", 2)
        patch.setattr(quantisation, "convert_int8", made)
        return [
            quantisation.measure(
                given["config"],
                given["files"] | demo_onnx,
                given["calibration"],
                tmp_path_factory.mktemp("files"),
                1,
                workers,
            )
            for workers in (1, 2)
        ]


def test_every_way_is_a_line_and_one_that_fails_says_why(measured, tmp_path):
    record = measured[0]
    files.write_json(tmp_path / "quantisation.json", record, "quantisation.schema.yaml")
    expected = [(role, way.name, runtime) for role in ROLES for way in WAYS for runtime in way.runtimes]
    assert [(one["role"], one["name"], one["runtime"]) for one in record["tries"]] == expected
    for one in record["tries"]:
        if one["name"] in ("as it is", "first 4"):
            assert (one["status"], one["reason"]) == ("ok", None)
            assert one["ms"] > 0 and one["fp32_ms"] > 0
        else:
            assert (one["status"], one["ap"], one["ms"]) == ("not run", None, None)
            runtime = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}[one["runtime"]]
            told = {
                "junk": f"{runtime} cannot load this {one['role']}: ",
                "cannot be made": "no such file can be made: a shape that the quantiser does not know",
            }
            # Without the file's folder, which is gone.
            assert one["reason"].startswith(told[one["name"]]) and "\n" not in one["reason"]
    table = text(record, "Scenes")
    assert table.count("cannot load this") == 4 and "100.0 %" in table


def test_the_score_is_that_of_the_networks_however_many_score(measured):
    one, two = measured
    assert 0 < one["reference"]["ap"] <= 1 and one["reference"]["persons"] >= IMAGES
    assert one["reference"] == two["reference"]
    scores = [[(way["ap"], way["persons"]) for way in record["tries"]] for record in measured]
    assert scores[0] == scores[1]
    for way in one["tries"]:
        if way["name"] == "as it is":
            assert way["ap"] == pytest.approx(one["reference"]["ap"], abs=1e-3)
            assert way["persons"] == one["reference"]["persons"]
