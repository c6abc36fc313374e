"""ONNX files that users bring: what is read of them, what is refused and how, the run's own file of them."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import helpers_onnx
from conftest import ROOT
from helpers_onnx import HEIGHT, NHWC, SIZE, WIDTH, dets, raw_boxes, simcc
from posegauge import backends
from posegauge.backends.base import joined
from posegauge.errors import PoseGaugeError
from posegauge.models.adopt import copy_onnx
from posegauge.models.network import Network
from posegauge.pipeline import steps
from posegauge.settings import calibration_keys, onnx_contract, onnx_files
from posegauge.store.files import sha256_file
from posegauge.study import Artifact


def run(path, batch: int = 1, shape=(3, HEIGHT, WIDTH), value: float = 0.0) -> dict:
    """Run a file of the pipeline's form; return its outputs by name."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = np.full((batch, *shape), value, np.float32)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: images}), strict=True))


def adopt(path, role: str, folder, **network) -> tuple[Path, list[str]]:
    target = folder / "adopted.onnx"
    return target, copy_onnx(Network(role, "Mine", SIZE, onnx=str(path), **network), target)


@pytest.mark.parametrize(
    ("role", "outputs"),
    [
        ("pose", simcc()),
        ("detector", {"dets": dets()}),
        ("detector", {"boxes": raw_boxes(), "scores": np.zeros((12, 1), np.float32)}),
    ],
)
def test_a_file_that_fits_is_kept_byte_for_byte(role, outputs, tmp_path):
    path = helpers_onnx.write(tmp_path / "a.onnx", outputs)
    target, notes = adopt(path, role, tmp_path)
    assert notes == [] and sha256_file(target) == sha256_file(path)


@pytest.mark.parametrize("bins", [1, 2, 3, 0.5])
def test_simcc_has_any_number_of_bins_to_a_pixel(bins, tmp_path):
    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc(bins=bins))
    target, notes = adopt(path, "pose", tmp_path)
    outputs = run(target, batch=2)
    points, _ = steps.decode_simcc(outputs["simcc_x"], outputs["simcc_y"], SIZE)
    expected = np.floor(np.arange(17) * bins) / bins
    np.testing.assert_allclose(points, np.broadcast_to(expected[None, :, None], (2, 17, 2)), atol=1e-6)
    assert notes == ([] if bins == 2 else [f"its SimCC has {bins:g} bins to a pixel"])


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_boxes_of_another_class_than_the_person_do_not_count(opset, kind, tmp_path):
    outputs = {"dets": dets(), "labels": np.array([0, 2, 0, 79], kind)}
    path = helpers_onnx.write(tmp_path / "coco80.onnx", outputs, opset=opset)
    for label, kept in ((0, [0, 2]), (2, [1])):
        target, notes = adopt(path, "detector", tmp_path, person_label=label)
        found = run(target)
        np.testing.assert_array_equal(found["dets"][0, kept], dets()[kept])
        assert np.flatnonzero(found["dets"][0, :, 4]).tolist() == kept
        bboxes, scores = steps.select_boxes(found, np.ones(2, np.float32), SIZE, steps.Settings())
        assert len(bboxes) == len(kept) and scores.tolist() == dets()[kept, 4].tolist()
        assert notes == [f"of its labels {label} is the person: other boxes do not count"]


def test_scores_of_several_classes_are_cut_to_the_person(tmp_path):
    scores = np.linspace(0, 1, 36, dtype=np.float32).reshape(12, 3)
    path = helpers_onnx.write(tmp_path / "three.onnx", {"boxes": raw_boxes(), "scores": scores})
    target, notes = adopt(path, "detector", tmp_path, person_label=1)
    np.testing.assert_array_equal(run(target)["scores"][0], scores[:, 1:2])
    assert notes == ["it knows 3 classes: those with label 1 are persons"]
    with pytest.raises(PoseGaugeError, match=r"scores of 3 classes, models\.detector\.person_label is 3"):
        onnx_contract.check(path, "detector", SIZE, {"person_label": 3})


X, Y = simcc().values()
SCORES = np.zeros((12, 1), np.float32)


