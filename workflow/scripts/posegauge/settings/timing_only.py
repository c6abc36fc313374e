"""Networks without weights: which they are, and what cannot be asked of them."""

import copy

from posegauge.study import NOTICE, ROLES


def roles(config: dict) -> list[str]:
    """Return the roles of a config whose network has random weights: no checkpoint and no ONNX file."""
    models = config["models"]
    return [role for role in ROLES if models[role]["checkpoint"] is None and models[role]["onnx"] is None]


def complete(config: dict, folder: str) -> dict:
    """Return a copy of a checked config in which everything follows from what has random weights.

    Every model gets the key `random`; where that is true, `checkpoint` is the file in `folder` that the
    workflow makes, results carry the notice, and detect+pose rows are timed on annotated boxes: such a
    detector finds nothing of use.
    """
    config, chosen = copy.deepcopy(config), roles(config)
    for role in ROLES:
        config["models"][role]["random"] = role in chosen
    for role in chosen:
        config["models"][role]["checkpoint"] = f"{folder}/{role}_random.pth"
    if chosen:
        config["notice"] = " ".join(filter(None, (NOTICE, config["notice"])))
        config["benchmark"]["boxes"] = "annotated"
    return config


def refusal(what: str, random_roles: list[str]) -> str:
    """Return why `what` is not made with random weights, and what to do about it."""
    places = " and ".join(f"models.{role}" for role in random_roles)
    have = "has" if len(random_roles) == 1 else "have"
    return (
        f"{what}: {places} {have} random weights (checkpoint: null), which are for timing only and find "
        "nothing, so nothing is predicted or scored with them. Set the checkpoint, or ask for what can be "
        "timed: snakemake without a target, or measure_<row>"
    )
