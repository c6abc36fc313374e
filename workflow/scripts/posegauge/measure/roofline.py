"""The least time that a network's arithmetic and memory traffic take on a machine: a latency row's floor.

FLOPs and bytes are counted from the ONNX file, by shape inference; what the machine can do is measured (see
machine_rates.py). What the floor means, and what it does not: docs/metrics.md.
"""

import logging
import math
from collections.abc import Iterable

from posegauge.errors import PoseGaugeError
from posegauge.measure import machine_rates
from posegauge.pipeline.steps import MAX_POSE_BATCH
from posegauge.store.files import sha256_file
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record

BYTES = {"fp32": 4, "fp16": 2}  # of one number; int8 has no measured rate, so no floor


# Batches that are counted; the figures of others follow from the first (see at_batch).
POSE_BATCHES = (1, 2, 8, 32)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# One FLOP for each number of the output, by the usual convention: a sigmoid costs more, but beside the
# convolutions neither matters.
ELEMENTWISE = _names("""
    Abs Add And BatchNormalization Ceil Clip Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual
    HardSigmoid HardSwish InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log Max Mean
    Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Softmax Softplus Sqrt
    Sub Sum Tanh Where
""")


# One FLOP for each number of the input.
REDUCTIONS = _names("""
    ArgMax ArgMin GlobalAveragePool GlobalMaxPool ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare
""")


# Numbers go from one place to another.
MOVES = _names("""
    Cast Concat DepthToSpace DequantizeLinear Expand Gather GatherElements GatherND Pad QuantizeLinear
    Resize ScatterElements ScatterND Slice SpaceToDepth Split Tile Transpose
""")


# They give another shape or name to the same numbers, or none at all.
VIEWS = _names("""
    Constant ConstantOfShape Dropout Flatten Identity Range Reshape Shape Size Squeeze Unsqueeze
""")


def measure_device(config: dict, device: str, files: dict, threads: int) -> dict:
    """Count the work of both networks, and measure what a device can do at best.

    Args:
        config: models, pipeline.flip_test.
        device: "cpu" or "cuda".
        files: {"detector", "pose": the run's ONNX files in FP32}.
        threads: CPU threads.

    Returns:
        The record for results/<run>/roofline/<device>.json (roofline.schema.yaml). Work that cannot be
        counted and a device that is not here have their reason in it.
    """
    counted = {}
    for role, batches in (("detector", (1,)), ("pose", POSE_BATCHES)):
        path, model = files[role], config["models"][role]
        counted[role] = {"name": model["name"], "sha256": sha256_file(path), "status": "ok", "reason": None}
        try:
            counted[role] |= count(path, model["input_size"], batches)
        except PoseGaugeError as error:
            counted[role] |= {"status": "not counted", "reason": str(error)}
            logging.getLogger("posegauge").warning("%s", error)
    rates = None
    with attempt(device) as outcome:
        rates = machine_rates.measure(device, threads)
    return make_record(
        "roofline",
        collect(config, {}, threads),
        outcome,
        device=device,
        threads=threads,
        cache_bytes=machine_rates.cache_bytes(),
        rates=rates,
        pose_calls=2 if config["pipeline"]["flip_test"] else 1,
        networks=counted,
    )


# ------------------------------------------------------------------------------------ counting one network


