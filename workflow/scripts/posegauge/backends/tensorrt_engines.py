"""TensorRT engines: built from ONNX, named by all that they depend on, and checked before they are used.

One code path for `tensorrt` (10.x, 11.x) and `tensorrt_rtx`, which have the same Python interface. The
network is strongly typed: each layer computes in the type that the ONNX file gives it, so FP16 comes from
models.precision and not from a flag of the builder (deprecated in 10.12, gone in 11). NMS stays outside: see
posegauge.pipeline.
"""

import ctypes
import hashlib
import importlib
import logging
import re
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from posegauge.backends import base
from posegauge.backends.base import Options, require_cuda
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.install import locks
from posegauge.models.network import Network
from posegauge.store.files import SCHEMA_VERSION, atomic_path, read_json, sha256_file, sha256_json, write_json
from posegauge.store.record import attempt

log = logging.getLogger("posegauge")


SCHEMA = "engine.schema.yaml"
# Library: (its package, what installs it), where that is not its own name and `make setup-cuda`.
PACKAGES = {"tensorrt_rtx": ("tensorrt-rtx-cu13", "make setup")}


# Types of tensors in TensorRT's words, and as they are written here. Integers only count shapes.
PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}


# CUdevice_attribute of the driver's interface.
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76


@dataclass(frozen=True)
class Gpu:
    """The card that an engine is built for."""

    name: str  # "any" for all cards of the compute capability
    compute_capability: str  # "8.9"


def gpu() -> Gpu:
    """Return this machine's first CUDA device; Unavailable where there is none."""
    require_cuda()
    driver = ctypes.CDLL("libcuda.so.1")
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    numbers = [ctypes.c_int(), ctypes.c_int()]
    failed = driver.cuDeviceGet(ctypes.byref(device), 0)
    failed |= driver.cuDeviceGetName(name, len(name), device)
    for number, attribute in zip(numbers, (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR), strict=True):
        failed |= driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    if failed:
        raise Unavailable("the CUDA driver does not say which GPU this is")
    return Gpu(name.value.decode(), ".".join(str(number.value) for number in numbers))


