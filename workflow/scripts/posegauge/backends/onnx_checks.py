"""What an ONNX file holds and what ONNX Runtime made of it: interface, types, nodes per provider, options."""

from collections import Counter

from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.models.network import Network
from posegauge.settings.onnx_contract import NAMED
from posegauge.study import Artifact

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


OUTPUTS = {role: [set(names) for names in known] for role, known in NAMED.items()}


# Types of weights, by ONNX's numbers.
TYPES = {1: "FP32", 10: "FP16", 16: "BF16", 3: "INT8", 2: "UINT8"}


SHOWN_NODES = 10


def check_interface(session, network: Network) -> None:
    """Raise PoseGaugeError unless inputs and outputs are those of the pipeline."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = {output.name for output in outputs}
    if names not in OUTPUTS[network.role]:
        expected = " or ".join(" + ".join(sorted(names)) for names in OUTPUTS[network.role])
        raise PoseGaugeError(
            f"{network.onnx}: a {network.role} must have the outputs {expected}, this file has "
            f"{', '.join(sorted(names))}. Export it with boxes decoded, or let this workflow export it from "
            "a config and a checkpoint"
        )
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
        raise PoseGaugeError(
            f"{network.onnx}: expected one float32 input [N, 3, height, width], found {found}"
        )
    wrong = [f"{item.name} {item.type}" for item in outputs if item.name != "labels"]
    wrong = [found for found in wrong if not found.endswith("tensor(float)")]
    if wrong:
        raise PoseGaugeError(f"{network.onnx}: outputs must be float32, found {', '.join(wrong)}")
    shape = inputs[0].shape
    expected_shape = [3, network.input_size[1], network.input_size[0]]
    for given, expected in zip(shape[1:], expected_shape, strict=True):
        if isinstance(given, int) and given != expected:
            raise PoseGaugeError(
                f"{network.onnx}: the file takes {shape[1:]}, the config's input_size asks for "
                f"{expected_shape}; set models.{network.role}.input_size (width, height) to the file's"
            )
    if network.role == "pose" and isinstance(shape[0], int):
        raise PoseGaugeError(
            f"{network.onnx}: the batch size is fixed to {shape[0]}; persons are batched, so the pose "
            "network needs a dynamic batch"
        )


def network_input(path: str) -> str:
    """Return the name of the first input of an ONNX file."""
    import onnx

    return onnx.load(path, load_external_data=False).graph.input[0].name


def fixed_batch(session) -> bool:
    """Whether a network's batch is fixed, at one (see onnx_contract): it takes images one after another."""
    return isinstance(session.get_inputs()[0].shape[0], int)


def precision(path: str) -> str:
    """Say in which types an ONNX file holds its weights: "FP16: 120 tensors, FP32: 7 tensors"."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    counts = Counter(TYPES[w.data_type] for w in graph.initializer if w.dims and w.data_type in TYPES)
    return ", ".join(f"{name}: {count} tensors" for name, count in sorted(counts.items())) or "no weights"


def check_precision(network: Network, artifact: Artifact) -> None:
    """Raise Unavailable when a row says FP16 or INT8 and its file has no weights of that type.

    The TensorRT provider makes FP16 of an FP32 file itself.
    """
    wanted = {"fp16": ("FP16",), "int8": ("INT8", "UINT8")}.get(artifact.precision)
    found = precision(network.onnx) if wanted and artifact.execution != "tensorrt" else ""
    if found and not any(name in found for name in wanted):
        raise Unavailable(f"{network.onnx}: the row is {wanted[0]}, the file has {found}")


def shape_nodes(path: str) -> set[str]:
    """Return the names of the nodes of an ONNX file that compute with shapes only.

    Such a node has no input that depends on the values of the graph's inputs: it is Shape or Size, or all its
    inputs are constants or come from such nodes. ONNX Runtime puts them on the CPU on purpose (its
    GetCpuPreferredNodes), where the shapes are; no tensor is copied for it.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constant = {value.name for value in (*graph.initializer, *graph.sparse_initializer)} | {""}
    names = set()
    for node in graph.node:  # in topological order, as ONNX demands
        # A node with a subgraph may use any value of the graph inside.
        nested = any(attribute.HasField("g") for attribute in node.attribute)
        on_shapes = node.op_type in ("Shape", "Size") or all(name in constant for name in node.input)
        if on_shapes and not nested:
            constant |= set(node.output)
            names.add(node.name)
    return names - {""}


def check_nodes(network: Network, session, provider: str, allow_fallback: bool) -> dict:
    """Count the graph's nodes per provider, as ONNX Runtime assigned them.

    Returns {"nodes": {provider: count}, "cpu_shape_nodes": those of the CPU that compute with shapes only,
    "fallback_nodes": the others that are not on `provider`, "fallback": the first of them}. Raises
    Unavailable for a fall-back that is not allowed.
    """
    assigned = [
        (part.ep_name, node.name, node.op_type)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]
    if not assigned:
        raise Unavailable(f"{network.onnx}: ONNX Runtime does not say which provider runs its nodes")
    counts = dict(Counter(taken for taken, _, _ in assigned))
    shapes = shape_nodes(network.onnx) if set(counts) != {provider} else set()
    elsewhere = [item for item in assigned if item[0] != provider]
    on_shapes = [item for item in elsewhere if item[0] == CPU and item[1] in shapes]
    fallback = [f"{name} ({kind}) on {taken}" for taken, name, kind in elsewhere if name not in shapes]
    if fallback and not allow_fallback:
        more = len(fallback) - SHOWN_NODES
        raise Unavailable(
            f"{network.onnx}: {len(fallback)} of {len(assigned)} nodes do not run on {provider}: "
            f"{', '.join(fallback[:SHOWN_NODES])}{f' and {more} more' if more > 0 else ''}. Set "
            "execution.allow_fallback: true to measure it all the same"
        )
    return {
        "nodes": counts,
        "cpu_shape_nodes": len(on_shapes),
        "fallback_nodes": len(fallback),
        "fallback": fallback[:SHOWN_NODES],
    }


def check_options(network: Network, session, providers: list[tuple]) -> dict:
    """Read the options back from the session; Unavailable where it reports another value than was asked for.

    Returns {provider: {"asked": {option: value}, "not_reported": [options that it does not tell]}}, without
    addresses.
    """
    found = session.get_provider_options()
    record = {}
    for provider, options in providers:
        asked = {name: value for name, value in options.items() if name != "user_compute_stream"}
        reported = {name: str(value) for name, value in found.get(provider, {}).items()}
        for name, value in asked.items():
            if provider == CUDA and _plain(reported.get(name, value)) != _plain(value):
                raise Unavailable(
                    f"{network.name}: asked {provider} for {name} = {value}, it reports {reported[name]}"
                )
        record[provider] = {"asked": asked, "not_reported": sorted(set(asked) - set(reported))}
    return record


def _plain(value: str) -> str:
    """An option's value in lower case, true and false as 1 and 0."""
    return {"true": "1", "false": "0"}.get(value.lower(), value.lower())
