"""The config check: keys that belong together, and the files that they name."""

import zipfile
from dataclasses import fields
from pathlib import Path

import pytest

import helpers_onnx
from helpers_config import ROOT, load, only_problem, problems, put
from posegauge.errors import PoseGaugeError
from posegauge.pipeline.steps import Settings
from posegauge.settings import calibration_keys, check, parts
from posegauge.study import (
    PIPELINE_KEYS,
)


@pytest.fixture
def config() -> dict:
    return load("config/config.yaml")


def folder_config(config, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "a.json").write_text("{}")
    config["dataset"].update(
        kind="folder", images=str(tmp_path / "images"), annotations=str(tmp_path / "a.json")
    )
    return config


def test_folder_passes(config, tmp_path):
    check.check(folder_config(config, tmp_path))


def test_the_users_annotations_are_not_written_over(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = folder_config(config, tmp_path)
    (tmp_path / "data/mine").mkdir(parents=True)
    (tmp_path / "a.json").rename(tmp_path / "data/mine/read_annotations.json")
    config["dataset"].update(name="mine", annotations="data/mine/read_annotations.json")
    assert "is written by the workflow; name it otherwise" in only_problem(config)


@pytest.mark.parametrize("key", ["images", "annotations"])
def test_folder_needs_paths(config, tmp_path, key):
    config = folder_config(config, tmp_path)
    config["dataset"][key] = None
    assert only_problem(config) == f"dataset.{key}: is null, but kind folder needs the path of your {key}"
    config["dataset"][key] = str(tmp_path / "missing.json")
    assert only_problem(config).startswith(f"dataset.{key}: no ")


def test_a_path_may_hold_anything_but_braces(config, tmp_path):
    config, folder = (
        folder_config(config, tmp_path),
        tmp_path / """My [x] 'q' "d" ünï; -é & (1) #% $HOME *?""",
    )
    (tmp_path / "images").rename(folder)
    config["dataset"]["images"] = str(folder)
    check.check(config)
    # Snakemake has no way to say that they are meant as they are.
    braces = tmp_path / "a{b}c"
    folder.rename(braces)
    config["dataset"]["images"] = str(braces)
    assert only_problem(config).startswith(f"dataset.images: '{braces}' has a brace in it")
    (tmp_path / "link").symlink_to(braces)
    config["dataset"]["images"] = str(tmp_path / "link")
    check.check(config)


def test_the_home_folder_may_be_said_as_usual(config, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = folder_config(config, tmp_path)
    config["dataset"]["images"] = "~/images"
    found = parts.find_files(config, ROOT, absolute=False)
    assert found["dataset"]["images"] == str(tmp_path / "images")


@pytest.mark.parametrize("name", ["a{b}c", "a{", "{{role}}"])
def test_a_repository_in_a_folder_with_braces_is_refused(name):
    with pytest.raises(PoseGaugeError, match="Rename the folder"):
        check.check_folder(Path("/home/me") / name / "posegauge")
    check.check_folder(Path("/home/me/My [Projects] 'é' $HOME"))


@pytest.mark.parametrize(
    ("kind", "given", "found"),
    [
        ("coco", "auto", "train2017"),
        ("scenes", "auto", "scenes"),
        ("folder", "auto", "scenes"),
        ("coco", "scenes", "scenes"),
        ("scenes", "train2017", "train2017"),
        ("folder", "dataset", "dataset"),
        ("coco", {"images": "a", "annotations": "b"}, "folder"),
    ],
)
def test_what_sets_the_ranges_of_int8(config, kind, given, found):
    assert config["precision"]["calibration"] == "auto"
    config["dataset"]["kind"], config["precision"]["calibration"] = kind, given
    assert calibration_keys.kind(config) == found


def test_a_folder_that_sets_the_ranges_of_int8(config, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "a.json").write_text("{}")
    own = {"images": str(tmp_path / "images"), "annotations": str(tmp_path / "a.json")}
    put(config, "precision.calibration", own)
    assert check.check(config)["precision"]["calibration"] == own
    own["annotations"] = str(tmp_path / "b.json")
    assert only_problem(config).startswith(
        f"precision.calibration.annotations: no file '{own['annotations']}'"
    )
    own["annotations"] = str(tmp_path / "{b}.json")
    assert "precision.calibration.annotations" in problems(config)[0] and "brace" in problems(config)[0]
    del own["annotations"]
    assert only_problem(config).startswith("precision.calibration.annotations: is missing; auto, scenes, ")
    put(config, "precision.calibration", {**own, "annotations": str(tmp_path / "a.json"), "max_images": 3})
    assert only_problem(config).startswith("precision.calibration.max_images: unknown key")


@pytest.mark.parametrize("given", ["val2017", "/some/folder", 3, ["a"], None])
def test_what_cannot_set_the_ranges_of_int8(config, given):
    put(config, "precision.calibration", given)
    line = only_problem(config)
    assert line.startswith("precision.calibration: is ")
    assert "expected auto, scenes, train2017, dataset, or a folder of your own as {images: ..." in line


def test_scenes_must_add_up(config):
    config["dataset"].update(kind="scenes", expected_person_images=50)
    check.check(config)
    config["dataset"]["scenes"]["images"] = 20
    assert "20 scenes, 10 of them empty, leave 10; say so, or null" in only_problem(config)
    config["dataset"]["scenes"]["images"] = 10
    assert "dataset.scenes.empty: is 10, expected less than" in only_problem(config)


def test_onnx_models(config, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"")
    config["robustness"]["runtime"] = "onnxruntime"
    for name in ("detector", "pose"):
        config["models"][name].update(config=None, checkpoint=None, onnx=str(model))
    check.check(config)
    config["robustness"]["runtime"] = "pytorch"
    assert "models.detector and models.pose is an ONNX file; say onnxruntime" in only_problem(config)


def test_video_is_not_written_over_itself(config, tmp_path):
    (tmp_path / "clip.mp4").touch()
    config["video"] |= {"input": f"{tmp_path}/clip.mp4", "output": f"{tmp_path}/../{tmp_path.name}/clip.mp4"}
    assert "video.output: is the input" in only_problem(config)
    config["video"]["output"] = "null"  # what make writes where no OUT is given
    assert check.check(config)["video"]["output"] is None


def test_a_film_is_not_measured_with_random_weights(config, tmp_path):
    (tmp_path / "clip.mp4").touch()
    config["detect_every"]["clip"] = str(tmp_path / "clip.mp4")
    check.check(config)
    config["models"]["pose"]["checkpoint"] = None
    assert "detect_every.clip: is set, but a model has random weights" in only_problem(config)


def test_the_keys_of_one_image_are_those_of_the_thresholds(config):
    """All of `pipeline` but detect_every, so that no row runs again for what is for films."""
    keys = {f"pipeline.{key}" for key in config["pipeline"]} - {"pipeline.detect_every"}
    assert set(PIPELINE_KEYS) == keys == {f"pipeline.{entry.name}" for entry in fields(Settings)}
    assert Settings.of(config["pipeline"]) == Settings()


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        ({}, ("pytorch", "auto")),
        ({"runtime": "onnxruntime"}, ("onnxruntime", "auto")),
        ({"device": "cpu"}, ("pytorch", "cpu")),
        ({"runtime": "tensorrt", "device": "cpu"}, ("tensorrt", "cuda")),
    ],
)
def test_video_runs_as_the_robustness_pass_unless_told(config, video, expected):
    config["video"] |= video
    assert check.video_backend(check.check(config)) == expected


