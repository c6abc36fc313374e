"""The same network in INT8: made from the FP32 ONNX file, static ranges, with what loses most kept in FP32.

By onnxruntime.quantization (QDQ), which ONNX Runtime and OpenVINO both read. NNCF's accuracy control does the
same search with the scores of a validation set; here no score is looked at, so none can leak, and NNCF would
be a package more. Whether a file is still the model is asked elsewhere: see posegauge.measure.parity.
"""

import contextlib
import copy
import functools
import itertools
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posegauge.data.coco import person_boxes, spread
from posegauge.data.images import read_entry
from posegauge.errors import PoseGaugeError
from posegauge.logs import progress
from posegauge.models.precision import (
    CONVOLUTIONS,
    attribute,
    decoding_nodes,
    last_convolutions,
    node_precisions,
    read_onnx,
)
from posegauge.pipeline.conventions import USUAL, Pixels
from posegauge.pipeline.steps import detector_input, padded_box, pose_input
from posegauge.store import machine
from posegauge.store.files import atomic_path


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

# The search for what loses most looks at so many images, and at so many inputs of the network at most.
SAMPLED, MOST_SAMPLES = 8, 16


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

    def sample(self) -> list[np.ndarray]:
        """Return some of the inputs, float32 [1, 3, height, width] each, of SAMPLED images evenly spread."""
        chosen = spread(self.entries, SAMPLED)
        again = Batches(self.role, self.input_size, self.images_dir, chosen, self.annotations, self.pixels)
        return [*itertools.islice(again._read(), MOST_SAMPLES)]


def _sensitive_convolutions(model, decoding: list[str], how: Int8) -> list[str]:
    """Return the names of the convolutions that stay float32 in INT8: see convert_int8."""
    last = set(last_convolutions(model, decoding))
    convolutions = [node for node in model.graph.node if node.op_type in CONVOLUTIONS]
    return [
        node.name
        for index, node in enumerate(convolutions)
        if index < how.first
        or (not how.last and node.name in last)
        or (not how.depthwise and attribute(node, "group", 1) > 1)
    ]


def convert_int8(
    source,
    path,
    batches: Batches,
    weight_bits: int | None = None,
    how: Int8 = INT8["int8"],
    max_error: float | None = None,
) -> dict:
    """Write the ONNX file `source` with INT8 convolutions, static ranges from `batches`.

    Activations uint8, weights int8 per channel: what ONNX Runtime and OpenVINO both compute in VNNI
    instructions. A processor without them would lose part of the sums, so its weights have seven bits
    (`weight_bits`: 7 or 8; None: as this processor needs). decoding_nodes, 1 x 1 convolutions before them,
    depthwise convolutions (little work, and a range per channel that one number cannot hold) and the
    first convolutions stay float32: each was seen to bring the keypoints of the demo's models nearer to those
    of FP32. With `max_error` those stay, too, whose own error is the largest: see search. ONNX Runtime
    multiplies in eight bits only where a convolution's output has a range too, before SiLU. OpenVINO does not
    need it, and without it puts SiLU and the next range into the convolution: twice as fast, and nearer to
    FP32. docs/quantisation.md has what was tried.
    A file of an operator set before 13 is brought to a newer one, since it knows one scale per tensor only.
    Returns as convert_fp16, "weight_bits", and "search": what it returned, None without `max_error`. Raises
    PoseGaugeError where no image can be calibrated on.
    """
    import onnx

    weight_bits = weight_bits or (8 if machine.exact_int8() else 7)
    model = _newer(read_onnx(source))
    decoding = decoding_nodes(model)
    kept = [*decoding, *_sensitive_convolutions(model, decoding, how)]
    batches.input_name = model.graph.input[0].name
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as folder:
        quantise = functools.partial(
            _quantise, how=how, weight_bits=weight_bits, ranges=Path(folder) / "ranges.json"
        )
        try:
            quantise(model, temporary, kept, batches)
        except ValueError as error:
            if batches.samples:
                raise
            raise PoseGaugeError(
                "no annotated person in the images to set the ranges of INT8 by: "
                "raise precision.calibration_images"
            ) from error
        searched = None
        if max_error is not None:
            border = Border(model, batches.sample(), quantise, Path(folder))
            searched = search(border, {*kept}, max_error)
            if searched["left_out"]:
                kept += [one["name"] for one in searched["left_out"]]
                quantise(model, temporary, kept)
        onnx.checker.check_model(str(temporary), full_check=True)
        found = node_precisions(onnx.load(str(temporary)))
    return {"kept": len(kept), "nodes": found, "weight_bits": weight_bits, "search": searched}


