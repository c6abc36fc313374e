"""The contract with ONNX files that users bring: read off the file, and checked before anything runs with it.

A file may name its tensors as it likes and lay out its input either way; what cannot be told from names is
told by shapes, from one run of the network where ONNX Runtime is installed.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posegauge.errors import PoseGaugeError
from posegauge.pipeline.conventions import NMS_PRE, STRIDES
from posegauge.pipeline.keypoint_sets import SETS, of_count
from posegauge.settings import onnx_files
from posegauge.settings.onnx_files import FLOAT, INT32, INT64, Tensor, described

# What a network must give, by its role: the names of its outputs in the run's own file.
EXPECTED = {
    "detector": "boxes after NMS (dets [N, K, 5] of x1, y1, x2, y2, score, with labels [N, K] where it knows "
    "several classes) or before (boxes [N, A, 4] of x1, y1, x2, y2 and scores [N, A, classes])",
    "pose": "SimCC: simcc_x [N, K, bins over the width] and simcc_y [N, K, bins over the height]",
}


@dataclass(frozen=True)
class Contract:
    """What is known of an ONNX file, and what is done to it so that it fits the pipeline."""

    input: Tensor
    layout: str  # NCHW | NHWC
    outputs: dict[str, Tensor]  # by the pipeline's names, in its order; shapes of a run where there was one
    classes: int | None = None  # of a detector that gives scores of each
    notes: tuple[str, ...] = field(default=())  # what was taken on the user's behalf


def check(path, role: str, input_size, entry: dict | None = None) -> Contract:
    """Return the contract of an ONNX file; every fault that is found is in one PoseGaugeError.

    Args:
        path: of the file.
        role: detector or pose.
        input_size: (width, height) of the config.
        entry: the model's other keys: keypoints, person_label.
    """
    path, entry = Path(path), entry or {}
    model = onnx_files.read(path)
    faults, given = onnx_files.faults(path, model), onnx_files.inputs_of(model)
    faults += _input_faults(given, role, input_size)
    if not faults:
        contract = _contract(path, model, given[0], role, tuple(input_size), entry)
        if not isinstance(contract, list):
            return contract
        faults = contract
    raise PoseGaugeError("; ".join(f"{path}: {fault}" if i == 0 else fault for i, fault in enumerate(faults)))


# ---------------------------------------------------------------------------------------------- the input


def _input_faults(given: list[Tensor], role: str, input_size) -> list[str]:
    width, height = input_size
    wanted = f"expected one float32 input [N, 3, {height}, {width}]"
    if len(given) != 1:
        return [f"has {len(given)} inputs ({', '.join(map(str, given))}), {wanted}"]
    (one,) = given
    if one.shape is None or len(one.shape) != 4:
        return [f"its input is {one}, {wanted}"]
    faults = []
    if one.type != FLOAT:
        faults.append(f"its input is {one}, {wanted}: export it with a float32 input")
    batch, *axes = one.shape
    channels, rows, columns = _axes(axes)
    if channels not in (3, None):
        faults.append(f"its input is {one}, of {channels} channels where images have 3")
    key = f"models.{role}.input_size"
    if (rows, columns) != (height, width) and rows == width and columns == height:
        faults.append(f"its input is {one}: {key} is [width, height], so say [{columns}, {rows}]")
    elif rows not in (height, None) or columns not in (width, None):
        said = f"[{columns or width}, {rows or height}]"
        faults.append(f"its input is {one}, {key} is [{width}, {height}]: say {key}: {said}")
    if batch is not None and (role == "pose" or batch != 1):
        more = "persons are batched" if role == "pose" else "images come one by one"
        free = "a dynamic batch" if role == "pose" else "a dynamic batch, or one of 1"
        faults.append(f"its batch is fixed to {batch}, {more}: export it with {free}")
    return faults


def _axes(axes: list) -> tuple:
    """Return (channels, height, width) of an input's last three axes; channels first unless they are last."""
    if axes[2] == 3 and axes[0] != 3:
        return axes[2], axes[0], axes[1]
    return tuple(axes)


# --------------------------------------------------------------------------------------------- the outputs


def _contract(path: Path, model, given: Tensor, role: str, input_size, entry: dict) -> Contract | list[str]:
    """Return the contract, or the faults."""
    layout = "NHWC" if given.shape[3] == 3 and given.shape[1] != 3 else "NCHW"
    declared = [described(value) for value in model.graph.output]
    ran = _run(path, given, layout, input_size, 2 if role == "pose" else 1)
    if isinstance(ran, str):
        return [ran]
    outputs = [Tensor(o.name, o.type, ran[o.name].shape) for o in declared] if ran else declared
    chosen = _outputs_of(role, outputs, input_size)
    if isinstance(chosen, str):
        return [chosen]
    notes = (
        []
        if layout == "NCHW"
        else [f"its input {given} has the channels last: a transposition is put before"]
    )
    renamed = {name: tensor.name for name, tensor in chosen.items() if tensor.name != name}
    if renamed:
        told = ", ".join(f"{old} is {new}" for new, old in renamed.items())
        notes.append(f"its outputs are told by their shapes: {told}")
    check_outputs = _detector_faults if role == "detector" else _pose_faults
    faults, more = check_outputs(chosen, ran, input_size, entry)
    if faults:
        return faults
    classes = chosen["scores"].shape[2] if "scores" in chosen and chosen["scores"].shape else None
    return Contract(given, layout, chosen, classes, (*notes, *more))


