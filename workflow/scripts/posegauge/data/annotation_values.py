"""Single values of annotations as tools write them: numbers, texts of numbers, ids, yes and no."""

import math
import re

_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")

# Nothing in annotations is larger than this; beyond it numbers no longer fit where they must.
LARGEST = 1e15

_FLAGS = {"": 0, "0": 0, "false": 0, "no": 0, "1": 1, "true": 1, "yes": 1}


def number(value) -> tuple[float | None, str]:
    """Return (a finite number or None, how it was given: "number", "text", "missing" or "wrong").

    null, NaN and an empty text are missing; true, false, infinities and what is too large are wrong.
    """
    if type(value) in (int, float):
        if value != value:
            return None, "missing"
        return (value, "number") if abs(value) <= LARGEST else (None, "wrong")
    if value is None:
        return None, "missing"
    if isinstance(value, str):
        if not value.strip():
            return None, "missing"
        if _DECIMAL.fullmatch(value.strip()) and (found := float(value)) <= LARGEST:
            return (int(found) if found.is_integer() else found), "text"
    return None, "wrong"


def numbers(values) -> tuple[list | None, bool]:
    """Return (finite numbers or None, whether any was a text) of a list."""
    if not isinstance(values, list):
        return None, False
    # Nearly always all are numbers: this is quick.
    if all(type(value) in (int, float) and -LARGEST <= value <= LARGEST for value in values):
        return values, False
    found = [number(value) for value in values]
    if any(value is None for value, _ in found):
        return None, False
    return [value for value, _ in found], any(how == "text" for _, how in found)


def flag(value) -> int | None:
    """Return 0 or 1 of a number, true or false, or their texts; null is 0; None for anything else."""
    if value is None:
        return 0
    if isinstance(value, str):
        return _FLAGS.get(value.strip().casefold())
    return int(value) if isinstance(value, int | float) and value in (0, 1) else None


def id_key(value) -> str | None:
    """Return what tells an id apart: 7, 7.0, "7" and "7.0" are the same; None for what is no id."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return str(int(value)) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and value.strip():
        return re.sub(r"^(-?\d+)\.0+$", r"\1", value.strip())
    return None
