"""ONNX files that users bring, read without their weights: inputs, outputs, and what cannot run here."""

import functools
from dataclasses import dataclass
from pathlib import Path

from posegauge.errors import PoseGaugeError
from posegauge.settings import file_kinds

FLOAT, FLOAT16, INT32, INT64, BFLOAT16 = 1, 10, 6, 7, 16
TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
    16: "bfloat16",
}  # fmt: skip

# Operators that mark a file as quantised.
QUANTISED = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "QLinearMatMul"}

# Domains of operators that ONNX Runtime brings along.
DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"}


@dataclass(frozen=True)
class Tensor:
    """An input or output as the file declares it, or as a run gave it."""

    name: str
    type: int  # ONNX's number of the element type
    shape: tuple[int | None, ...] | None  # None: not known, as a whole or of one axis

    def __str__(self) -> str:
        axes = "of unknown shape" if self.shape is None else f"{[axis or '?' for axis in self.shape]}"
        return f"{self.name} {TYPES.get(self.type, self.type)} {axes}".replace("'", "")


def weights_beside(path) -> list[str]:
    """Return the paths of the files with an ONNX file's weights beside it; none where it cannot be read."""
    path = Path(path)
    try:
        model = read(path)
    except (ImportError, OSError, PoseGaugeError):  # the check says what is wrong with it
        return []
    return [str(path.parent / name) for name in dict.fromkeys(_locations(model)) if _is_inside(name)]


def read(path):
    """Return an ONNX model without its weights; PoseGaugeError says what else the file is."""
    try:
        stat = Path(path).stat()
    except FileNotFoundError as error:
        raise PoseGaugeError(f"{path}: no such file") from error
    return _read(str(path), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _read(path: str, size: int, mtime: int):
    import onnx

    if kind := file_kinds.kind_of(path):
        hint = ": give it as `checkpoint`, with its `config`, or export it to ONNX first"
        raise PoseGaugeError(
            f"{path}: is not an ONNX file but {kind}{hint if kind == file_kinds.CHECKPOINT else ''}"
        )
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf raises a class of its own
        raise PoseGaugeError(
            f"{path}: is not an ONNX file, or one that is damaged or cut short ({size:,} bytes): fetch or "
            "export it again"
        ) from error
    if not model.graph.node or not model.opset_import:
        raise PoseGaugeError(f"{path}: holds no network that ONNX knows: export it again")
    for tensor in model.graph.initializer:
        # Nobody asks for the weights themselves, and what is read is kept.
        for values in ("raw_data", "float_data", "double_data"):
            tensor.ClearField(values)
    return model


def whole(path) -> bytes:
    """Return an ONNX file with the weights beside it inside."""
    import onnx

    return onnx.load(str(path)).SerializeToString()


def _locations(model) -> list[str]:
    """Return the file names of the weights beside the model, subgraphs and constants included."""
    found = []

    def visit(graph):
        tensors = list(graph.initializer)
        for node in graph.node:
            for attribute in node.attribute:
                tensors += [attribute.t, *attribute.tensors]
                for inner in (attribute.g, *attribute.graphs):
                    visit(inner)
        for tensor in tensors:
            if tensor.data_location == tensor.EXTERNAL:
                found.extend(item.value for item in tensor.external_data if item.key == "location")

    visit(model.graph)
    return found


def _is_inside(location: str) -> bool:
    """Whether a location leads to the folder of the file or below, as ONNX demands."""
    return not Path(location).is_absolute() and ".." not in Path(location).parts


def _weights_faults(path: Path, model) -> list[str]:
    faults = []
    for location in dict.fromkeys(_locations(model)):
        beside = path.parent / location
        if not _is_inside(location):
            faults.append(f"its weights lie in '{location}', outside its folder: put them beside it")
        elif not beside.is_file():
            faults.append(f"its weights lie in a second file, {beside}, which is not there: put it there")
    ends = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            about = {item.key: item.value for item in tensor.external_data}
            end = int(about.get("offset", 0)) + int(about.get("length", 0))
            ends[about["location"]] = max(end, ends.get(about["location"], 0))
    for location, end in ends.items():
        beside = path.parent / location
        if _is_inside(location) and beside.is_file() and beside.stat().st_size < end:
            faults.append(
                f"{beside}: {beside.stat().st_size:,} bytes, its model needs {end:,}: it is cut short or of "
                "another model"
            )
    return faults


def _type_faults(model) -> list[str]:
    """The run's FP32 file must be FP32: the FP16 and INT8 rows are made from it here."""
    kinds = {node.op_type for node in model.graph.node}
    if quantised := sorted(kinds & QUANTISED):
        return [f"is quantised ({', '.join(quantised)}): give the FP32 file, INT8 is made from it here"]
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
    short = [tensor for tensor in weights if tensor.data_type in (FLOAT16, BFLOAT16)]
    if short:
        return [
            f"is {'FP16' if short[0].data_type == FLOAT16 else 'BF16'} ({len(short)} of {len(weights)} "
            "weights): give the FP32 file, FP16 is made from it here"
        ]
    return []


def _operator_faults(model) -> list[str]:
    functions = {(f.domain, f.name) for f in model.functions}
    own = sorted(
        {
            f"{node.domain}::{node.op_type}"
            for node in model.graph.node
            if node.domain not in DOMAINS and (node.domain, node.op_type) not in functions
        }
    )
    if own:
        return [f"needs operators of its own ({', '.join(own)}): export it for ONNX Runtime without them"]
    return []


def described(value) -> Tensor:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return Tensor(value.name, kind.elem_type, None)
    shape = tuple(axis.dim_value if axis.dim_value > 0 else None for axis in kind.shape.dim)
    return Tensor(value.name, kind.elem_type, shape)


def inputs_of(model) -> list[Tensor]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [described(value) for value in model.graph.input if value.name not in constants]


def faults(path, model) -> list[str]:
    """Return what is wrong with a model that was read, whatever its role."""
    return [*_weights_faults(Path(path), model), *_type_faults(model), *_operator_faults(model)]
