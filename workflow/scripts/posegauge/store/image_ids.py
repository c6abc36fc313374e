"""Ids of images, as the annotations have them: whole numbers of any size, or texts."""

import json

import numpy as np

from posegauge.store.files import sha256_json


def ids_in_order(ids) -> list:
    """Return ids sorted: numbers by value, then texts."""
    return sorted(ids, key=lambda one: (isinstance(one, str), one))


def ids_sha256(ids) -> str:
    """Return the sha256 of a set of images, in whatever order."""
    return sha256_json(ids_in_order(ids))


def ids_array(ids: list) -> np.ndarray:
    """Return ids as an array that .npz files hold: int64, or their JSON where one is no such number."""
    limits = np.iinfo(np.int64)
    if all(isinstance(one, int) and limits.min <= one <= limits.max for one in ids):
        return np.array(ids, np.int64)
    return np.array([json.dumps(one) for one in ids], str)


def ids_of(array: np.ndarray) -> list:
    """Return the ids of ids_array."""
    return [json.loads(one) for one in array.tolist()] if array.dtype.kind == "U" else array.tolist()
