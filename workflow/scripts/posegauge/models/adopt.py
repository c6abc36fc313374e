"""Make the run's own file of an ONNX file that a user brings: one file, with the pipeline's names.

Only what must be is changed: names of outputs, an input with the channels last, which class is the person,
weights that lie beside the file. A file that fits is copied as it is, byte for byte.
"""

import shutil

from posegauge.errors import PoseGaugeError
from posegauge.models.network import Network
from posegauge.settings import onnx_contract
from posegauge.settings.onnx_contract import Contract
from posegauge.settings.onnx_files import weights_beside
from posegauge.store.files import atomic_path

PREFIX = "posegauge_"


def copy_onnx(network: Network, path) -> list[str]:
    """Write the given ONNX file to `path` as the pipeline takes it; return what was done, in words.

    PoseGaugeError where the file does not hold what a network of its role must; see onnx_contract.check.
    """
    import onnx

    entry = {"keypoints": network.keypoints, "person_label": network.person_label}
    contract = onnx_contract.check(network.onnx, network.role, network.input_size, entry)
    notes, beside = list(contract.notes), weights_beside(network.onnx)
    if beside:
        notes.append(f"its weights of {', '.join(beside)} are put into the file")
    try:
        if _fits(contract) and not beside:
            onnx.checker.check_model(network.onnx, full_check=True)
            model = None
        else:
            model = adopted(onnx.load(network.onnx), contract, network)
            onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx raises protobuf and checker errors of its own
        raise PoseGaugeError(f"{network.onnx}: not a valid ONNX file: {error}") from error
    with atomic_path(path) as temporary:
        if model is None:
            shutil.copyfile(network.onnx, temporary)
        else:
            onnx.save(model, str(temporary))
    return notes


def _fits(contract: Contract) -> bool:
    same_names = all(name == tensor.name for name, tensor in contract.outputs.items())
    one_class = "labels" not in contract.outputs and contract.classes in (None, 1)
    return contract.layout == "NCHW" and same_names and one_class


def adopted(model, contract: Contract, network: Network):
    """Change an ONNX model, its weights in memory, as its contract says; return it."""
    from onnx import TensorProto, helper

    graph = model.graph
    kept = {value.name: value for value in graph.output}
    for name, tensor in contract.outputs.items():
        if tensor.name != name:
            # Another tensor inside may have the name.
            _rename(graph, name, f"{PREFIX}{name}")
            _rename(graph, tensor.name, name)
            kept[tensor.name].name = name
    outputs = [kept[tensor.name] for tensor in contract.outputs.values()]
    del graph.output[:]
    graph.output.extend(outputs)
    if contract.layout == "NHWC":
        _channels_first(graph, contract, network)
    if "labels" in contract.outputs:
        _persons_of_labels(model, contract, network.person_label)
    elif contract.classes not in (None, 1):
        _rename(graph, "scores", f"{PREFIX}all_scores")
        _constant(graph, "person", TensorProto.INT64, [1], [network.person_label])
        names = [f"{PREFIX}all_scores", f"{PREFIX}person"]
        graph.node.append(helper.make_node("Gather", names, ["scores"], f"{PREFIX}person", axis=2))
        scores = next(value for value in graph.output if value.name == "scores")
        _set_shape(scores, [*_axes(scores)[:2], 1])
    return model


def _rename(graph, old: str, new: str) -> None:
    """Rename a tensor everywhere in the graph but among its inputs and outputs."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, old, new)
                for value in inner.output:
                    value.name = new if value.name == old else value.name
    for tensor in (*graph.initializer, *graph.value_info):
        if tensor.name == old:
            tensor.name = new


def _constant(graph, name: str, kind: int, shape: list, values: list) -> None:
    from onnx import helper

    graph.initializer.append(helper.make_tensor(f"{PREFIX}{name}", kind, shape, values))


def _axes(value) -> list:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value or dim.dim_param or None for dim in dims] or [None] * 3


def _set_shape(value, axes: list) -> None:
    from onnx import helper

    kind = value.type.tensor_type.elem_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, axes))


def _channels_first(graph, contract: Contract, network: Network) -> None:
    """Put a transposition before the network: the input becomes [N, 3, height, width]."""
    from onnx import helper

    (given,) = (value for value in graph.input if value.name == contract.input.name)
    _rename(graph, given.name, f"{PREFIX}channels_last")
    name = f"{PREFIX}channels_last"
    graph.node.insert(0, helper.make_node("Transpose", [given.name], [name], name, perm=[0, 2, 3, 1]))
    width, height = network.input_size
    _set_shape(given, [_axes(given)[0], 3, height, width])


def _persons_of_labels(model, contract: Contract, label: int) -> None:
    """Multiply dets by whether their label is the person's: the score of all others is 0."""
    from onnx import TensorProto, helper

    graph, kind = model.graph, contract.outputs["labels"].type
    opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    _rename(graph, "dets", f"{PREFIX}all_dets")
    _constant(graph, "label", kind, [], [label])
    is_person, number, column = (f"{PREFIX}{name}" for name in ("is_person", "number", "column"))
    nodes = [
        helper.make_node("Equal", ["labels", f"{PREFIX}label"], [is_person], is_person),
        helper.make_node("Cast", [is_person], [number], number, to=TensorProto.FLOAT),
    ]
    if opset < 13:
        nodes.append(helper.make_node("Unsqueeze", [number], [column], column, axes=[2]))
    else:
        _constant(graph, "axis", TensorProto.INT64, [1], [2])
        nodes.append(helper.make_node("Unsqueeze", [number, f"{PREFIX}axis"], [column], column))
    dets = [f"{PREFIX}all_dets", column]
    graph.node.extend([*nodes, helper.make_node("Mul", dets, ["dets"], f"{PREFIX}persons")])