def _run(path: Path, given: Tensor, layout: str, input_size, batch: int):
    """Run the network once on grey images; {output: array}, None without ONNX Runtime, or what went wrong."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    width, height = input_size
    shape = (batch, 3, height, width) if layout == "NCHW" else (batch, height, width, 3)
    try:
        # Shapes that lie beside the file ONNX Runtime cannot read; the run's own file has them inside.
        content = onnx_files.whole(path) if onnx_files.weights_beside(path) else str(path)
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own per status code
        return f"ONNX Runtime cannot load it: {_first_line(error)}"
    try:
        names = [output.name for output in session.get_outputs()]
        outputs = session.run(names, {given.name: np.zeros(shape, np.float32)})
    except Exception as error:
        what = "a batch of 2, though it declares a dynamic batch" if batch == 2 else "its input"
        return f"does not run on {what} ({list(shape)}): {_first_line(error)}. Export it again"
    return dict(zip(names, outputs, strict=True))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _rank(tensor: Tensor) -> int | None:
    return None if tensor.shape is None else len(tensor.shape)


def _outputs_of(role: str, outputs: list[Tensor], input_size) -> dict[str, Tensor] | str:
    """Return the outputs by the pipeline's names, or why they cannot be."""
    by_name = {tensor.name: tensor for tensor in outputs}
    found = _named(role, by_name) or (
        _detector_outputs(outputs) if role == "detector" else _pose_outputs(outputs, input_size)
    )
    if found:
        return found
    looks = _looks_like(role, outputs, input_size)
    told = ", ".join(map(str, outputs))
    return f"a {role} must give {EXPECTED[role]}; this file gives {told}{f': {looks}' if looks else ''}"


NAMED = {
    "detector": (("boxes", "scores"), ("dets", "labels"), ("dets",)),
    "pose": (("simcc_x", "simcc_y"),),
}


