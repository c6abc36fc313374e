"""Checkpoints are read without running what is in them."""

import collections
import pathlib

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub

from posegauge.errors import PoseGaugeError
from posegauge.models.checkpoints import read_checkpoint

WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.zeros(2, dtype=torch.half)}


def trained() -> dict:
    """Return what mmengine's CheckpointHook stores, with the meta of a data set of MMPose."""
    hub = MessageHub.get_instance("test")
    hub.update_scalar("train/loss", 1.5)
    hub.update_scalar("train/loss", np.float64(1.25))
    hub.update_info("iter", 2)
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter], lr=1e-3)
    parameter.sum().backward()
    optimizer.step()
    return {
        "meta": {
            "epoch": 2,
            "cfg": "model = dict()",
            "seed": np.int64(21),
            "dataset_meta": {
                "CLASSES": ("person",),
                "sigmas": np.array([0.026, 0.025], np.float32),
                "keypoint_colors": np.zeros((2, 3), np.uint8),
                "flip_pairs": [[1, 2]],
                "names": np.array(["nose", "left_eye"]),
                "ids": np.arange(3),
            },
            "hook_msgs": collections.defaultdict(list, best=[1]),
            "model": ConfigDict(type="TopdownPoseEstimator"),
        },
        "state_dict": collections.OrderedDict(WEIGHTS),
        "message_hub": hub.state_dict(),
        "optimizer": optimizer.state_dict(),
        "param_schedulers": [{"last_step": 1, "_get_lr_called_within_step": False}],
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_what_openmmlabs_trainers_store_is_read(zipped, tmp_path):
    path = tmp_path / "epoch_2.pth"
    torch.save(trained(), path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(path)
    assert list(found["state_dict"]) == list(WEIGHTS)
    for name, value in WEIGHTS.items():
        assert (
            torch.equal(found["state_dict"][name], value) and found["state_dict"][name].dtype == value.dtype
        )
    meta = found["meta"]["dataset_meta"]
    assert meta["CLASSES"] == ("person",) and meta["names"].tolist() == ["nose", "left_eye"]
    np.testing.assert_array_equal(meta["sigmas"], np.array([0.026, 0.025], np.float32))
    assert not isinstance(found["message_hub"]["log_scalars"]["train/loss"], HistoryBuffer)
    # Nothing stays allowed for others.
    assert not [kind for kind in torch.serialization.get_safe_globals() if isinstance(kind, tuple)]


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


class Asks:
    """Asks getattr for a way to run code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return getattr, (self.path, "touch")


@pytest.mark.parametrize("zipped", [True, False])
def test_other_objects_are_refused_by_name_and_not_run(zipped, tmp_path):
    path, mark = tmp_path / "odd.pth", tmp_path / "ran"
    torch.save({"state_dict": WEIGHTS, "extra": Runs(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(PoseGaugeError) as told:
        read_checkpoint(path)
    text = str(told.value)
    assert text.startswith(f"{path}: holds ") and "pathlib" in text and "which could run any code" in text
    assert not mark.exists()
    # The way out that it names.
    _, _, command = text.partition('python -c "')
    exec(command.removesuffix('"'), {})
    found = read_checkpoint(tmp_path / "odd_weights.pth")
    assert torch.equal(found["state_dict"]["layer.weight"], WEIGHTS["layer.weight"])


def test_getattr_gives_nothing(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {}, "extra": Asks("text")}, path)
    with pytest.raises(AttributeError):
        torch.load(path, weights_only=False)
    assert read_checkpoint(path)["extra"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04 cut"), r"not a PyTorch checkpoint but a zip archive"),
        (lambda path: path.write_text("<html>404</html>"), r"not a PyTorch checkpoint but a web page"),
        (lambda path: path.write_bytes(b"\x80\x02 cut short"), r"a\.pth: not a PyTorch checkpoint"),
        (lambda path: path.write_bytes(b"\x08\x08 onnx"), r"not a PyTorch checkpoint but something else"),
        (lambda path: torch.save([1, 2], path), r"holds list, expected the weights by their names"),
        (lambda path: None, r"no file .*a\.pth"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_checkpoint_is_named(make, message, tmp_path):
    path = tmp_path / "a.pth"
    make(path)
    with pytest.raises(PoseGaugeError, match=message):
        read_checkpoint(path)
