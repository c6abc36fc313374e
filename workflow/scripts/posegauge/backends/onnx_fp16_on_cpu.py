"""FP16 files on processors that have no FP16."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def for_cpu(path: str) -> str | bytes:
    """Return what ONNX Runtime is to load on the CPU: an FP16 file as `rounded`, any other by its path."""
    model = onnx.load(path)
    if not any(weight.data_type == TensorProto.FLOAT16 for weight in model.graph.initializer):
        return path
    return rounded(model).SerializeToString()


def rounded(model):
    """Return a copy of an FP16 model that shows its precision where ONNX Runtime computes it in float32.

    Most processors have no FP16 arithmetic. ONNX Runtime then runs such nodes in float32 and leaves out the
    rounding between them, even by casts that the file holds: nothing overflows, only the weights are FP16.
    What it does in FP16 everywhere is to move numbers about, so behind every FP16 node an axis is added and
    taken away. The sums within a node stay float32, which is how a GPU adds up products of FP16 numbers too.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    half = {
        value.name
        for value in inferred.graph.value_info
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    # Since operator set 13 the axes are an input.
    old = any(entry.domain in ("", "ai.onnx") and entry.version < 13 for entry in model.opset_import)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = []
    for node in copy.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in half and node.op_type != "Constant":
                node.output[index] = f"{name}_exact"
                for kind, source, result in (
                    ("Unsqueeze", f"{name}_exact", f"{name}_moved"),
                    ("Squeeze", f"{name}_moved", name),
                ):
                    if old:
                        nodes.append(helper.make_node(kind, [source], [result], axes=[0]))
                    else:
                        nodes.append(helper.make_node(kind, [source, "first_axis"], [result]))
    del copy.graph.node[:], copy.graph.value_info[:]
    copy.graph.node.extend(nodes)
    if not old:
        copy.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "first_axis"))
    return copy
