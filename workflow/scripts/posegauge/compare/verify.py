"""Does a run still give the values of a reference? What is checked, how far it may be off, and what differs.

Equal must be what goes in: settings, hashes of weights and annotations, the images. What comes out may differ
in the last digits, for another processor or library adds in another order (TOLERANCES).
"""

import numpy as np

from posegauge.compare.gate import differing, flat
from posegauge.report.markdown import cell, markdown
from posegauge.score.metrics import match_boxes
from posegauge.store.files import read_json, read_record
from posegauge.store.machine import describe

SCHEMA = "reference.schema.yaml"


# Of each prediction set: the scores that are checked.
SCORES = {
    "detected": ("detection_rate", "mean_confidence", "ap"),
    "clean": ("ap",),
    "annotated": ("ap",),
    "original": ("detection_rate", "mean_confidence", "ap"),
}


# Of each comparison of an artifact with PyTorch.
PARITY = ("ap_source", "keypoint_px_p95", "box_px_p95")


# By the last part of a value's name.
TOLERANCES = {
    "detection_rate": {
        "tolerance": 0.0,
        "reason": "a share of a few images: one image more or less is no matter of the last digits",
    },
    "mean_confidence": {
        "tolerance": 0.001,
        "reason": "a mean of scores; PyTorch in place of ONNX Runtime moves it by less than .0001",
    },
    "ap": {
        "tolerance": 0.005,
        "reason": "PyTorch in place of ONNX Runtime moves it by less than .0001; one person of a few images "
        "past one of the ten similarity thresholds by about .003",
    },
    "ap_source": {"tolerance": 0.005, "reason": "as ap, of PyTorch"},
    "unmatched_persons": {
        "tolerance": 0.0,
        "reason": "persons clearly above person_thr in one and absent, or below bbox_thr, in the other",
    },
    "box_px_p95": {
        "tolerance": 0.05,
        "reason": "pixels; PyTorch in place of ONNX Runtime moves less than 1 in 20 by .01, all that is kept",
    },
    "box_score_max": {
        "tolerance": 0.001,
        "reason": "PyTorch in place of ONNX Runtime moves a score by less than .0001",
    },
    "keypoint_px_p95": {
        "tolerance": 0.05,
        "reason": "pixels; one in twenty may lie between two equal bins and jump by half a pixel of its crop",
    },
}


# Two boxes of one person overlap by more than this.
MATCH_IOU = 0.5


def collect(config: dict, files: dict, made_with: dict) -> dict:
    """Return what is checked of a run (reference.schema.yaml).

    Args:
        config: the whole config of the run.
        files: paths of result files: {"scores", "predictions" (in the same order), "parity", "models": lists,
            "person_images": one}.
        made_with: {"command", "git_revision", "versions"}; machine and threads are those of the predictions.
    """
    dataset = read_json(files["person_images"])
    models = [read_json(path) for path in files["models"]]
    inputs = {
        "seed": config["seed"],
        "pipeline": config["pipeline"],
        "annotations_sha256": dataset["annotations_sha256"],
        "images": [entry["file_name"] for entry in dataset["images"]],
        "networks": {
            model["role"]: {
                "sha256": model["checkpoint_sha256"] or model["onnx_sha256"],
                "input_size": model["input_size"],
            }
            for model in models
        },
    }
    values, persons, provenance = {}, {}, None
    for path, predictions in zip(files["scores"], files["predictions"], strict=True):
        record = read_json(path)
        name, provenance = record["condition"], record["provenance"]
        for box_set, metrics in SCORES.items():
            for metric in metrics:
                values[f"{name}.{box_set}.{metric}"] = record["scores"][box_set][metric]["value"]
        persons[name] = _persons(read_json(predictions), config["pipeline"]["bbox_thr"])
    for path in files["parity"]:
        record = read_json(path)
        if record["status"] != "ok":
            continue
        inputs[f"parity.{record['artifact']}.passes"] = record["passes"]
        for name in PARITY:
            value = record[name]
            value = value["value"] if isinstance(value, dict) else value
            values[f"parity.{record['artifact']}.{name}"] = value
    ran_on = {"machine": describe(provenance["machine"]), "threads": provenance["threads"]}
    return {
        "schema_version": 1,
        "kind": "reference",
        "made_with": made_with | ran_on,
        "inputs": flat(inputs),
        "values": values,
        "persons": persons,
        "tolerances": TOLERANCES,
    }


