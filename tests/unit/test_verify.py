"""The check of a run against a reference: what agrees, what is too far off, and that the report says it."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from fake_results import fake_parity, fake_scores

from posegauge.compare import verify
from posegauge.compare.verify import check, collect, read_reference, report, summary
from posegauge.errors import PoseGaugeError
from posegauge.store.files import write_json

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "data/demo/reference.json"


@pytest.fixture(scope="module")
def reference() -> dict:
    return read_reference(REFERENCE)


@pytest.fixture
def found(reference) -> dict:
    return copy.deepcopy(reference)


def differing(reference: dict, found: dict, tmp_path) -> list[str]:
    """Names of the values that differ; every form of the report must name them."""
    verification = check(reference, found)
    write_json(tmp_path / "verify.json", verification, "verify.schema.yaml")
    names = [entry["value"] for entry in verification["checks"] if not entry["agrees"]]
    assert verification["agrees"] == (not names)
    head = report(verification).partition("## Every value")[0]
    for name in names:
        assert name in summary(verification) and name in head
    return names


def test_the_reference_agrees_with_itself(reference, found, tmp_path):
    assert differing(reference, found, tmp_path) == []
    assert "values agree" in summary(check(reference, found))


def test_the_committed_reference_is_that_of_the_config(reference):
    config = yaml.safe_load((ROOT / "config/verify.yaml").read_text(encoding="utf-8"))
    assert ROOT / config["reference"] == REFERENCE
    assert set(reference["persons"]) == set(config["conditions"])
    assert len(reference["inputs"]["images"]) == config["dataset"]["expected_person_images"]
    assert reference["tolerances"] == verify.TOLERANCES
    # A value that is always the same, whatever was computed, would verify nothing.
    assert all(0.3 < reference["values"][f"{name}.detected.ap"] < 1 for name in config["conditions"])


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("inputs", "seed", 2018),
        ("inputs", "pipeline.nms_thr", 0.5),
        ("inputs", "networks.pose.sha256", "0" * 64),
        ("inputs", "parity.onnxruntime_cpu_fp32.passes", False),
        ("values", "occlusion.detected.ap", 0.46),
        ("values", "clean.original.detection_rate", 5 / 12),
        ("values", "clean.annotated.ap", None),
    ],
)
def test_a_changed_value_is_named(reference, found, tmp_path, group, name, value):
    found[group][name] = value
    assert differing(reference, found, tmp_path) == [name]


def test_last_digits_may_differ(reference, found, tmp_path):
    for name in found["values"]:
        found["values"][name] += 1e-4 * ("rate" not in name)
    for persons in found["persons"].values():
        for person in persons:
            person[1] -= 1e-5
            person[2] += 0.01
    assert differing(reference, found, tmp_path) == []


@pytest.mark.parametrize(
    ("places", "shift", "distance"),
    [(range(2, 4), 0.5, "box_px_p95"), (range(6, 40), 0.25, "keypoint_px_p95"), ([1], 0.01, "box_score_max")],
)
def test_moved_persons_are_found(reference, found, tmp_path, places, shift, distance):
    for person in found["persons"]["occlusion"]:
        for place in places:
            person[place] += shift
    assert differing(reference, found, tmp_path) == [f"occlusion.persons.{distance}"]


def test_a_person_more_or_less_counts_unless_it_lies_at_a_threshold(reference, found, tmp_path):
    persons = found["persons"]["clean"]
    best = max(persons, key=lambda person: person[1])
    persons.remove(best)
    assert differing(reference, found, tmp_path) == ["clean.persons.unmatched_persons"]
    assert differing(found, reference, tmp_path) == ["clean.persons.unmatched_persons"]
    persons.append(best)
    persons.append([best[0], 0.4, 1, 1, 5, 5, *[0] * 34])
    assert differing(reference, found, tmp_path) == []


def test_what_is_missing_does_not_agree(reference, found, tmp_path):
    del found["persons"]["clean"], found["values"]["clean.clean.ap"]
    names = differing(reference, found, tmp_path)
    assert {"clean.clean.ap", "clean.persons.unmatched_persons"} == set(names)


def test_a_condition_in_which_nobody_is_found_agrees(reference, found, tmp_path):
    reference = copy.deepcopy(reference)
    for of in (reference, found):
        of["persons"]["clean"] = []
    assert differing(reference, found, tmp_path) == []
    weak = [1, 0.4, 1, 1, 5, 5, *[0] * 34]
    found["persons"]["clean"] = [weak]
    assert differing(reference, found, tmp_path) == []


def test_a_difference_of_versions_is_told_and_decides_nothing(reference, found):
    found["made_with"]["versions"]["onnxruntime"] = "9.9"
    verification = check(reference, found)
    assert verification["agrees"] and "versions.onnxruntime" in report(verification)


def test_values_are_collected_from_the_files_of_a_run(tmp_path):
    provenance = {
        "machine": {"cpu": {"model": "Fake", "usable_cores": 2}, "memory_bytes": 2**30, "gpus": []},
        "threads": 2,
    }
    keypoints = [value for number in range(17) for value in (number, 2 * number, 0.9)]
    predictions = [
        {"image_id": 7, "bbox": [1, 2, 3, 4], "keypoints": keypoints, "box_score": score}
        for score in (0.9, 0.2)
    ]
    files = {
        "scores": {"clean": fake_scores("clean") | {"provenance": provenance}},
        "predictions": {"detected": predictions},
        "parity": {"one": fake_parity("onnxruntime_cpu_fp32")},
        "models": {
            "pose": {"role": "pose", "checkpoint_sha256": None, "onnx_sha256": "b", "input_size": [4, 4]}
        },
    }
    paths = {key: [tmp_path / f"{key}.json"] for key in files}
    for key, of in files.items():
        write_json(paths[key][0], next(iter(of.values())))
    paths["person_images"] = tmp_path / "person_images.json"
    write_json(paths["person_images"], {"annotations_sha256": "a", "images": [{"file_name": "7.jpg"}]})
    config = {"seed": 1, "pipeline": {"bbox_thr": 0.3, "person_thr": 0.5}}
    record = collect(config, paths, {"command": "x", "git_revision": None, "versions": {}})
    write_json(tmp_path / "values.json", record, verify.SCHEMA)
    assert record["inputs"]["networks.pose.sha256"] == "b" and record["inputs"]["pipeline.bbox_thr"] == 0.3
    (person,) = record["persons"]["clean"]
    assert person[:6] == [7, 0.9, 1, 2, 3, 4] and person[6:10] == [0, 0, 1, 2] and len(person) == 40
    assert check(read_reference(tmp_path / "values.json"), record)["agrees"]


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", json.dumps({"kind": "reference", "values": {}})])
def test_a_damaged_reference_is_refused(tmp_path, text):
    (tmp_path / "reference.json").write_text(text)
    with pytest.raises(PoseGaugeError, match=r"reference\.json"):
        read_reference(tmp_path / "reference.json")
