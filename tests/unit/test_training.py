"""Training: the configs fetch nothing, the published files are small and load in the published configs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from posegauge.data.scenes import scenes
from posegauge.errors import PoseGaugeError
from posegauge.models import openmmlab, training
from posegauge.models.build import config_path
from posegauge.settings import training as settings_of
from posegauge.store import files
from posegauge.study import CONDITIONS

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "data" / "demo"
SETTINGS = ROOT / "config" / "training.yaml"
FILES = {"detector": "rtmdet_nano_demo.pth", "pose": "rtmpose_t_demo.pth"}
ROLES = list(FILES)


def config_of(role, folder="x"):
    build = {"detector": training.detector_config, "pose": training.pose_config}[role]
    return build(settings_of.load(SETTINGS, role), folder, folder, "work")


def build_model(role):
    """The network of the published config, as everyone else builds it."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    openmmlab.install()
    base = settings_of.load(SETTINGS, role)["base"]
    config = Config.fromfile(config_path(base))
    config.model.backbone.pop("init_cfg", None)
    scope = {"detector": "mmdet", "pose": "mmpose"}[role]
    __import__(scope + ".models")
    init_default_scope(scope)
    return MODELS.build(config.model)


@pytest.mark.parametrize("role", ROLES)
def test_a_training_starts_from_nothing_and_fetches_nothing(role):
    config = config_of(role)
    assert config.load_from is None
    assert config.resume is False
    text = json.dumps(config.model.to_dict())
    assert "http" not in text
    assert "Pretrained" not in text
    assert "SyncBN" not in text
    assert "http" not in json.dumps(config.train_dataloader.to_dict())


@pytest.mark.parametrize("role", ROLES)
def test_what_a_training_sees_is_milder_than_every_condition_of_the_study(role):
    """The conditions are meant to hurt: a network that has learned one would tell nothing."""
    steps = {step["type"]: step for step in config_of(role).train_dataloader.dataset.pipeline}
    mild = steps["MildDegradation"]
    study = {
        key: min(
            abs(entry.parameters[key])
            for entry in CONDITIONS.values()
            if entry.suite == "study" and key in entry.parameters
        )
        for key in ("gamma", "gain", "kernel_px", "sigma")
    }
    assert max(mild["gamma"]) < study["gamma"] and max(mild["gain"]) < study["gain"]
    assert mild["blur_px"] < study["kernel_px"] and mild["noise_sigma"] < study["sigma"]
    # The study covers with 30 patches; a crop here gets one.
    assert list(steps).count("CoveredPatch") == (role == "pose")


@pytest.fixture
def augment():
    openmmlab.install()
    from posegauge.models import augment

    return augment


def test_a_mild_degradation_follows_the_seed_and_stays_mild(augment):
    settings = settings_of.load(SETTINGS, "pose")["degradation"] | {"prob": 1.0}
    grey = np.full((64, 48, 3), 128, np.uint8)

    def degraded(seed):
        np.random.seed(seed)
        return augment.MildDegradation(**settings).transform({"img": grey})["img"]

    assert np.array_equal(degraded(3), degraded(3)) and not np.array_equal(degraded(3), degraded(4))
    images = [degraded(seed) for seed in range(60)]
    assert all(image.dtype == np.uint8 and image.shape == grey.shape for image in images)
    assert max(image.std() for image in images) <= settings["noise_sigma"] * 1.1
    untouched = augment.MildDegradation(**settings | {"prob": 0.0}).transform({"img": grey})["img"]
    assert np.array_equal(untouched, grey)


@pytest.mark.parametrize(("angle", "axis"), [(0, 0), (90, 1)])
def test_a_motion_blurs_along_its_direction_alone(augment, angle, axis):
    kernel = augment.motion_kernel(9, angle)
    assert kernel.sum() == pytest.approx(1)
    assert (kernel.sum(axis=1 - axis) > 0).sum() == 1 and (kernel.sum(axis=axis) > 0).all()


def test_a_covered_patch_is_one_rectangle_of_the_crop(augment):
    image = np.full((256, 192, 3), 200, np.uint8)
    covered = augment.CoveredPatch(1.0).transform({"img": image})["img"] == 0
    rows, columns = covered.any(axis=(1, 2)), covered.any(axis=(0, 2))
    assert covered.sum() == 3 * rows.sum() * columns.sum()
    assert 0.19 < rows.mean() < 0.4 and 0.19 < columns.mean() < 0.4
    assert (image == 200).all()


def test_seeds_of_the_three_sets_of_scenes_differ():
    training_scenes = yaml.safe_load(SETTINGS.read_text())["scenes"]
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())["dataset"]["scenes"]["seed"]
    assert len({training_scenes["train"]["seed"], training_scenes["val"]["seed"], demo}) == 3