def _persons(predictions: list[dict], bbox_thr: float) -> list[list[float]]:
    """Return image id, box score, box and keypoints, without their scores, of COCO results above a score."""
    return [
        [
            found["image_id"],
            found["box_score"],
            *found["bbox"],
            *(value for place, value in enumerate(found["keypoints"]) if place % 3 < 2),
        ]
        for found in predictions
        if found["box_score"] > bbox_thr
    ]


def read_reference(path) -> dict:
    """Read a reference; PoseGaugeError when it is missing or does not fit its schema."""
    return read_record(path, SCHEMA, "take the file of the repository, or make it anew: make_reference")


def check(reference: dict, found: dict) -> dict:
    """Return every value of a run beside that of the reference (verify.schema.yaml); both are of collect.

    A value that only one of the two has does not agree. The tolerances are those of the reference.
    """
    tolerances = {name: entry["tolerance"] for name, entry in reference["tolerances"].items()}
    checks = [
        _check(name, reference["inputs"].get(name), found["inputs"].get(name), None)
        for name in dict.fromkeys((*reference["inputs"], *found["inputs"]))
    ]
    values = [
        (name, reference["values"].get(name), found["values"].get(name))
        for name in dict.fromkeys((*reference["values"], *found["values"]))
    ]
    person_thr = reference["inputs"]["pipeline.person_thr"]
    for name in dict.fromkeys((*reference["persons"], *found["persons"])):
        both = [of["persons"].get(name, []) for of in (reference, found)]
        distances = _distances(*both, person_thr)
        values += [(f"{name}.persons.{distance}", 0, value) for distance, value in distances.items()]
    checks += [_check(name, *pair, tolerances.get(name.rpartition(".")[2], 0)) for name, *pair in values]
    about = [{key: of["made_with"][key] for key in of["made_with"]} for of in (reference, found)]
    return {
        "schema_version": 1,
        "kind": "verify",
        "agrees": all(entry["agrees"] for entry in checks),
        "reference": about[0],
        "run": about[1],
        "differences": [
            f"{line['key']}: {line['baseline']} / {line['candidate']}"
            for line in differing("made_with", *about)
        ],
        "tolerances": reference["tolerances"],
        "checks": checks,
    }


def _check(name: str, expected, value, tolerance: float | None) -> dict:
    numbers = tolerance is not None and expected is not None and value is not None
    difference = value - expected if numbers else None
    # A hair more than the tolerance, which is a decimal number, for differences that are not.
    agrees = abs(difference) <= tolerance + 1e-9 if numbers else expected == value
    return {
        "value": name,
        "reference": expected,
        "found": value,
        "difference": difference,
        "tolerance": tolerance,
        "agrees": bool(agrees),
    }


