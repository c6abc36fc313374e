"""The checks of the config's `detect_every`: the detector on every n-th frame of a film."""

from pathlib import Path


def random_weights(values) -> bool:
    """Say whether a model has random weights. values: see check._Combinations.values."""
    models = [f"models.{role}" for role in ("detector", "pose")]
    known = values(*(f"{model}.{key}" for model in models for key in ("checkpoint", "onnx")))
    return bool(known) and None in (known[0] or known[1], known[2] or known[3])


def problems(values):
    """Yield a line for every fault across the keys. values: see check._Combinations.values."""
    intervals = values("detect_every.intervals")
    if intervals and 1 not in intervals[0]:
        yield (
            f"detect_every.intervals: is {intervals[0]}, expected 1 among them, what the others are compared "
            "with"
        )
    given = values("detect_every.clip", "detect_every.annotations")
    if not given:
        return
    clip, annotations = given
    if clip is None:
        if annotations is not None:
            yield "detect_every.annotations: is set, but detect_every.clip is null; say of which film"
        return
    if random_weights(values):
        yield (
            "detect_every.clip: is set, but a model has random weights (checkpoint: null), which find "
            "nobody; say null"
        )
    for key, path in (("clip", clip), ("annotations", annotations)):
        made = path and Path(path).parts[:1] == ("data",)
        if path and not made and not Path(path).is_file():
            yield f"detect_every.{key}: no file '{path}' (seen from {Path.cwd()})"
