"""Networks of a few nodes as ONNX files: they give what a test wants, whatever the image."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT = 64, 96
SIZE = (WIDTH, HEIGHT)
NCHW, NHWC = ("N", 3, HEIGHT, WIDTH), ("N", HEIGHT, WIDTH, 3)


def write(
    path,
    outputs: dict,
    shape=NCHW,
    opset: int = 17,
    batched: bool = True,
    declared: dict | None = None,
    colours=(1, 2, 4),
):
    """Write a network whose outputs are these arrays, each without its batch, plus the mean of the image.

    That mean is of its channels with the weights `colours`, so that a wrong order is seen. Arrays of whole
    numbers get nothing added. batched: outputs are given for each image of the batch. declared: shapes of
    outputs as the file declares them; others are declared with all axes but the first.
    """
    first = shape[1] != 3 and shape[3] == 3
    weights = np.float32(colours).reshape((1, 1, 1, 3) if first else (1, 3, 1, 1))
    nodes = [
        helper.make_node("Mul", ["image", "weights"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted"], ["mean"], axes=[1, 2, 3], keepdims=1),
    ]
    constants, values = {"weights": weights}, []
    for name, array in outputs.items():
        array, rank = np.asarray(array), np.ndim(array) + 1
        constants |= {f"{name}_is": array[None], f"{name}_axes": np.array([-1] + [1] * (rank - 1))}
        nodes.append(helper.make_node("Reshape", ["mean", f"{name}_axes"], [f"{name}_mean"]))
        if array.dtype.kind == "i":
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            nodes += [
                helper.make_node("Mul", [f"{name}_mean", "zero"], [f"{name}_nothing"]),
                helper.make_node("Cast", [f"{name}_nothing"], [f"{name}_cast"], to=kind),
                helper.make_node("Add", [f"{name}_cast", f"{name}_is"], [name]),
            ]
            constants["zero"] = np.float32(0)
        else:
            kind = TensorProto.FLOAT
            nodes.append(helper.make_node("Add", [f"{name}_mean", f"{name}_is"], [name]))
        axes = (declared or {}).get(name, ["N" if batched else 1, *array.shape])
        values.append(helper.make_tensor_value_info(name, kind, axes))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        values,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, str(path))
    return str(path)


def simcc(keypoints: int = 17, bins: float = 2, **others) -> dict:
    """Return the outputs of a pose network whose keypoint k is at the pixel (k, k)."""
    outputs = {}
    for name, pixels in (("simcc_x", WIDTH), ("simcc_y", HEIGHT)):
        array = np.zeros((keypoints, int(pixels * bins)), np.float32)
        at = (np.arange(keypoints) % pixels * bins).astype(int)
        array[np.arange(keypoints), at] = 1
        outputs[name] = array
    return outputs | others


def dets(count: int = 4) -> np.ndarray:
    """Return boxes after NMS: [count, 5], scores from .9 down."""
    place = 10 * np.arange(count, dtype=np.float32)[:, None]
    return np.hstack([place, place, place + 8, place + 20, 0.9 - place / 100]).astype(np.float32)


def raw_boxes(count: int = 12) -> np.ndarray:
    """Return boxes before NMS: [count, 4]."""
    place = np.arange(count, dtype=np.float32)[:, None]
    return np.hstack([place, place, place + 8, place + 20]).astype(np.float32)