def _distances(reference: list, found: list, person_thr: float) -> dict[str, float]:
    """Compare the persons of one condition, lists of collect, as pairs of the largest overlap in each image.

    Only persons above person_thr in one of the two must have one in the other: down to bbox_thr, so that a
    score on a threshold decides nothing. Without a pair there are no distances.
    """
    # Ids of images may be texts, or larger than a float can hold.
    numbers = {
        image: number for number, image in enumerate({person[0]: None for person in reference + found})
    }
    ours, theirs = (
        np.array([[numbers[person[0]], *person[1:]] for person in persons], np.float64).reshape(-1, 40)
        for persons in (found, reference)
    )
    unmatched, boxes, scores, keypoints = 0, [], [], []
    for image in np.union1d(ours[:, 0], theirs[:, 0]):
        one, other = (persons[persons[:, 0] == image] for persons in (ours, theirs))
        pairs = match_boxes(_corners(one), _corners(other), MATCH_IOU)
        for persons, paired in ((one, pairs[:, 0]), (other, pairs[:, 1])):
            alone = np.setdiff1d(np.arange(len(persons)), paired)
            unmatched += int((persons[alone, 1] > person_thr).sum())
        one, other = one[pairs[:, 0]], other[pairs[:, 1]]
        boxes.append(np.abs(_corners(one) - _corners(other)).max(1))
        scores.append(np.abs(one[:, 1] - other[:, 1]))
        keypoints.append(np.linalg.norm((one[:, 6:] - other[:, 6:]).reshape(-1, 17, 2), axis=-1).reshape(-1))
    boxes, scores, keypoints = (np.concatenate(parts or [[]]) for parts in (boxes, scores, keypoints))
    if not len(boxes):
        return {"unmatched_persons": unmatched}
    return {
        "unmatched_persons": unmatched,
        "box_px_p95": float(np.percentile(boxes, 95)),
        "box_score_max": float(scores.max()),
        "keypoint_px_p95": float(np.percentile(keypoints, 95)),
    }


def _corners(persons: np.ndarray) -> np.ndarray:
    """Return the boxes of persons of collect as float32 [N, 4] xyxy."""
    return np.hstack([persons[:, 2:4], persons[:, 2:4] + persons[:, 4:6]]).astype(np.float32)


# -------------------------------------------------------------------------------------------- the report


def heading(verification: dict) -> str:
    """Return the outcome in a line."""
    wrong = sum(not entry["agrees"] for entry in verification["checks"])
    total = len(verification["checks"])
    return f"{wrong} of {total} values differ" if wrong else f"all {total} values agree"


def _lines(checks: list[dict]) -> list[dict]:
    return [
        {
            "Value": cell(entry["value"]),
            "Reference": _text(entry["reference"]),
            "Found": _text(entry["found"]),
            "May be off by": "" if entry["tolerance"] is None else f"{entry['tolerance']:g}",
        }
        for entry in checks
    ]


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = cell("none" if value is None else str(value))
    return text if len(text) <= 40 else f"{text[:37]}..."


def report(verification: dict) -> str:
    """Return the check as Markdown: what differs, what it was made with, every value, the tolerances."""
    columns = {"Value": "left", "Reference": "right", "Found": "right", "May be off by": "right"}
    wrong = [entry for entry in verification["checks"] if not entry["agrees"]]
    made = verification["reference"]
    parts = [
        f"# Verification: {heading(verification)}",
        markdown(_lines(wrong), columns) if wrong else "",
        f"Reference: made with `{made['command']}` at revision {made['git_revision'] or 'unknown'} on "
        f"{cell(made['machine'])}.",
        "What this run was made with differs (reference / run):\n\n"
        + "\n".join(f"- {cell(line)}" for line in verification["differences"])
        if verification["differences"]
        else "This run was made with the same.",
        "## Every value",
        markdown(_lines(verification["checks"]), columns),
        "## How far a value may be off",
        "\n".join(
            f"- `{name}`: {entry['tolerance']:g}: {cell(entry['reason'])}"
            for name, entry in verification["tolerances"].items()
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(verification: dict) -> str:
    """Return the check in a few lines for a terminal."""
    lines = [heading(verification)]
    for entry in verification["checks"]:
        if not entry["agrees"]:
            off = "" if entry["tolerance"] is None else f", may be off by {entry['tolerance']:g}"
            lines.append(
                f"  {entry['value']}: {_text(entry['found'])}, reference {_text(entry['reference'])}{off}"
            )
    if verification["differences"] and not verification["agrees"]:
        lines.append("what was used differs too (reference / run):")
        lines += [f"  {line}" for line in verification["differences"]]
    return "\n".join(lines)