@pytest.mark.parametrize(
    ("role", "outputs", "names"),
    [
        ("pose", {"814": X, "820": Y}, ["simcc_x", "simcc_y"]),
        # In the other order, and one with the name of the other.
        ("pose", {"y": Y, "simcc_y": X}, ["simcc_x", "simcc_y"]),
        ("detector", {"labels": np.arange(4), "output": dets()}, ["dets", "labels"]),
        ("detector", {"scores": raw_boxes(), "2": np.zeros((12, 1), np.float32)}, ["boxes", "scores"]),
    ],
)  # fmt: skip
def test_outputs_with_other_names_are_told_by_their_shapes(role, outputs, names, tmp_path):
    path = helpers_onnx.write(tmp_path / "a.onnx", outputs)
    target, notes = adopt(path, role, tmp_path)
    assert "its outputs are told by their shapes" in notes[0]
    found = run(target)
    assert list(found) == names  # in the order in which rtmlib takes them
    for name, width in (("simcc_x", 2 * WIDTH), ("simcc_y", 2 * HEIGHT), ("dets", 5), ("boxes", 4)):
        if name in found:
            assert found[name].shape[-1] == width


def test_shapes_that_the_file_does_not_declare_are_told_by_a_run(tmp_path):
    """MMDeploy's exports leave the number of keypoints open."""
    open_axes = {name: ["N", "MatMul_dim_1", "MatMul_dim_2"] for name in ("simcc_x", "simcc_y")}
    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc(), declared=open_axes)
    assert onnx_contract.check(path, "pose", SIZE).outputs["simcc_x"].shape == (2, 17, 2 * WIDTH)
    with pytest.raises(PoseGaugeError, match="26 keypoints, 17 expected"):
        onnx_contract.check(helpers_onnx.write(path, simcc(26), declared=open_axes), "pose", SIZE)


def test_an_input_with_the_channels_last_is_turned(tmp_path):
    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc(), NHWC)
    target, notes = adopt(path, "pose", tmp_path)
    assert "channels last" in notes[0]
    image = np.random.default_rng(0).random((3, HEIGHT, WIDTH), np.float32)
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["N", 3, HEIGHT, WIDTH]
    (x,) = session.run(["simcc_x"], {"image": image[None]})
    mean = (image.mean((1, 2)) * [1, 2, 4]).sum() / 3
    np.testing.assert_allclose(x[0], simcc()["simcc_x"] + mean, rtol=1e-5)


def test_a_detector_of_one_image_takes_several_one_after_another(tmp_path):
    path = helpers_onnx.write(
        tmp_path / "detector.onnx", {"dets": dets()}, (1, 3, HEIGHT, WIDTH), batched=False
    )
    network = Network("detector", "Mine", SIZE, onnx=path)
    images = np.stack([np.full((3, HEIGHT, WIDTH), value, np.float32) for value in (0, 1, 2)])
    for images_on in ("host", "device"):
        if images_on == "device":  # dets have no buffers of a fixed size there
            outputs = {"boxes": raw_boxes(), "scores": SCORES}
            helpers_onnx.write(path, outputs, (1, 3, HEIGHT, WIDTH), batched=False)
        session = backends.load(network, Artifact("onnxruntime", "cpu", images=images_on), 1)
        for name, found in session.run(images).items():
            assert len(found) == 3, name
            np.testing.assert_allclose(
                found - found[:1], np.ones_like(found) * [[[0]], [[7 / 3]], [[14 / 3]]], rtol=1e-4
            )


def test_boxes_of_several_runs_are_filled_up():
    parts = [{"dets": np.ones((1, count, 5)), "labels": np.ones((1, count), int)} for count in (2, 0, 3)]
    found = joined(parts)
    assert found["dets"].shape == (3, 3, 5) and found["labels"].shape == (3, 3)
    assert found["dets"][..., 4].sum(1).tolist() == [2, 0, 3]


# ------------------------------------------------------------------------------ weights beside the file


def beside(path, folder) -> Path:
    """Write a file again with its weights in a second file, as exporters write large models."""
    target = folder / "split.onnx"
    onnx.save_model(
        onnx.load(path),
        str(target),
        save_as_external_data=True,
        location="split.onnx.data",
        size_threshold=16,
    )
    return target