def test_model_is_not_both(config, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"")
    config["robustness"]["runtime"] = "onnxruntime"
    config["models"]["pose"]["onnx"] = str(model)
    assert only_problem(config).startswith("models.pose: has onnx and config and checkpoint;")


def test_onnx_must_exist_outside_data(config):
    config["robustness"]["runtime"] = "onnxruntime"
    config["models"]["pose"].update(config=None, checkpoint=None, onnx="no.onnx")
    assert only_problem(config).startswith("models.pose.onnx: no file 'no.onnx'")
    config["models"]["pose"]["onnx"] = "data/downloads/no.onnx"
    check.check(config)


def test_model_files_are_looked_into_where_that_is_asked_for(config, tmp_path):
    config["robustness"]["runtime"] = "onnxruntime"
    with zipfile.ZipFile(tmp_path / "detector.onnx", "w") as archive:
        archive.writestr("rtmdet/end2end.onnx", b"")
    helpers_onnx.write(tmp_path / "pose.onnx", helpers_onnx.simcc(26))
    for role in ("detector", "pose"):
        config["models"][role].update(config=None, checkpoint=None, onnx=f"{tmp_path}/{role}.onnx")
    config["models"]["pose"]["input_size"] = list(helpers_onnx.SIZE)
    check.check(config)
    with pytest.raises(PoseGaugeError) as told:
        check.check(config, read_models=True)
    assert "2 problems" in str(told.value)
    assert "a zip archive that holds rtmdet/end2end.onnx: unpack that one and name it" in str(told.value)
    assert "models.pose.onnx:" in str(told.value) and "has 26 keypoints, 17 expected" in str(told.value)
    helpers_onnx.write(tmp_path / "detector.onnx", {"dets": helpers_onnx.dets()}, (1, 3, 640, 640))
    config["models"]["pose"]["keypoints"] = "halpe26"
    check.check(config, read_models=True)


