"""Models as people have them, on real photographs: the figures of a sound file, or of what is different.

RTMDet-nano (official weights) and TinyPose (not RTMPose), as the README beside them describes, on the four
photographs with the largest persons; keypoint AP, AP in annotated boxes and box AP.
"""

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from posegauge.backends.assemble import build_pipeline
from posegauge.errors import PoseGaugeError
from posegauge.models.adopt import copy_onnx
from posegauge.models.network import Network
from posegauge.pipeline.conventions import pixels_of
from posegauge.predict.image_queue import ImageQueue, Preparation
from posegauge.predict.predictions import annotated_boxes
from posegauge.predict.sweep import sweep
from posegauge.score import metrics, truth
from posegauge.settings import onnx_contract
from posegauge.study import Artifact

REFERENCE = (0.840, 0.851, 0.913)
FILES = {"detector": "rtmdet_nano_person_nms.onnx", "pose": "tinypose_256x192_simcc.onnx"}
SIZES = {"detector": (320, 320), "pose": (192, 256)}


@pytest.fixture(scope="module")
def photographs(real, tmp_path_factory):
    """Four entries like those of person_images.json, and a file with their annotations."""
    coco = json.loads((real / "coco/annotations/person_keypoints_val2017.json").read_text())
    largest = {}
    for person in coco["annotations"]:
        if person["num_keypoints"] >= 10 and not person["iscrowd"]:
            largest[person["image_id"]] = max(largest.get(person["image_id"], 0), person["area"])
    chosen = sorted(largest, key=largest.get, reverse=True)[:4]
    coco["images"] = sorted((i for i in coco["images"] if i["id"] in chosen), key=lambda i: i["file_name"])
    coco["annotations"] = [person for person in coco["annotations"] if person["image_id"] in chosen]
    path = tmp_path_factory.mktemp("coco") / "annotations.json"
    path.write_text(json.dumps(coco))
    return coco, path, real / "coco/val2017"


def figures(real, photographs, folder, role: str, given, **keys) -> object:
    """Return the three figures where the model of `role` is the file `given`, with its keys of the config."""
    models, onnx_files = {}, {}
    for name in FILES:
        path = given if name == role else real / "models" / FILES[name]
        own = keys if name == role else {}
        network = Network(
            name, name, SIZES[name], onnx=str(path), **{k: v for k, v in own.items() if k != "pixels"}
        )
        onnx_files[name] = folder / f"run_{name}.onnx"
        copy_onnx(network, onnx_files[name])
        models[name] = {"name": name, "config": None, "checkpoint": None, "onnx": str(path)}
        models[name] |= {"input_size": SIZES[name]} | own
    pipeline = build_pipeline(
        {"models": models, "pipeline": {}}, Artifact("onnxruntime", "cpu"), 1, onnx_files
    )
    coco, annotations, images = photographs
    how = Preparation(str(images), "clean", 0, SIZES["detector"], pixels_of(models["detector"], "detector"))
    with ImageQueue(0) as queue:
        swept = sweep(
            pipeline,
            coco["images"],
            how,
            queue,
            "error",
            annotated_boxes(coco),
            None,
            ("detected", "annotated"),
        )
    ids, weights = [entry["id"] for entry in coco["images"]], np.ones((1, len(coco["images"])), int)
    persons = truth.read_truth(annotations)
    sets = {name: metrics.read_predictions(swept["results"][name], ids, name) for name in swept["results"]}
    found = [metrics.keypoint_scores(persons, sets[name].results, ids, weights)["ap"] for name in sets]
    found.append(metrics.box_scores(persons, sets["detected"], ids, 0.5, weights)[0]["box_ap"])
    return pytest.approx([float(value[0]) for value in found], abs=0.001)


def test_a_sound_file_has_the_figures_of_reference(real, photographs, tmp_path):
    assert figures(real, photographs, tmp_path, "pose", real / "models" / FILES["pose"]) == REFERENCE


def test_a_detector_of_raw_pixels_has_them_too(real, photographs, tmp_path):
    model = onnx.load(real / "models" / FILES["detector"])
    (pixels,) = (value.name for value in model.graph.input)
    for node in model.graph.node:
        node.input[:] = ["normalised" if name == pixels else name for name in node.input]
    pixels_of_rtmdet = pixels_of({}, "detector")
    for name, values in (("mean", pixels_of_rtmdet.mean), ("std", pixels_of_rtmdet.std)):
        model.graph.initializer.append(numpy_helper.from_array(np.float32(values).reshape(1, 3, 1, 1), name))
    model.graph.node.insert(0, helper.make_node("Sub", [pixels, "mean"], ["centred"]))
    model.graph.node.insert(1, helper.make_node("Div", ["centred", "std"], ["normalised"]))
    path = tmp_path / "raw.onnx"
    onnx.save(model, str(path))
    assert figures(real, photographs, tmp_path, "detector", path, pixels="yolox") == REFERENCE
    # Without the key: nearly nobody is found, which the run's pages say.
    assert figures(real, photographs, tmp_path, "detector", path).expected[2] < 0.1


def of_pose(real, change) -> onnx.ModelProto:
    """Return the pose network with both of its outputs changed by change(model, output)."""
    model = onnx.load(real / "models" / FILES["pose"])
    for output in model.graph.output:
        for node in model.graph.node:
            node.output[:] = [f"{name}_all" if name == output.name else name for name in node.output]
        change(model, output)
    return model


def test_one_bin_to_a_pixel_is_a_little_coarser(real, photographs, tmp_path):
    def halved(model, output):
        bins = output.type.tensor_type.shape.dim[2]
        every_second = numpy_helper.from_array(np.arange(0, bins.dim_value, 2), f"{output.name}_second")
        model.graph.initializer.append(every_second)
        names = [f"{output.name}_all", every_second.name]
        model.graph.node.append(helper.make_node("Gather", names, [output.name], axis=2))
        bins.dim_value //= 2

    path = tmp_path / "half.onnx"
    onnx.save(of_pose(real, halved), str(path))
    assert figures(real, photographs, tmp_path, "pose", path) == (0.810, 0.861, 0.913)


def test_of_26_keypoints_the_first_17_are_scored(real, photographs, tmp_path):
    def more(model, output):
        if not any(tensor.name == "nine" for tensor in model.graph.initializer):
            model.graph.initializer.append(numpy_helper.from_array(np.arange(9), "nine"))
        whole, nine = f"{output.name}_all", f"{output.name}_nine"
        model.graph.node.append(helper.make_node("Gather", [whole, "nine"], [nine], axis=1))
        model.graph.node.append(helper.make_node("Concat", [whole, nine], [output.name], axis=1))
        output.type.tensor_type.shape.dim[1].dim_value = 26

    path = tmp_path / "26.onnx"
    onnx.save(of_pose(real, more), str(path))
    assert figures(real, photographs, tmp_path, "pose", path, keypoints="halpe26") == REFERENCE


@pytest.mark.parametrize("name", ["rtmdet_nano_person_320_raw.onnx", "rtmdet_nano_person_640_raw.onnx"])
def test_raw_maps_of_a_head_are_refused(real, name):
    size = [320, 320] if "320" in name else [640, 640]
    with pytest.raises(PoseGaugeError, match="maps of a head that is not decoded"):
        onnx_contract.check(real / "models" / name, "detector", size)