def test_missing_settings_are_named(tmp_path):
    (tmp_path / "t.yaml").write_text("detector: {}\npose: {}\nthreads: 1\n")
    with pytest.raises(PoseGaugeError, match="'scenes' is missing"):
        settings_of.load(tmp_path / "t.yaml", "detector")


def test_publish_keeps_the_weights_only(tmp_path):
    weights = {"a.weight": torch.randn(3, 4).T, "bn.num_batches_tracked": torch.tensor(70000)}
    checkpoint = {"state_dict": weights, "optimizer": {"x": 1}, "meta": {"time": "now", "epoch": 3}}
    torch.save(checkpoint, tmp_path / "c.pth")
    first = training.publish(tmp_path / "c.pth", tmp_path / "one.pth")
    assert first == training.publish(tmp_path / "c.pth", tmp_path / "two.pth"), "the same bytes every time"
    loaded = torch.load(tmp_path / "one.pth", weights_only=True)
    assert set(loaded) == {"state_dict", "meta"}
    assert "time" not in loaded["meta"]
    assert loaded["state_dict"]["a.weight"].dtype == torch.float16
    assert loaded["state_dict"]["bn.num_batches_tracked"] == 70000
    np.testing.assert_allclose(
        loaded["state_dict"]["a.weight"].float(), weights["a.weight"], rtol=1e-3, atol=1e-4
    )


def test_publish_refuses_weights_beyond_half_precision(tmp_path):
    torch.save({"state_dict": {"w": torch.tensor([1e6])}}, tmp_path / "c.pth")
    with pytest.raises(PoseGaugeError, match="half precision"):
        training.publish(tmp_path / "c.pth", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_scalars_are_split_into_losses_and_metrics(tmp_path):
    rows = [
        {"loss": 0.5, "epoch": 1, "iter": 20, "step": 20},
        {"coco/AP": 0.25, "coco/AP .5": 0.5, "step": 1},
    ]
    (tmp_path / "s.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = training.read_scalars(tmp_path / "s.json")
    assert read == {"losses": [[1, 20, 0.5]], "val": [{"epoch": 1, "AP": 0.25, "AP .5": 0.5}]}


def test_publish_folder_refuses_a_record_of_another_file(tmp_path):
    (tmp_path / "d.pth").write_bytes(b"weights")
    files.write_json(tmp_path / "d.json", {"sha256": "0" * 64, "file": "d.pth"})
    with pytest.raises(PoseGaugeError, match="train the detector again"):
        training.publish_folder(
            tmp_path / "out", {"detector": tmp_path / "d.pth"}, {"detector": tmp_path / "d.json"}, {}
        )
    assert not (tmp_path / "out").exists()


def test_the_published_files_are_those_of_the_record_and_small():
    record = json.loads((DEMO / "training.json").read_text())
    for role, name in FILES.items():
        part = record["models"][role]
        assert part["file"] == name
        assert part["sha256"] == files.sha256_file(DEMO / name)
        assert part["losses"][-1][2] < part["losses"][0][2] or role == "detector"
        assert len(part["val"]) == part["settings"]["epochs"]
        assert part["settings"] | {"file": name} == settings_of.load(SETTINGS, role)
    assert sum((DEMO / name).stat().st_size for name in FILES.values()) <= 12_000_000
    assert record["scenes"] == yaml.safe_load(SETTINGS.read_text())["scenes"]


@pytest.mark.parametrize("role", ROLES)
def test_the_published_weights_fit_the_published_config(role):
    from mmengine.runner import load_state_dict

    model = build_model(role)
    weights = torch.load(DEMO / FILES[role], map_location="cpu", weights_only=True)["state_dict"]
    load_state_dict(model, weights, strict=True)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            assert value.dtype == torch.float32
            assert torch.equal(value, weights[name].float()), name


TRAIN = """
import json, sys
sys.path.insert(0, "workflow/scripts")
from posegauge.models import training
training.run_part(*json.loads(sys.argv[1]))
"""


@pytest.mark.parametrize("role", ROLES)
def test_a_tiny_training_runs_to_its_record(role, tmp_path):
    settings = settings_of.load(SETTINGS, role) | {"epochs": 1, "batch": 2, "warmup": 1, "learn_at_most": 2}
    for part, seed in (("train", 1), ("val", 2)):
        scenes.write_scenes(tmp_path / part / "images", tmp_path / part / "annotations.json", 2, 0, seed=seed)
    names = ("train/annotations.json", "val/annotations.json", "work", "out.pth", "record.json")
    arguments = json.dumps([role, settings, *(str(tmp_path / name) for name in names)])
    # As a job does: its loaders fork, which a process with the threads of many runtimes may not survive.
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", TRAIN, arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    record = files.read_json(tmp_path / "record.json")
    assert record["sha256"] == files.sha256_file(tmp_path / "out.pth")
    assert [row["epoch"] for row in record["val"]] == [1]
    model = build_model(role)
    model.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"])
