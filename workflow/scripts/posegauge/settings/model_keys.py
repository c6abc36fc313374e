"""The check of the keys of one model: the files that it is given by, and what they really are."""

import importlib.util
from pathlib import Path

from posegauge.errors import PoseGaugeError, nearest
from posegauge.settings import file_kinds, onnx_contract


def problems(values, place: str, read_files: bool):
    """Yield a line for every fault of a model.

    values: see check._Combinations.values. place: models.<role>. read_files: look into the files, too.
    """
    found = values(f"{place}.config", f"{place}.checkpoint", f"{place}.onnx")
    if not found:
        return
    config, checkpoint, onnx = found
    if onnx is not None:
        given = {"config": config, "checkpoint": checkpoint}
        if extra := [name for name, value in given.items() if value is not None]:
            names = " and ".join(extra)
            yield f"{place}: has onnx and {names}; expected one or the other: set {names} or onnx to null"
    elif config is None:
        yield (
            f"{place}: config is null; expected config and checkpoint, config alone for random weights "
            "(timing only), or onnx"
        )
    if config is not None:
        yield from _config_problems(f"{place}.config", config)
    for name, path in (("checkpoint", checkpoint), ("onnx", onnx)):
        if path is None:
            continue
        if not Path(path).is_file():
            if Path(path).parts[:1] != ("data",):  # which the workflow may make
                yield f"{place}.{name}: no file '{path}' (seen from {Path.cwd()})"
        elif read_files:
            read = _checkpoint_problems if name == "checkpoint" else _onnx_problems
            yield from read(values, place, path)


def _config_problems(place: str, config: str):
    package, separator, inside = config.partition("::")
    if not separator:
        if not Path(config).is_file():
            yield f"{place}: no file '{config}'; configs that come with MMPose are mmpose::configs/..."
        return
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:  # it lives in another environment, which will find it or not
        return
    folder = Path(spec.origin).parent / ".mim"
    if not (folder / inside).is_file():
        known = [path.relative_to(folder).as_posix() for path in folder.rglob("*.py")]
        yield f"{place}: {package} brings no config '{inside}'{nearest(inside, known)}"


def _checkpoint_problems(values, place: str, path: str):
    kind = file_kinds.kind_of(path)
    if kind != file_kinds.CHECKPOINT:
        yield f"{place}.checkpoint: {path}: is not {file_kinds.CHECKPOINT} but {kind or 'something else'}"


def _onnx_problems(values, place: str, path: str):
    own = {"models.detector": "person_label", "models.pose": "keypoints"}[place]
    found = values(f"{place}.input_size", f"{place}.{own}")
    # Where onnx is in another environment, the job that reads the file checks it.
    if found is None or importlib.util.find_spec("onnx") is None:
        return
    try:
        onnx_contract.check(path, place.split(".")[1], found[0], {own: found[1]})
    except PoseGaugeError as error:
        yield f"{place}.onnx: {error}"