def test_weights_beside_the_file_are_put_into_it(tmp_path):
    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc())
    split = beside(path, tmp_path)
    assert onnx_files.weights_beside(split) == [str(tmp_path / "split.onnx.data")]
    assert onnx_files.weights_beside(path) == []
    # Both are inputs of the rule that reads them.
    models = {"pose": {"onnx": str(split)}}
    config = {"models": models, "precision": {"calibration": "scenes"}}
    rules = {"config": config, "onnx_files": onnx_files, "DATASET": {"name": "any"}}
    rules["calibration_keys"] = calibration_keys
    exec((ROOT / "workflow/rules/inputs.smk").read_text(encoding="utf-8"), rules)
    assert rules["given_onnx"]("pose") == [str(split), str(tmp_path / "split.onnx.data")]
    folder = tmp_path / "run"
    folder.mkdir()
    target, notes = adopt(split, "pose", folder)
    assert "are put into the file" in notes[0] and [p.name for p in folder.iterdir()] == [target.name]
    np.testing.assert_array_equal(run(target)["simcc_x"], run(path)["simcc_x"])


def test_weights_beside_the_file_that_are_not_there_or_cut_short_are_named(tmp_path):
    split = beside(helpers_onnx.write(tmp_path / "pose.onnx", simcc()), tmp_path)
    data = tmp_path / "split.onnx.data"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(
        PoseGaugeError, match=r"split\.onnx\.data: .* bytes, its model needs .*: it is cut short"
    ):
        onnx_contract.check(split, "pose", SIZE)
    data.unlink()
    with pytest.raises(
        PoseGaugeError, match=r"weights lie in a second file, .*split\.onnx\.data, which is not"
    ):
        onnx_contract.check(split, "pose", SIZE)
    model = onnx.load(str(split), load_external_data=False)
    for tensor in model.graph.initializer:
        for item in tensor.external_data:
            item.value = "../elsewhere.data" if item.key == "location" else item.value
    onnx.save(model, str(split))
    with pytest.raises(
        PoseGaugeError, match=r"'\.\./elsewhere\.data', outside its folder: put them beside it"
    ):
        onnx_contract.check(split, "pose", SIZE)
    assert onnx_files.weights_beside(split) == []


# ------------------------------------------------------------------------------------------- what is refused

KEYPOINTS = np.zeros((10, 17, 3), np.float32)
REFUSED = [
    ("pose", simcc(26), {}, r"has 26 keypoints, 17 expected .*models\.pose\.keypoints: halpe26"),
    ("pose", simcc(21), {}, r"has 21 keypoints, .* if they are those of Human-Art"),
    ("pose", simcc(133), {}, r"models\.pose\.keypoints: coco_wholebody"),
    ("pose", simcc(14), {}, r"has 14 keypoints, 17 .* only sets that begin with COCO's 17 can be scored"),
    ("pose", {"simcc_x": X, "simcc_y": Y[:, ::2]}, {}, r"simcc_x has 128 bins .* simcc_y 96 for 96 \(1\)"),
    ("pose", {"heatmaps": np.zeros((17, 24, 16), np.float32)}, {}, "heat maps; only SimCC is read"),
    ("pose", {"output": KEYPOINTS[0, :, :2]}, {}, "coordinates of keypoints; only SimCC is read"),
    ("pose", {"dets": dets(), "keypoints": KEYPOINTS[:4]}, {}, "persons and keypoints at once"),
    ("pose", {"output0": np.zeros((56, 8400), np.float32)}, {}, "persons and keypoints at once"),
    ("pose", simcc(simcc_z=np.zeros((17, 576), np.float32)), {}, "three dimensions; only two"),
    ("pose", {"dets": dets(), "labels": np.arange(4)}, {}, "a detector: is it the file of models.detector"),
    ("pose", simcc(), {"shape": (1, 3, HEIGHT, WIDTH)}, "its batch is fixed to 1, persons are batched"),
    ("pose", simcc(), {"shape": ("N", 3, WIDTH, HEIGHT)}, r"\[width, height\], so say \[96, 64\]"),
    ("pose", simcc(), {"shape": ("N", 3, 128, 96)}, r"say models\.pose\.input_size: \[96, 128\]"),
    ("pose", simcc(), {"shape": ("N", 1, HEIGHT, WIDTH)}, "1 channels where images have 3"),
    ("detector", simcc(), {}, "a pose network: is it the file of models.pose"),
    ("detector", {"dets": dets(), "keypoints": KEYPOINTS[:4]}, {}, "persons and keypoints at once"),
    ("detector", {"output0": np.zeros((84, 8400), np.float32)}, {}, r"not decoded \(YOLO\)"),
    ("detector", {"output": np.zeros((8400, 85), np.float32)}, {}, r"not decoded \(YOLO\)"),
    ("detector", {"output0": np.zeros((300, 6), np.float32)}, {}, "six columns"),
    ("detector", {f"{i}": np.zeros((1, 12, 8), np.float32) for i in "abcd"}, {}, "head that is not decoded"),
    ("detector", {"dets": dets()}, {"shape": (4, 3, HEIGHT, WIDTH)}, "fixed to 4, images come one by one"),
    ("detector", {"boxes": raw_boxes(), "scores": SCORES - 4}, {}, "-4 to -4: expected scores of 0 to 1"),
    ("detector", {"boxes": raw_boxes()[:, [2, 3, 0, 1]], "scores": SCORES}, {}, "no corners x1, y1, x2, y2"),
    ("detector", {"boxes": raw_boxes() / 96, "scores": SCORES}, {}, "parts of the image, expected pixels"),
    ("detector", {"boxes": raw_boxes(1200), "scores": np.zeros((1200, 1), "f")}, {}, "expected 126, one"),
    ("detector", {"dets": dets()[:, :4]}, {}, "dets float32 .*, expected 5 numbers for each box"),
]  # fmt: skip