def load_library(name: str):
    """Import tensorrt or tensorrt_rtx; Unavailable with what to do where that fails."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package, command = PACKAGES.get(name, (name, "make setup-cuda"))
        raise Unavailable(locks.why_missing(package, command)) from error
    except Exception as error:  # a library of NVIDIA's that it loads is missing, or of another version
        raise Unavailable(f"{name} cannot be imported: {error}") from error


def require_driver(library: str) -> None:
    """Raise Unavailable when the driver is older than the CUDA that the library was made for."""
    for built_for in (13, 12):
        try:
            version = metadata.version(f"{library}_cu{built_for}")
        except metadata.PackageNotFoundError:
            continue
        base.require_driver(f"{library} {version}", f"{built_for}.0")


def target(options: Options) -> Gpu:
    """Return what engines are built for: this machine's GPU, or the config's compute capability.

    Unavailable without a GPU, or where the two do not agree.
    """
    wanted = options.compute_capability
    if wanted is None:
        require_cuda()
        require_driver(options.library)
        return gpu()
    if options.library != "tensorrt_rtx":
        raise PoseGaugeError(
            f"engine.compute_capability: is {wanted}, but {options.library} builds for the GPU at hand only; "
            "say null, or engine.library: tensorrt_rtx"
        )
    return Gpu("any", wanted)


def shapes(network: Network, options: Options) -> list[list[int]]:
    """Return the smallest, usual and largest input shape of a network's engine.

    PoseGaugeError when the batches of the config are not in this order.
    """
    width, height = network.input_size
    batches = (1, 1, 1) if network.role == "detector" else options.pose_batches
    if sorted(batches) != list(batches):
        raise PoseGaugeError(
            f"engine.pose_batches: is {list(batches)}, expected the smallest, the usual and the largest batch"
        )
    return [[batch, 3, height, width] for batch in batches]


def key_parts(network: Network, card: Gpu, options: Options) -> dict:
    """Return all that an engine depends on; engines with other parts have other names."""
    return {
        "role": network.role,
        "onnx_sha256": sha256_file(network.onnx),
        "gpu": card.name,
        "compute_capability": card.compute_capability,
        "library": options.library,
        "library_version": load_library(options.library).__version__,
        "options": {
            "shapes": shapes(network, options),
            "optimization_level": options.optimization_level,
            "strongly_typed": True,
            "tf32": False,
        },
    }


def engine_path(parts: dict, folder) -> Path:
    """Return the file of an engine: pose_nvidia-l4_sm89_tensorrt-10.16.1.11_<key>.engine."""
    name = re.sub(r"[^a-z0-9]+", "-", parts["gpu"].lower()).strip("-")
    card = f"{name}_sm{parts['compute_capability'].replace('.', '')}"
    library = f"{parts['library']}-{parts['library_version']}"
    return Path(folder) / f"{parts['role']}_{card}_{library}_{sha256_json(parts)[:16]}.engine"


def fault(path: Path, parts: dict) -> str | None:
    """Return why the engine at `path` must not be used; None where it is whole and what was asked for."""
    record = path.with_suffix(".json")
    if not path.is_file():
        return "not built yet"
    try:
        found = read_json(record)
        if found["parts"] != parts:
            return "built from something else"
        if found["engine_sha256"] != sha256_file(path):
            return "damaged"
    except (PoseGaugeError, KeyError, TypeError) as error:
        return f"without a record that can be read ({error})"
    return None


def ensure(network: Network, options: Options, card: Gpu | None = None) -> dict:
    """Return the record of the network's engine for this GPU; build it where there is no sound one.

    Raises Unavailable where this machine cannot, PoseGaugeError where ONNX file or config are at fault.
    """
    card = card or target(options)
    parts = key_parts(network, card, options)
    path = engine_path(parts, options.engines)
    if reason := fault(path, parts):
        if path.is_file():
            log.warning("%s: %s; it is built anew", path, reason)
        path.unlink(missing_ok=True)
        build(network, parts, path)
    return read_json(path.with_suffix(".json"))


def role_record(network: Network, options: Options) -> dict:
    """Return the record of a run's engine for results/<run>/engines/<role>.json; it says why there is none.

    That of a file at fault too: the rows of other runtimes go on.
    """
    with attempt(network.role) as outcome:
        try:
            return ensure(network, options)
        except PoseGaugeError as error:
            log.error("%s: not built: %s", network.role, error)
            raise Unavailable(str(error)) from error
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "engine",
        "role": network.role,
        **outcome.fields(),
        **dict.fromkeys(("engine", "engine_sha256", "bytes", "parts", "build_s", "layers")),
    }


# ------------------------------------------------------------------------------------------------ the builder


def make_logger(trt):
    """Return an ILogger of the library that passes messages on and keeps the errors in `.errors`."""
    levels = {"INTERNAL_ERROR": logging.ERROR, "ERROR": logging.ERROR, "WARNING": logging.WARNING}

    class Logger(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)
            self.errors = []

        def log(self, severity, message):
            level = levels.get(severity.name, logging.DEBUG)
            log.log(level if level == logging.ERROR else logging.DEBUG, "%s: %s", trt.__name__, message)
            if level == logging.ERROR:
                self.errors.append(message)

    return Logger()


def parse(trt, builder, logger, network: Network):
    """Return (strongly typed network definition, its parser) of the network's ONNX file.

    The parser owns the weights, so it must live as long as the definition. PoseGaugeError names the operator
    that the library lacks.
    """
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    definition = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse_from_file(str(network.onnx)):
        faults = [parser.get_error(index) for index in range(parser.num_errors)]
        raise PoseGaugeError(
            f"{network.onnx}: {trt.__name__} {trt.__version__} cannot read this {network.role}: "
            + ("; ".join(map(_parse_fault, faults)) or "not an ONNX file")
        )
    if definition.num_inputs != 1:
        raise PoseGaugeError(
            f"{network.onnx}: {trt.__name__} {trt.__version__} cannot read this {network.role}: "
            f"a network with {definition.num_inputs} inputs, expected one"
        )
    outputs = {definition.get_output(index).name for index in range(definition.num_outputs)}
    if "dets" in outputs:
        raise PoseGaugeError(
            f"{network.onnx}: has NMS inside, which TensorRT does not run: export it with boxes and scores"
        )
    return definition, parser


def _parse_fault(fault) -> str:
    """Return what a ParserError says, with the operator first where the library lacks it."""
    operator, node, told = fault.node_operator(), fault.node_name(), fault.desc()
    if not operator:
        return f"not a sound ONNX file ({told})"
    if fault.code().name.startswith("UNSUPPORTED") or "Plugin not found" in told:
        return f"the operator {operator} (node '{node}') is not supported"
    return f"node '{node}' ({operator}): {told}"


def _set_shapes(builder, config, definition, network: Network, wanted: list) -> None:
    """Fix the detector's input, or give the pose network its profile; PoseGaugeError where neither fits."""
    least, usual, most = wanted
    tensor = definition.get_input(0)
    fixed = [
        (own, size)
        for own, sizes in zip(tuple(tensor.shape), zip(least, most, strict=True), strict=True)
        for size in sizes
        if own not in (-1, size)
    ]
    if fixed:
        raise PoseGaugeError(
            f"{network.onnx}: takes {list(tensor.shape)}, the engine of the {network.role} is to take "
            f"{least} to {most}: give an ONNX file with a dynamic batch and the config's input_size, or "
            "other engine.pose_batches"
        )
    if least == most:
        tensor.shape = tuple(least)
        return
    profile = builder.create_optimization_profile()
    profile.set_shape(tensor.name, tuple(least), tuple(usual), tuple(most))
    if config.add_optimization_profile(profile) < 0:
        raise PoseGaugeError(f"{network.onnx}: the profile {wanted} is refused")


