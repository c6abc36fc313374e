"""The same network in FP16 and INT8: made from the FP32 ONNX file, with everything that decodes kept in FP32.

FP16 by onnxruntime.transformers.float16: it is kept up with ONNX Runtime, asks for nothing that is not here
already, and takes the list of nodes that stay. NVIDIA's AutoCast (ModelOpt) finds such a list by running the
network; here it follows from how these networks are built, and ModelOpt would bring many packages for it.
INT8 by onnxruntime.quantization (QDQ, static), which ONNX Runtime and OpenVINO both read. Whether a file is
still the model is asked elsewhere: see posegauge.measure.parity.
"""

from collections import Counter
from dataclasses import dataclass

from posegauge.data.coco import person_boxes, spread
from posegauge.data.images import read_entry
from posegauge.errors import PoseGaugeError
from posegauge.pipeline.conventions import USUAL, Pixels
from posegauge.pipeline.steps import detector_input, padded_box, pose_input
from posegauge.store import machine
from posegauge.store.files import SCHEMA_VERSION, atomic_path, sha256_file

CONVOLUTIONS = ("Conv", "ConvTranspose")


@dataclass(frozen=True)
class Int8:
    """What becomes INT8, and how its ranges are set; see convert_int8."""

    first: int = 4  # convolutions at the image's end that stay as they are
    last: bool = False  # whether the 1 x 1 ones before the decoding_nodes become INT8, too
    depthwise: bool = False  # whether depthwise ones do
    per_channel: bool = True  # one scale per channel of the weights, or one in all
    symmetric: bool = False  # activations int8 around zero, or uint8 with a zero point
    outputs: bool = True  # whether what a convolution gives out has a range, or what the next one reads alone
    ranges: str = "MinMax"  # MinMax | Percentile | Entropy


# By the precision of the file.
INT8 = {"int8": Int8(), "int8_openvino": Int8(first=0, outputs=False)}


# The first operator set in which weights have a scale per channel, and that to which older files are brought.
PER_CHANNEL, NEWER = 13, 17


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
    kept = [*decoding, *_last_convolutions(model, decoding)]
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


def calibration_entries(entries: list[dict], count: int, compared: int) -> tuple[list[dict], int]:
    """Choose `count` entries of person_images.json, evenly spread, to set the ranges of INT8 by.

    compared: how many the parity gate looks at; others are taken as long as there are enough of them. Returns
    (entries, how many of them the gate looks at too).
    """
    gate = {entry["id"] for entry in spread(entries, compared)}
    others = [entry for entry in entries if entry["id"] not in gate]
    chosen = spread(others if len(others) >= count else entries, count)
    return chosen, sum(entry["id"] in gate for entry in chosen)