def _named(role: str, by_name: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the outputs where they have the pipeline's names and number of axes."""
    for names in NAMED[role]:
        if set(names) == set(by_name) and all(
            _rank(by_name[name]) in (None, 2 if name == "labels" else 3) for name in names
        ):
            return {name: by_name[name] for name in names}
    return None


def _detector_outputs(outputs: list[Tensor]) -> dict[str, Tensor] | None:
    real = [o for o in outputs if o.type == FLOAT and _rank(o) == 3]
    whole = [o for o in outputs if o.type in (INT32, INT64) and _rank(o) == 2]
    if len(real) == 1 and len(real) + len(whole) == len(outputs) <= 2 and real[0].shape[2] == 5:
        return {"dets": real[0]} | ({"labels": whole[0]} if whole else {})
    if len(real) == len(outputs) == 2 and real[0].shape[1] == real[1].shape[1]:
        boxes = [o for o in real if o.shape[2] == 4]
        if len(boxes) == 1:
            (scores,) = (o for o in real if o is not boxes[0])
            return {"boxes": boxes[0], "scores": scores}
    return None


def _pose_outputs(outputs: list[Tensor], input_size) -> dict[str, Tensor] | None:
    if len(outputs) != 2 or any(o.type != FLOAT or _rank(o) != 3 or None in o.shape for o in outputs):
        return None
    one, other = outputs
    if one.shape[1] != other.shape[1]:
        return None
    width, height = input_size
    for x, y in ((one, other), (other, one)):
        if x.shape[2] * height == y.shape[2] * width:
            return {"simcc_x": x, "simcc_y": y}
    return None


def _looks_like(role: str, outputs: list[Tensor], input_size) -> str | None:
    """Say what a network is that is neither, by what it gives."""
    shapes = [o.shape for o in outputs if o.shape]
    ranks = sorted(len(shape) for shape in shapes)
    one_stage = "a network that finds persons and keypoints at once (RTMO, YOLO-pose); here are two networks"
    if any(len(s) == 4 and s[2] in (17, 26, 133) and s[3] in (2, 3) for s in shapes):
        return one_stage
    if len(outputs) == 1 and ranks == [3]:
        low, high = sorted(shapes[0][1:], key=lambda axis: axis or 0)
        if low in (51 + 5, 51 + 6) or high in (51 + 5, 51 + 6):
            return one_stage
        if role == "detector" and shapes[0][2] == 6:
            return (
                "boxes with score and class in six columns, or boxes that are not decoded: export it with "
                "boxes and scores, or with dets and labels"
            )
        if role == "detector" and low and low >= 5:
            return "boxes that are not decoded (YOLO): export it with NMS, or with boxes decoded and scores"
    if ranks and set(ranks) == {4}:
        if role == "pose":
            return "heat maps; only SimCC is read"
        return "maps of a head that is not decoded: export it with boxes decoded, or with NMS"
    if role == "pose" and len(shapes) == 3 and ranks == [3, 3, 3]:
        return "SimCC in three dimensions; only two are read"
    if role == "pose" and any(s[-1] in (2, 3) for s in shapes):
        return "coordinates of keypoints; only SimCC is read"
    if role == "pose" and any(o.name in ("dets", "boxes") for o in outputs):
        return "a detector: is it the file of models.detector?"
    if role == "detector" and any(o.name.startswith("simcc") for o in outputs):
        return "a pose network: is it the file of models.pose?"
    return None


def _detector_faults(chosen: dict, ran, input_size, entry: dict) -> tuple[list[str], list[str]]:
    """Return (faults, notes) of a detector's outputs."""
    faults, notes = [], []
    wrong = [o for name, o in chosen.items() if name != "labels" and o.type != FLOAT]
    faults += [f"its output is {tensor}, expected float32" for tensor in wrong]
    label = entry.get("person_label", 0)
    first = chosen.get("boxes", chosen.get("dets"))
    last = 4 if "boxes" in chosen else 5
    if first.shape and first.shape[-1] not in (None, last):
        faults.append(f"its output is {first}, expected {last} numbers for each box")
    if "boxes" in chosen and first.shape and first.shape[1]:
        # The study's protocol keeps the best of each of RTMDet's levels; see study_protocol.best_of_levels.
        cells = sum((input_size[0] // stride) * (input_size[1] // stride) for stride in STRIDES)
        if first.shape[1] > NMS_PRE and first.shape[1] != cells:
            faults.append(
                f"gives {first.shape[1]} boxes before NMS, expected {cells}, one for each cell of strides "
                f"{', '.join(map(str, STRIDES))}, or up to {NMS_PRE}: export it with NMS"
            )
    if "scores" in chosen and chosen["scores"].shape:
        classes = chosen["scores"].shape[2]
        if classes and label >= classes:
            faults.append(f"gives scores of {classes} classes, models.detector.person_label is {label}")
        elif classes and classes > 1:
            notes.append(f"it knows {classes} classes: those with label {label} are persons")
    elif "labels" in chosen:
        notes.append(f"of its labels {label} is the person: other boxes do not count")
    if ran and not faults:
        boxes = ran[first.name][..., :4].reshape(-1, 4)
        boxes = boxes[np.abs(boxes).sum(1) > 0]
        if len(boxes) and (boxes[:, 2:] < boxes[:, :2]).any(1).mean() > 0.1:
            faults.append(
                f"the boxes of {first.name} are no corners x1, y1, x2, y2: they look like centre and size"
            )
        elif len(boxes) > 10 and np.abs(boxes).max() <= 2:
            faults.append(f"the boxes of {first.name} are parts of the image, expected pixels of the input")
        if "scores" in chosen:
            scores = ran[chosen["scores"].name]
            if scores.size and (scores.min() < 0 or scores.max() > 1):
                found = f"{scores.min():.3g} to {scores.max():.3g}"
                faults.append(f"{chosen['scores'].name} goes from {found}: expected scores of 0 to 1")
    return faults, notes


def _pose_faults(chosen: dict, ran, input_size, entry: dict) -> tuple[list[str], list[str]]:
    """Return (faults, notes) of a pose network's outputs."""
    x, y = chosen["simcc_x"], chosen["simcc_y"]
    faults = [f"its output is {tensor}, expected float32" for tensor in (x, y) if tensor.type != FLOAT]
    notes = []
    width, height = input_size
    if x.shape and y.shape and None not in (x.shape[2], y.shape[2]):
        bins = x.shape[2] / width, y.shape[2] / height
        if bins[0] != bins[1]:
            faults.append(
                f"simcc_x has {x.shape[2]} bins for {width} pixels ({bins[0]:g} to a pixel), simcc_y "
                f"{y.shape[2]} for {height} ({bins[1]:g}): expected as many to a pixel in both; is "
                f"models.pose.input_size, [{width}, {height}], that of the network?"
            )
        elif bins[0] != 2:
            notes.append(f"its SimCC has {bins[0]:g} bins to a pixel")
    name = entry.get("keypoints", "coco")
    wanted = SETS[name].count
    counts = {tensor.shape[1] for tensor in (x, y) if tensor.shape and tensor.shape[1]}
    if counts and counts != {wanted}:
        found = " and ".join(str(count) for count in sorted(counts))
        known = of_count(max(counts)) if len(counts) == 1 else None
        if known:
            (key,) = (key for key, value in SETS.items() if value is known)
            way_out = f"if they are those of {known.title}, COCO's 17 first, say models.pose.keypoints: {key}"
        else:
            sets = ", ".join(f"{key} ({value.count})" for key, value in SETS.items())
            way_out = f"only sets that begin with COCO's 17 can be scored: {sets}"
        faults.append(f"has {found} keypoints, {wanted} expected (models.pose.keypoints: {name}); {way_out}")
    return faults, notes
