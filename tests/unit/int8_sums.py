"""Print what ONNX Runtime sums from the largest products of 8 bits, as JSON: {form: [found, exact]}.

Run by test_precision.py, under an emulator too: python int8_sums.py
"""

import json

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LENGTH = 64


def total(weight: int, kind) -> tuple[int, int]:
    """Sum LENGTH products of 255 and `weight` in ONNX Runtime's MatMulInteger: (found, exact)."""
    zero = 128 if kind == np.uint8 else 0
    weights = [np.full((LENGTH, 4), weight + zero, kind), np.array(0, np.uint8), np.array(zero, kind)]
    names = ["weights", "zero", "weights_zero"]
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", *names], ["y"])],
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [4, LENGTH])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [4, 4])],
        [numpy_helper.from_array(array, name) for array, name in zip(weights, names, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.full((4, LENGTH), 255, np.uint8)})
    return int(found[0, 0]), 255 * weight * LENGTH


def sums() -> dict:
    """Return {form of the weights: (found, exact)}."""
    forms = {"8 bits": (127, np.int8), "7 bits": (64, np.int8), "8 bits, unsigned": (127, np.uint8)}
    return {name: total(*form) for name, form in forms.items()}


if __name__ == "__main__":
    print(json.dumps(sums()))
