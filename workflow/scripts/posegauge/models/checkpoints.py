"""Read PyTorch checkpoints without running what is in them.

A checkpoint is a pickle, and a pickle can run any code. So torch.load is told weights_only=True and, beside
its own list of harmless things, what OpenMMLab's trainers store with the weights: NumPy's numbers and arrays,
and histories of the losses, which are of no use here and become something inert.
"""

import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

from posegauge.errors import PoseGaugeError
from posegauge.settings import file_kinds

# How a user who trusts a file keeps its weights alone.
REWRITE = (
    "python -c \"import torch; c = torch.load('{path}', map_location='cpu', weights_only=False); "
    "torch.save({{'state_dict': c.get('state_dict', c)}}, '{new}')\""
)


# The trainers' kinds of dict.
CONFIGS = ("mmengine.config.config.ConfigDict", "mmcv.utils.config.ConfigDict", "addict.addict.Dict")


class Inert:
    """Stands for an object of a checkpoint that nothing here needs."""

    def __new__(cls, *_args):
        """Take whatever the object was made from."""
        return super().__new__(cls)

    def __init__(self, *_args):
        pass

    def __setstate__(self, state):
        pass


def _plain_dict(*_args) -> dict:
    """Make a dict in place of a defaultdict."""
    return {}


def _nothing(*_args):
    """Stand for getattr, by which a history names the methods of its own class."""


def _allowed() -> list:
    """Return what torch.load may make, each with its name in the file."""
    found = [
        (Inert, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_nothing, "builtins.getattr"),
        (_plain_dict, "collections.defaultdict"),
        # torch.load fills no other kind of dict than its own and this.
        *((OrderedDict, name) for name in CONFIGS),
        # Kinds that a defaultdict names.
        *((kind, f"builtins.{kind.__name__}") for kind in (list, dict, tuple, int, float, str, bool)),
        (np.ndarray, "numpy.ndarray"),
        (np.dtype, "numpy.dtype"),
    ]
    # NumPy 2 has its own names for them; either reads the other's files.
    multiarray = np.zeros(0).__reduce__()[0].__module__
    make_array, make_number = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    for module in {multiarray, "numpy.core.multiarray", "numpy._core.multiarray"}:
        found += [(make_array, f"{module}._reconstruct"), (make_number, f"{module}.scalar")]
    kinds = {type(np.dtype(code)) for code in np.typecodes["All"]}
    found += [(kind, f"numpy.dtypes.{kind.__name__}") for kind in kinds]
    return found


def read_checkpoint(path) -> dict:
    """Return what a checkpoint holds, tensors on the CPU.

    Raises PoseGaugeError for a file that is no checkpoint, or holds other objects: which, and what to do.
    """
    path, allowed = Path(path), _allowed()
    if not path.is_file():
        raise PoseGaugeError(f"no file {path}")
    kind = file_kinds.kind_of(path)
    if kind != file_kinds.CHECKPOINT:
        raise PoseGaugeError(f"{path}: not a PyTorch checkpoint but {kind or 'something else'}")
    try:
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many classes for a damaged file
        foreign = _foreign(path, {name for _, name in allowed}, error)
        if not foreign:
            raise PoseGaugeError(f"{path}: not a PyTorch checkpoint: {error}") from error
        new = path.with_name(f"{path.stem}_weights.pth")
        raise PoseGaugeError(
            f"{path}: holds {foreign}, which could run any code when it is read, so it is not. If you trust "
            f"the file, keep its weights alone, and give those: {REWRITE.format(path=path, new=new)}"
        ) from error
    if not isinstance(loaded, dict):
        raise PoseGaugeError(f"{path}: holds {type(loaded).__name__}, expected the weights by their names")
    return loaded


def _foreign(path: Path, allowed: set[str], error: Exception) -> str | None:
    """Name the objects in a checkpoint that are not allowed; None where that is not what is wrong."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # of an old format, or damaged
        # Its own text: "Unsupported global: GLOBAL a.b was not ...".
        _, found, rest = str(error).partition("GLOBAL ")
        names = [rest.split()[0]] if found and rest else []
    names = sorted(set(names) - allowed)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else None