def layers(definition) -> dict[str, dict[str, int]]:
    """Count the layers of a definition by kind and by the precision of what they give out.

    In a strongly typed network that is what the engine computes in. Layers of integers are left out.
    """
    found = {}
    for index in range(definition.num_layers):
        layer = definition.get_layer(index)
        precision = PRECISIONS.get(layer.get_output(0).dtype.name)
        if precision and layer.type.name not in ("CONSTANT", "CAST"):
            kinds = found.setdefault(precision, {})
            kinds[layer.type.name.lower()] = kinds.get(layer.type.name.lower(), 0) + 1
    return found


def build(network: Network, parts: dict, path: Path) -> None:
    """Build an engine and write it with its record and the timing cache of its kind.

    Raises PoseGaugeError for an ONNX file or profile that cannot be built, Unavailable without enough memory
    or a GPU that the library can use. Engine and record appear whole or not at all, the record last.
    """
    trt = load_library(parts["library"])
    logger = make_logger(trt)
    begin = time.perf_counter()
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # the factory gave nothing: no driver, or one that is too old
        raise Unavailable(f"{parts['library']} does not start: {last_error(logger)}") from error
    definition, _parser = parse(trt, builder, logger, network)
    config = builder.create_builder_config()
    # Of FP32 layers, which are kept for their precision: TF32 has the mantissa of FP16.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.builder_optimization_level = parts["options"]["optimization_level"]
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _set_shapes(builder, config, definition, network, parts["options"]["shapes"])
    if parts["gpu"] == "any":
        _set_capability(trt, config, parts["compute_capability"])
    cache = None if parts["library"] == "tensorrt_rtx" else _timing_cache(config, path)
    serialized = builder.build_serialized_network(definition, config)
    if serialized is None:
        kind = Unavailable if _is_memory(logger.errors) else PoseGaugeError
        what = "out of GPU memory: make room, or lower engine.pose_batches. " if kind is Unavailable else ""
        raise kind(f"{network.onnx}: {parts['library']} cannot build this engine: {what}{last_error(logger)}")
    data = bytes(serialized)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    if cache:
        with atomic_path(cache) as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))
    record = {
        "schema_version": SCHEMA_VERSION,
        "kind": "engine",
        "role": network.role,
        "status": "ok",
        "reason": None,
        "engine": path.name,
        "engine_sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "parts": parts,
        "build_s": round(time.perf_counter() - begin, 2),
        "layers": layers(definition),
    }
    write_json(path.with_suffix(".json"), record, SCHEMA)
    log.info("%s: built in %.1f s, layers: %s", path, record["build_s"], record["layers"])


def _set_capability(trt, config, compute_capability: str) -> None:
    """Build for cards of another compute capability than that of a GPU here (tensorrt_rtx)."""
    name = f"SM{compute_capability.replace('.', '')}"
    known = trt.ComputeCapability.__members__
    if name not in known:
        numbers = ", ".join(f"{key[2:-1]}.{key[-1]}" for key in known if key.startswith("SM"))
        raise PoseGaugeError(
            f"engine.compute_capability: {trt.__name__} {trt.__version__} knows {numbers}, "
            f"not {compute_capability}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(known[name], 0)


def _timing_cache(config, path: Path) -> Path:
    """Give the builder the times of earlier builds on this GPU; return where to keep them.

    The library refuses a cache of another GPU or version; then a new one is begun.
    """
    kind = path.name.removesuffix(path.suffix).split("_", 1)[1].rsplit("_", 1)[0]
    file = path.parent / f"timing_{kind}.cache"
    known = file.read_bytes() if file.is_file() else b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
    return file


def _is_memory(errors: list[str]) -> bool:
    text = " ".join(errors).lower()
    return "out of memory" in text or "outofmemory" in text


def last_error(logger) -> str:
    return logger.errors[-1] if logger.errors else "it gives no reason"