def test_a_checkpoint_that_is_none_is_told(config, tmp_path):
    page = tmp_path / "rtmpose.pth"
    page.write_text("<!DOCTYPE html><html>404</html>")
    config["models"]["pose"]["checkpoint"] = str(page)
    check.check(config)
    with pytest.raises(PoseGaugeError, match=r"rtmpose\.pth: is not a PyTorch checkpoint but a web page"):
        check.check(config, read_models=True)


def test_pixels_are_a_name_or_three_keys(config):
    pixels = {"mean": [0, 0, 0], "std": [255, 255, 255.0], "to_rgb": True}
    for value in ("yolox", "rtmpose", pixels):
        put(config, "models.detector.pixels", value)
        check.check(config)
    for value, said in (
        ("yolov8", "is the text 'yolov8', expected rtmdet, rtmpose, yolox"),
        (
            pixels | {"std": [255, 0, 255]},
            "models.detector.pixels.std[1]: is the number 0, expected a number above 0",
        ),
        ({"mean": [0, 0, 0]}, "models.detector.pixels.std: is missing; rtmdet, rtmpose, yolox"),
    ):
        put(config, "models.detector.pixels", value)
        with pytest.raises(PoseGaugeError) as told:
            check.check(config)
        assert said in str(told.value)


def test_values_of_the_command_line(config):
    """Snakemake hands over what stands inside {} and [] of --config as text."""
    config["benchmark"].update(runs="20", image="null")
    config["pipeline"]["nms_thr"] = "0.5"
    config["models"]["pose"]["input_size"] = ["288", "384"]
    config["threads"] = "2"
    config["robustness"]["threads"] = "1"
    config["asset_mirror"] = "None"
    checked = check.check(config)
    assert checked["benchmark"] == {
        "image": None, "boxes": "detected", "warmup": 10, "max_warmup": 200, "runs": 20, "tries": 3,
        "processes": 1,
    }  # fmt: skip
    assert checked["pipeline"]["nms_thr"] == 0.5
    assert checked["models"]["pose"]["input_size"] == [288, 384]
    assert checked["threads"] == 2
    assert checked["robustness"]["threads"] == 1
    assert checked["asset_mirror"] is None