@pytest.mark.parametrize(("role", "outputs", "how", "message"), REFUSED)
def test_a_file_that_does_not_fit_is_refused_with_the_way_out(role, outputs, how, message, tmp_path):
    path = helpers_onnx.write(tmp_path / "mine.onnx", outputs, **how)
    with pytest.raises(PoseGaugeError, match=message) as told:
        onnx_contract.check(path, role, SIZE)
    assert str(path) in str(told.value)


@pytest.mark.parametrize(("name", "count"), [("humanart21", 21), ("halpe26", 26), ("coco_wholebody", 133)])
def test_larger_sets_of_keypoints_pass_where_the_config_says_so(name, count, tmp_path):
    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc(count))
    assert onnx_contract.check(path, "pose", SIZE, {"keypoints": name}).outputs["simcc_x"].shape[1] == count
    with pytest.raises(PoseGaugeError, match=rf"has 17 keypoints, {count} expected"):
        onnx_contract.check(helpers_onnx.write(path, simcc()), "pose", SIZE, {"keypoints": name})


def changed(path, change) -> str:
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path


def test_a_file_in_half_precision_is_refused(tmp_path):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc())
    for keep in (True, False):
        half = convert_float_to_float16(onnx.load(path), keep_io_types=keep)
        onnx.save(half, str(tmp_path / "half.onnx"))
        with pytest.raises(PoseGaugeError, match=r"is FP16 \(.* weights\): give the FP32 file"):
            onnx_contract.check(tmp_path / "half.onnx", "pose", SIZE)


def test_a_quantised_file_and_operators_of_its_own_are_refused(tmp_path):
    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc())
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "scale"))
    model.graph.node.append(helper.make_node("QuantizeLinear", ["mean", "scale"], ["q"]))
    onnx.save(model, str(tmp_path / "int8.onnx"))
    with pytest.raises(PoseGaugeError, match=r"is quantised \(QuantizeLinear\): give the FP32 file"):
        onnx_contract.check(tmp_path / "int8.onnx", "pose", SIZE)
    changed(
        path,
        lambda model: model.graph.node.append(helper.make_node("NMS", ["mean"], ["n"], domain="mmdeploy")),
    )
    with pytest.raises(PoseGaugeError, match=r"operators of its own \(mmdeploy::NMS\)"):
        onnx_contract.check(path, "pose", SIZE)


def test_more_than_one_input_and_other_types_are_refused(tmp_path):
    path = helpers_onnx.write(tmp_path / "detector.onnx", {"dets": dets()})
    more = helper.make_tensor_value_info("scale_factor", TensorProto.FLOAT, [1, 2])
    with pytest.raises(PoseGaugeError, match=r"has 2 inputs \(image .*, scale_factor float32 \[1, 2\]\)"):
        onnx_contract.check(changed(path, lambda model: model.graph.input.append(more)), "detector", SIZE)
    path = helpers_onnx.write(path, {"dets": dets()})

    def whole(model):
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8

    with pytest.raises(PoseGaugeError, match=r"image uint8 .*: export it with a float32 input"):
        onnx_contract.check(changed(path, whole), "detector", SIZE)


