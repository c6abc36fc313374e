"""Building models from a config and a checkpoint: what loads, what is refused by name, what is exported."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegauge import backends
from posegauge.errors import PoseGaugeError
from posegauge.models import build, export
from posegauge.models.network import Network
from posegauge.pipeline.conventions import PIXELS
from posegauge.store import files
from posegauge.study import Artifact

POSE = Network(
    role="pose",
    name="RTMPose-t",
    input_size=(192, 256),
    config="mmpose::configs/body_2d_keypoint/rtmpose/coco/rtmpose-t_8xb256-420e_coco-256x192.py",
)


@pytest.fixture(scope="module")
def weights():
    """Random weights of RTMPose-t."""
    from posegauge.models import openmmlab

    openmmlab.install()
    from mmpose.apis import init_model

    torch.manual_seed(0)
    return init_model(str(build.config_path(POSE.config)), None, device="cpu").state_dict()


def test_a_checkpoint_with_training_histories_loads(weights, tmp_path):
    """OpenMMLab's checkpoints hold such objects, and torch.load refuses them by default."""
    from mmengine.logging import HistoryBuffer

    path = tmp_path / "published.pth"
    torch.save({"state_dict": weights, "message_hub": {"loss": HistoryBuffer([1.0], [1])}, "meta": {}}, path)
    model = build.load_model(replace(POSE, checkpoint=str(path)))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name])


def test_half_precision_weights_are_loaded_as_float32(weights, tmp_path):
    path = tmp_path / "half.pth"
    half = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    torch.save({"state_dict": half}, path)
    network = build.build_network(replace(POSE, checkpoint=str(path)))
    assert all(p.dtype == torch.float32 for p in network.parameters())
    simcc_x, simcc_y = network(torch.zeros(2, 3, 256, 192))
    assert simcc_x.shape == (2, 17, 384) and simcc_y.shape == (2, 17, 512)


def test_missing_weights_are_an_error(weights, tmp_path):
    path = tmp_path / "headless.pth"
    torch.save({"state_dict": {k: v for k, v in weights.items() if not k.startswith("head")}}, path)
    with pytest.raises(PoseGaugeError, match=r"headless\.pth does not fit mmpose::.*weights missing"):
        build.load_model(replace(POSE, checkpoint=str(path)))


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "half-downloaded.pth"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(PoseGaugeError, match=r"half-downloaded\.pth: not a PyTorch checkpoint"):
        build.load_model(replace(POSE, checkpoint=str(path)))


def test_a_missing_checkpoint_is_named():
    with pytest.raises(PoseGaugeError, match=r"models\.pose\.checkpoint: no file nowhere\.pth"):
        build.load_model(replace(POSE, checkpoint="nowhere.pth"))


def test_the_input_size_is_that_of_the_config(weights, tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"state_dict": weights}, path)
    with pytest.raises(PoseGaugeError, match=r"input_size is \[288, 384\], .* says \[192, 256\]"):
        build.load_model(replace(POSE, checkpoint=str(path), input_size=(288, 384)))


def test_pixels_and_keypoints_are_those_of_the_config():
    with pytest.raises(
        PoseGaugeError, match=r"models\.pose\.pixels: .* say models\.pose\.pixels: \{mean: \[123\.675"
    ):
        build.init_model(replace(POSE, pixels=PIXELS["yolox"]))
    with pytest.raises(PoseGaugeError, match=r"models\.pose\.keypoints is halpe26, 26 of them; .* says 17"):
        build.init_model(replace(POSE, keypoints="halpe26"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("mmpose::configs/none.py", "no file"),
        ("mmseg::configs/a.py", "'mmseg' is not one of mmdet, mmpose"),
        ("here/none.py", "no file here/none.py"),
    ],
)
def test_a_missing_config_is_named(config, message):
    with pytest.raises(PoseGaugeError, match=message):
        build.config_path(config)


def test_an_exported_network_takes_any_batch_and_its_record_names_the_files(weights, tmp_path):
    checkpoint, path = tmp_path / "a.pth", tmp_path / "pose.onnx"
    torch.save({"state_dict": weights}, checkpoint)
    network = replace(POSE, checkpoint=str(checkpoint))
    export.export_onnx(network, path, 17)
    session = backends.load(replace(network, onnx=str(path)), Artifact("onnxruntime", "cpu"), 1)
    batch = np.random.default_rng(0).normal(size=(3, 3, 256, 192)).astype(np.float32)
    with torch.inference_mode():
        expected = build.build_network(network)(torch.from_numpy(batch))
    for name, output in zip(("simcc_x", "simcc_y"), expected, strict=True):
        np.testing.assert_allclose(session.run(batch)[name], output.numpy(), atol=1e-4)

    record = export.model_record(network, path)
    files.write_json(tmp_path / "pose.json", record, "model.schema.yaml")
    assert record["checkpoint_sha256"] == files.sha256_file(checkpoint)
    assert record["onnx_sha256"] == files.sha256_file(path)
    assert (record["source"], record["opset"]) == ("exported by this workflow", 17)
    # Whether the file is still the model is told elsewhere, for every runtime.
    with pytest.raises(PoseGaugeError, match="parity"):
        files.write_json(tmp_path / "old.json", record | {"parity": {}}, "model.schema.yaml")
