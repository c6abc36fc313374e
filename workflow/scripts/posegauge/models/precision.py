"""The same network in FP16: made from the FP32 ONNX file, with everything that decodes kept in FP32.

FP16 by onnxruntime.transformers.float16: it is kept up with ONNX Runtime, asks for nothing that is not here
already, and takes the list of nodes that stay. NVIDIA's AutoCast (ModelOpt) finds such a list by running the
network; here it follows from how these networks are built, and ModelOpt would bring many packages for it.
What INT8 has in common with it is here, too. Whether a file is still the model is asked elsewhere: see
posegauge.measure.parity.
"""

from collections import Counter

from posegauge.errors import PoseGaugeError
from posegauge.store.files import SCHEMA_VERSION, atomic_path, sha256_file

CONVOLUTIONS = ("Conv", "ConvTranspose")


def read_onnx(path):
    """Read an ONNX file; every node has a name afterwards. PoseGaugeError names a file that is damaged."""
    import onnx

    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        raise PoseGaugeError(f"{path}: no such file") from error
    except Exception as error:  # protobuf and the checker raise errors of their own
        raise PoseGaugeError(f"{path}: not a valid ONNX file: {error}") from error
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return model


def decoding_nodes(model) -> list[str]:
    """Return the names of the nodes that no convolution follows, in their order.

    In an RTMDet these are the sigmoid of the scores and the decoding of the boxes, in an RTMPose the whole
    head after its convolution: ScaleNorm, which sums squares, the GAU, which squares its attention, and the
    SimCC layers. They are a thousandth of the work, their numbers are those that overflow (65504 is the end
    of FP16) or are pixels of which FP16 has no fractions, and no name is needed to find them.
    """
    readers = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    before_convolution, found = set(), []
    # The nodes of a graph are sorted, so those that read an output stand behind it.
    for node in reversed(model.graph.node):
        following = [reader for name in node.output for reader in readers.get(name, ())]
        if any(reader.op_type in CONVOLUTIONS or reader.name in before_convolution for reader in following):
            before_convolution.add(node.name)
        elif node.op_type not in CONVOLUTIONS:
            found.append(node.name)
    if not before_convolution:
        raise PoseGaugeError("a network without convolutions: there is nothing to convert")
    return found[::-1]


def convert_fp16(source, path) -> dict:
    """Write the ONNX file `source` with FP16 weights and arithmetic up to its last convolutions.

    Inputs and outputs stay float32, and so do the decoding_nodes, and the 1 x 1 convolutions before them: a
    distance of 9 strides of 32 pixels has steps of a quarter pixel in FP16. Returns {"kept": how many nodes
    stay, "nodes": {"fp32", "fp16"} counts of computing nodes}. The file appears whole or not at all.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = read_onnx(source)
    _own_weights(model)
    decoding = decoding_nodes(model)
    kept = [*decoding, *last_convolutions(model, decoding)]
    converted = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    _one_cast_each(converted)
    half = OnnxModel(converted)
    # The converter casts to FP16 and back between two nodes that stay: there a large number would overflow.
    half.remove_cascaded_cast_nodes()
    half.remove_useless_cast_nodes()
    half.topological_sort()
    # Shapes and types that were noted for the network as it was are made anew by whoever reads the file.
    del half.model.graph.value_info[:]
    with atomic_path(path) as temporary:
        onnx.save(half.model, str(temporary))
        onnx.checker.check_model(str(temporary), full_check=True)
    return {"kept": len(kept), "nodes": node_precisions(half.model)}


def _one_cast_each(model) -> None:
    """Remove a cast that another one before it has made by the same name.

    Up to ONNX Runtime 1.31, as onnxruntime-gpu still is, the converter writes one for each node that reads.
    """
    made = set()
    for node in [node for node in model.graph.node if node.op_type == "Cast"]:
        if (made_by := (node.input[0], node.output[0])) in made:
            model.graph.node.remove(node)
        made.add(made_by)


def _own_weights(model) -> None:
    """Give each node weights of its own: the exporter stores equal ones once, handed on by an Identity.

    Weights of a node that stays in FP32 would be stored in FP16 if a node in FP16 had the same.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [
        node for node in model.graph.node if node.op_type == "Identity" and node.input[0] in weights
    ]:
        copy = model.graph.initializer.add()
        copy.CopyFrom(weights[node.input[0]])
        copy.name = node.output[0]
        weights[copy.name] = copy
        model.graph.node.remove(node)


def node_precisions(model) -> dict[str, int]:
    """Count the nodes that compute floating-point numbers, by the type of their first output."""
    import onnx

    # ONNX has no shape inference for dynamic batches through every node; types it always finds.
    inferred = onnx.shape_inference.infer_shapes(model)
    named = [*inferred.graph.value_info, *inferred.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in named}
    shown = {
        onnx.TensorProto.FLOAT: "fp32",
        onnx.TensorProto.FLOAT16: "fp16",
        onnx.TensorProto.INT8: "int8",
        onnx.TensorProto.UINT8: "int8",
    }
    skipped = ("Cast", "Constant", "Identity")
    found = Counter(
        shown.get(types.get(node.output[0])) for node in model.graph.node if node.op_type not in skipped
    )
    return {name: count for name, count in sorted(found.items(), key=str) if name}


def last_convolutions(model, decoding: list[str]) -> list[str]:
    """Return the names of the 1 x 1 convolutions whose outputs are decoded."""
    decoding = set(decoding)
    read = {name for node in model.graph.node if node.name in decoding for name in node.input}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in CONVOLUTIONS
        and node.output[0] in read
        and set(attribute(node, "kernel_shape", [0])) == {1}
    ]


def attribute(node, name: str, default):
    import onnx

    found = [item for item in node.attribute if item.name == name]
    return onnx.helper.get_attribute_value(found[0]) if found else default


def record(role: str, precision: str, source, path, made: dict, calibration: dict | None) -> dict:
    """Describe a converted file, for results/<run>/models/<role>_<precision>.json.

    made: what convert_fp16 or convert_int8 returned. calibration: None, or {"images", "samples"}.
    """
    import onnxruntime

    quantised = "onnxruntime.quantization, QDQ, static"
    tool = {
        "fp16": "onnxruntime.transformers.float16",
        "int8": quantised,
        "int8_openvino": f"{quantised}, no ranges of outputs",
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "precision",
        "role": role,
        "precision": precision,
        "source": str(source),
        "source_sha256": sha256_file(source),
        "onnx": str(path),
        "onnx_sha256": sha256_file(path),
        "tool": tool[precision],
        "tool_version": onnxruntime.__version__,
        "kept_fp32": made["kept"],
        "nodes": made["nodes"],
        "weight_bits": made.get("weight_bits"),
        "search": made.get("search"),
        "calibration": calibration,
    }