def test_all_faults_of_a_file_are_told_at_once(tmp_path):
    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc(26), (1, 3, 128, WIDTH))
    with pytest.raises(PoseGaugeError) as told:
        onnx_contract.check(path, "pose", SIZE)
    assert "input_size: [64, 128]" in str(told.value) and "its batch is fixed to 1" in str(told.value)
    with pytest.raises(PoseGaugeError) as told:
        onnx_contract.check(
            helpers_onnx.write(path, simcc(26) | {"simcc_y": simcc(26, bins=1)["simcc_y"]}), "pose", SIZE
        )
    assert "26 keypoints" in str(told.value) and "bins" in str(told.value)


def test_a_batch_that_is_dynamic_by_name_alone_is_found_out(tmp_path):
    """Exporters write sizes into the graph, whatever the axes are called."""
    path = helpers_onnx.write(tmp_path / "pose.onnx", simcc())

    def fixed(model):
        for tensor in model.graph.initializer:
            if tensor.name.endswith("_axes"):
                tensor.CopyFrom(numpy_helper.from_array(np.array([1, 1, 1]), tensor.name))

    with pytest.raises(PoseGaugeError, match="a batch of 2, though it declares a dynamic batch"):
        onnx_contract.check(changed(path, fixed), "pose", SIZE)


# ------------------------------------------------------------------------------------ files of another kind


def zipped(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


def tarred(path, *names):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))


KINDS = [
    (lambda path: path.write_bytes(b""), r"is not an ONNX file but empty \(0 bytes\)"),
    (lambda path: zipped(path, "a/b.onnx", "a/b.json"), r"a zip archive that holds a/b\.onnx: unpack"),
    (lambda path: zipped(path, "a.onnx", "b.onnx"), r"holds a\.onnx, b\.onnx: unpack them and name one"),
    (lambda path: zipped(path, "saved_model.pb"), r"that holds no \.onnx file but saved_model\.pb"),
    (lambda path: path.write_bytes(b"PK\x03\x04 cut"), "a zip archive that is damaged or cut short"),
    (lambda path: tarred(path, "a/b.onnx"), r"a gzip archive that holds a/b\.onnx: unpack that one"),
    (lambda path: torch.save({"state_dict": {}}, path), "a PyTorch checkpoint: give it as `checkpoint`"),
    (
        lambda path: torch.save({}, path, _use_new_zipfile_serialization=False),
        "a PyTorch checkpoint: give it as `checkpoint`",
    ),
    (lambda path: path.write_bytes(b"ftrt" + bytes(64)), "a TensorRT engine"),
    (lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64)), "a TensorFlow Lite model"),
    (lambda path: path.write_text('<?xml version="1.0"?>\n<net name="m" version="11">'), "an OpenVINO model"),
    (lambda path: path.write_text("\n<!DOCTYPE html><html>404"), "a web page"),
    (lambda path: path.write_text("<Error><Code>AccessDenied</Code></Error>"), "but XML"),
    (lambda path: path.write_text('{"error": "not found"}'), "but JSON"),
    (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid"), "a pointer of Git LFS"),
    (lambda path: path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00" + b'{"a":{}}'), "safetensors"),
    (lambda path: path.write_bytes(np.random.default_rng(0).bytes(300)), "or one that is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), KINDS)
def test_a_file_of_another_kind_is_named(make, message, tmp_path):
    path = tmp_path / "model.onnx"
    make(path)
    with pytest.raises(PoseGaugeError, match=message):
        onnx_contract.check(path, "pose", SIZE)
    assert onnx_files.weights_beside(path) == []


def test_a_file_cut_short_is_named(tmp_path):
    path = Path(helpers_onnx.write(tmp_path / "pose.onnx", simcc()))
    for share in (0.3, 0.9):
        whole = Path(helpers_onnx.write(tmp_path / "whole.onnx", simcc())).read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(
            PoseGaugeError, match=r"damaged or cut short|holds no network|cannot load it|a pose must"
        ):
            onnx_contract.check(path, "pose", SIZE)
    with pytest.raises(PoseGaugeError, match="no such file"):
        onnx_contract.check(tmp_path / "none.onnx", "pose", SIZE)