def count(path, input_size: tuple[int, int], batches: Iterable[int]) -> dict:
    """Count the arithmetic and the memory traffic of an ONNX file with one image input.

    Args:
        path: the file, with a free or a fixed batch.
        input_size: (width, height), where the file leaves them free.
        batches: for which a dynamic batch is counted; a fixed one is counted as it is.

    Returns:
        {"weights": numbers in it, "weights_read": the same, once for each node that reads them,
        "batches": [{"batch", "macs": multiply-adds of convolutions and matrix products, "flops": 2 per
        multiply-add and 1 per number of elementwise nodes, "numbers_minimum": weights, input and outputs
        once, which nothing can avoid, "numbers_moved": every node reads its inputs and writes its outputs}],
        "not_counted": types of nodes that were left out}. Numbers are those with a fraction; whole ones
        (shapes, indices) are not counted.

    Raises:
        PoseGaugeError: the shapes cannot be told, or the file has more inputs.
    """
    import onnx

    model = onnx.load(str(path))
    names = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in names]
    if len(inputs) != 1:
        raise PoseGaugeError(f"{path}: {len(inputs)} inputs, expected one (the image)")
    fixed = inputs[0].type.tensor_type.shape.dim[0].dim_value
    found = [_count_batch(path, model, input_size, batch) for batch in ([fixed] if fixed else batches)]
    counted = {key: found[0][key] for key in ("weights", "weights_read", "not_counted")} | {
        "batches": [{key: of[key] for key in PER_BATCH} for of in found]
    }
    for of in counted["batches"]:
        # The figures of other batches are taken from this: weights once, the rest for each image.
        if any(abs(at_batch(counted, of["batch"])[key] - of[key]) > 1e-3 * of[key] for key in PER_BATCH):
            raise PoseGaugeError(f"{path}: the work does not grow with the batch as expected")
    return counted


PER_BATCH = ("batch", "macs", "flops", "numbers_minimum", "numbers_moved")


def _count_batch(path, model, input_size: tuple[int, int], batch: int) -> dict:
    import onnx

    shapes = _shapes(path, model, input_size, batch)
    kinds = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and (value := _attribute(node, "value")) is not None:
            kinds[node.output[0]] = value
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    weights = {name: math.prod(tensor.dims) for name, tensor in kinds.items() if tensor.data_type in floats}
    whole = {name for name, tensor in kinds.items() if tensor.data_type not in floats}

    def numbers(name: str) -> int:
        if not name or name in whole:
            return 0
        if name in weights:
            return weights[name]
        kind, shape = shapes.get(name, (None, None))
        if kind is not None and kind not in floats:
            return 0
        if shape is None:
            raise PoseGaugeError(
                f"{path}: the shape of '{name}' cannot be told, so its work cannot be counted"
            )
        return math.prod(shape)

    def shape_of(name: str) -> tuple[int, ...]:
        return tuple(kinds[name].dims) if name in kinds else shapes[name][1]

    macs = flops = moved = weights_read = 0
    left_out = set()
    for node in model.graph.node:
        kind = node.op_type
        if kind in VIEWS:
            continue
        results = sum(numbers(name) for name in node.output)
        reads = sum(numbers(name) for name in node.input)
        # A part of a tensor is read, not all of it.
        moved += results + (min(reads, results) if kind in ("Slice", "Gather", "Split") else reads)
        weights_read += sum(weights.get(name, 0) for name in node.input)
        own = _multiply_adds(node, shape_of)
        if own is not None:
            macs += own
            biased = len(node.input) > 2 and bool(node.input[2])
            flops += 2 * own + (results if biased else 0)
        elif kind in ELEMENTWISE:
            flops += results
        elif kind in REDUCTIONS:
            flops += numbers(node.input[0])
        elif kind in ("MaxPool", "AveragePool"):
            flops += results * math.prod(_attribute(node, "kernel_shape"))
        elif kind not in MOVES:
            left_out.add(kind)
    (image,) = (value.name for value in model.graph.input if value.name not in kinds)
    outputs = sum(numbers(value.name) for value in model.graph.output)
    return {
        "batch": batch,
        "macs": macs,
        "flops": flops,
        "numbers_minimum": sum(weights.values()) + numbers(image) + outputs,
        "numbers_moved": moved,
        "weights": sum(weights.values()),
        "weights_read": weights_read,
        "not_counted": sorted(left_out),
    }