def _quantise(model, path, kept: list[str], batches=None, *, how: Int8, weight_bits: int, ranges) -> None:
    """Write `model` to `path` with every convolution in INT8 but those of `kept`.

    ranges: file of the tensors' ranges, made from `batches` where it is missing.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with _quiet():
        quantize_static(
            copy.deepcopy(model),  # it is changed
            str(path),
            batches,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=how.per_channel,
            calibrate_method=CalibrationMethod[how.ranges],
            activation_type=QuantType.QInt8 if how.symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=weight_bits == 7,
            nodes_to_exclude=kept,
            calibration_cache_path=str(ranges),
            extra_options={
                "ActivationSymmetric": how.symmetric,
                "OpTypesToExcludeOutputQuantization": [] if how.outputs else ["Conv"],
            },
        )


class Border:
    """Where decoding begins: what INT8 changes there, beside the same network in FP32.

    What decodes is cut off, since a threshold or a maximum hides small differences and makes large ones of
    others.

    Args:
        model: the network, an ONNX ModelProto.
        samples: inputs, float32 [1, 3, height, width] each.
        quantise: (model, path, names of the nodes that stay FP32) -> None writes a file.
        folder: where files are written.
    """

    def __init__(self, model, samples: list[np.ndarray], quantise, folder: Path):
        import onnx
        from onnx.utils import Extractor

        self.tensors, self.samples = _borders(model), samples
        self.quantise, self.file = quantise, folder / "part.onnx"
        inferred = onnx.shape_inference.infer_shapes(model)
        self.part = Extractor(inferred).extract_model([model.graph.input[0].name], self.tensors)
        self.convolutions = [node.name for node in self.part.graph.node if node.op_type in CONVOLUTIONS]
        onnx.save(self.part, str(self.file))
        self.exact = self._outputs()

    def _outputs(self) -> list[np.ndarray]:
        session = _session(self.file)
        name = session.get_inputs()[0].name
        runs = [session.run(self.tensors, {name: sample}) for sample in self.samples]
        return [np.stack(values) for values in zip(*runs, strict=True)]

    def error(self, kept: set[str]) -> float:
        """Return the error with every convolution in INT8 but those of `kept`.

        The mean squared difference as a share of the variance, the mean over the tensors.
        """
        self.quantise(self.part, self.file, [name for name in self.convolutions if name in kept])
        shares = [
            float(np.square(new - old, dtype=np.float64).mean() / old.var(dtype=np.float64))
            for new, old in zip(self._outputs(), self.exact, strict=True)
            if old.dtype == np.float32 and old.var() > 0
        ]
        return float(np.mean(shares)) if shares else 0.0


def search(border: Border, kept: set[str], max_error: float) -> dict:
    """Choose the fewest convolutions that stay FP32 so that the error is no more than `max_error`.

    kept: those that stay whatever is found. Errors of quantisation are nearly independent, so they add up:
    those of each convolution alone stand for a search through combinations. Where all together make no larger
    error none is tried alone.

    Returns:
        {"max_error", "error_all": of all but `kept`, "error": of what is left in INT8, "left_out":
        [{"name", "error": in INT8 alone}], the worst first}.
    """
    candidates = [name for name in border.convolutions if name not in kept]
    found = {"max_error": max_error, "error_all": border.error(kept), "left_out": []}
    if found["error_all"] <= max_error:
        return found | {"error": found["error_all"]}
    alone = {
        one: border.error({*border.convolutions} - {one})
        for one in progress(candidates, "convolutions tried alone")
    }
    chosen = worst(alone, max_error)
    error = border.error(kept | {*chosen})
    return found | {"error": error, "left_out": [{"name": one, "error": alone[one]} for one in chosen]}


def worst(errors: dict[str, float], rest: float) -> list[str]:
    """Return the fewest names, largest errors first, without which all others add up to `rest` at most."""
    order = sorted(errors, key=lambda name: (-errors[name], name))
    # From the smallest on, so that a large error does not swallow the digits of small ones.
    sums = np.cumsum([0.0, *(errors[name] for name in reversed(order))])[::-1]
    return order[: int(np.argmax(sums <= rest))]


def _borders(model) -> list[str]:
    """Return the names of the tensors that come out of convolutions and are read where it is decoded."""
    decoding, seen, found = set(decoding_nodes(model)), set(), {}
    for node in model.graph.node:
        if node.name in decoding:
            found |= dict.fromkeys(name for name in node.input if name in seen)
        elif node.op_type in CONVOLUTIONS or any(name in seen for name in node.input):
            seen |= set(node.output)
    return list(found)


def _session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def _quiet():
    """Without the quantiser's advice to prepare the model first, which it gives each time."""
    logger = logging.getLogger()
    logger.addFilter(_no_advice)
    try:
        yield
    finally:
        logger.removeFilter(_no_advice)


def _no_advice(record) -> bool:
    return "pre-processing before quantization" not in record.getMessage()


def _newer(model):
    """Return a model in whose operator set weights can have a scale per channel."""
    import onnx

    if any(e.domain in ("", "ai.onnx") and e.version < PER_CHANNEL for e in model.opset_import):
        model = onnx.version_converter.convert_version(model, NEWER)
        for index, node in enumerate(model.graph.node):
            node.name = node.name or f"{node.op_type}_{index}"
    return model