class Batches:
    """A calibration reader of onnxruntime.quantization: the pipeline's own inputs, image after image.

    Args:
        role: detector or pose.
        input_size: (width, height) of the network's input.
        images_dir: folder of the images.
        entries: those of person_images.json to read.
        annotations: what coco.read_annotations returned.
        pixels: how the network takes its pixels; None: as usual in its role.
    """

    input_name = None  # set before the first batch is taken

    def __init__(
        self,
        role: str,
        input_size,
        images_dir,
        entries: list[dict],
        annotations: dict,
        pixels: Pixels | None = None,
    ):
        self.role, self.input_size, self.pixels = role, tuple(input_size), pixels or USUAL[role]
        self.images_dir, self.entries, self.annotations = images_dir, entries, annotations
        self.samples = 0
        self._batches = self._read()

    def get_next(self) -> dict | None:
        """Return the next input of the network, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {self.input_name: batch}

    def _read(self):
        for entry in self.entries:
            image = read_entry(self.images_dir, entry)
            if self.role == "detector":
                self.samples += 1
                yield detector_input(image, self.input_size, self.pixels)[0]
                continue
            # The boxes as annotated: this needs no detector, and brings in no detector's mistakes.
            boxes = person_boxes(self.annotations, entry["id"])
            center, size = padded_box(boxes, self.input_size)
            self.samples += len(center)
            # One by one: percentile ranges want batches of one size.
            for crop in pose_input(image, center, size, self.input_size, self.pixels):
                yield crop[None]


def _last_convolutions(model, decoding: list[str]) -> list[str]:
    """Return the names of the 1 x 1 convolutions whose outputs are decoded."""
    decoding = set(decoding)
    read = {name for node in model.graph.node if node.name in decoding for name in node.input}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in CONVOLUTIONS
        and node.output[0] in read
        and set(_attribute(node, "kernel_shape", [0])) == {1}
    ]


def _attribute(node, name: str, default):
    import onnx

    found = [item for item in node.attribute if item.name == name]
    return onnx.helper.get_attribute_value(found[0]) if found else default


def _sensitive_convolutions(model, decoding: list[str], how: Int8) -> list[str]:
    """Return the names of the convolutions that stay float32 in INT8: see convert_int8."""
    last = set(_last_convolutions(model, decoding))
    convolutions = [node for node in model.graph.node if node.op_type in CONVOLUTIONS]
    return [
        node.name
        for index, node in enumerate(convolutions)
        if index < how.first
        or (not how.last and node.name in last)
        or (not how.depthwise and _attribute(node, "group", 1) > 1)
    ]


def convert_int8(
    source, path, batches: Batches, weight_bits: int | None = None, how: Int8 = INT8["int8"]
) -> dict:
    """Write the ONNX file `source` with INT8 convolutions, static ranges from `batches`.

    Activations uint8, weights int8 per channel: what ONNX Runtime and OpenVINO both compute in VNNI
    instructions. A processor without them would lose part of the sums, so its weights have seven bits
    (`weight_bits`: 7 or 8; None: as this processor needs). decoding_nodes, 1 x 1 convolutions before them,
    depthwise convolutions (little work, and a range per channel that one number cannot hold) and the
    first convolutions stay float32: each was seen to bring the keypoints of the demo's models nearer to those
    of FP32. ONNX Runtime multiplies in eight bits only where a convolution's output has a range too, before
    SiLU. OpenVINO does not need it, and without it puts SiLU and the next range into the convolution: twice
    as fast, and nearer to FP32. docs/quantisation.md has what was tried.
    A file of an operator set before 13 is brought to a newer one, since it knows one scale per tensor only.
    Returns as convert_fp16, and "weight_bits". Raises PoseGaugeError where no image can be calibrated on.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    weight_bits = weight_bits or (8 if machine.exact_int8() else 7)
    model = _newer(read_onnx(source))
    decoding = decoding_nodes(model)
    kept = [*decoding, *_sensitive_convolutions(model, decoding, how)]
    batches.input_name = model.graph.input[0].name
    with atomic_path(path) as temporary:
        try:
            quantize_static(
                model,
                str(temporary),
                batches,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=how.per_channel,
                calibrate_method=CalibrationMethod[how.ranges],
                activation_type=QuantType.QInt8 if how.symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=weight_bits == 7,
                nodes_to_exclude=kept,
                extra_options={
                    "ActivationSymmetric": how.symmetric,
                    "OpTypesToExcludeOutputQuantization": [] if how.outputs else ["Conv"],
                },
            )
        except ValueError as error:
            if batches.samples:
                raise
            raise PoseGaugeError(
                "no annotated person in the images to set the ranges of INT8 by: "
                "raise precision.calibration_images"
            ) from error
        onnx.checker.check_model(str(temporary), full_check=True)
        found = node_precisions(onnx.load(str(temporary)))
    return {"kept": len(kept), "nodes": found, "weight_bits": weight_bits}


def _newer(model):
    """Return a model in whose operator set weights can have a scale per channel."""
    import onnx

    if any(e.domain in ("", "ai.onnx") and e.version < PER_CHANNEL for e in model.opset_import):
        model = onnx.version_converter.convert_version(model, NEWER)
        for index, node in enumerate(model.graph.node):
            node.name = node.name or f"{node.op_type}_{index}"
    return model


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
        "calibration": calibration,
    }