def _shapes(path, model, input_size: tuple[int, int], batch: int) -> dict:
    """Return {tensor: (element type, shape or None)} for one batch."""
    import onnx

    model = onnx.ModelProto.FromString(model.SerializeToString())
    width, height = input_size
    names = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name not in names:
            for dim, size in zip(value.type.tensor_type.shape.dim, (batch, 3, height, width), strict=False):
                if not dim.dim_value:
                    dim.dim_value = size
    # What the exporter wrote holds for any batch.
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise PoseGaugeError(f"{path}: shapes cannot be told: {error}") from error
    found = {}
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        known = kind.HasField("shape") and None not in dims
        found[value.name] = (kind.elem_type, tuple(dims) if known else None)
    return found


def _attribute(node, name: str, default=None):
    import onnx

    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _multiply_adds(node, shape_of) -> int | None:
    """Return the multiply-adds of a convolution or matrix product; None for any other node."""
    kind = node.op_type
    if kind == "Conv":  # weight [out, in / groups, *kernel]: so many for each number of the output
        return math.prod(shape_of(node.output[0])) * math.prod(shape_of(node.input[1])[1:])
    if kind == "ConvTranspose":  # weight [in, out / groups, *kernel]: for each number of the input
        return math.prod(shape_of(node.input[0])) * math.prod(shape_of(node.input[1])[1:])
    if kind == "MatMul":
        return math.prod(shape_of(node.output[0])) * shape_of(node.input[0])[-1]
    if kind == "Gemm":
        rows = shape_of(node.input[0])
        return math.prod(shape_of(node.output[0])) * rows[0 if _attribute(node, "transA", 0) else -1]
    return None


# ----------------------------------------------------------------------------------------------- the floor


def at_batch(network: dict, batch: int) -> dict:
    """Return the figures of one batch from those of the first counted: weights once, the rest per image.

    network: as `count` returns.
    """
    first = network["batches"][0]
    share = batch / first["batch"]
    fixed = {"numbers_minimum": network["weights"], "numbers_moved": network["weights_read"]}
    figures = {key: fixed.get(key, 0) + (first[key] - fixed.get(key, 0)) * share for key in PER_BATCH}
    return {key: round(value) for key, value in figures.items()}


def network_floor_ms(roofline: dict, role: str, batch: int, precision: str) -> float:
    """Return the least milliseconds of one call of a network: the longer of its arithmetic and its traffic.

    roofline: of measure_device, with a device that has rates in that precision (see reason_without).
    """
    work, rates = at_batch(roofline["networks"][role], batch), roofline["rates"]
    arithmetic_s = work["flops"] / rates["matrix"][precision]["best_per_s"]
    traffic_s = work["numbers_minimum"] * BYTES[precision] / rates["copy"]["best_per_s"]
    return max(arithmetic_s, traffic_s) * 1e3


def reason_without(roofline: dict | None, precision: str) -> str | None:
    """Return why rows of a precision have no floor on the device of a roofline; None if they have one."""
    if roofline is None:
        return "the roofline of the device was not measured"
    if roofline["status"] != "ok":
        return roofline["reason"]
    if precision not in roofline["rates"]["matrix"]:
        return f"the {precision.upper()} rate of the device was not measured"
    return next((of["reason"] for of in roofline["networks"].values() if of["status"] != "ok"), None)


def floor_ms(roofline: dict | None, roles: Iterable[str], persons: int, precision: str) -> float | None:
    """Return the floor of a latency row: one call of the detector, and the pose network for all persons.

    More than MAX_POSE_BATCH persons need further calls, each of which reads the weights; the flip test calls
    the pose network twice. None where reason_without has a reason.
    """
    if reason_without(roofline, precision):
        return None
    total = 0.0
    if "detector" in roles:
        total += network_floor_ms(roofline, "detector", 1, precision)
    for first in range(0, persons, MAX_POSE_BATCH):
        batch = min(MAX_POSE_BATCH, persons - first)
        total += roofline["pose_calls"] * network_floor_ms(roofline, "pose", batch, precision)
    return total
