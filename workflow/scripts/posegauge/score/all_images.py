"""Scores over all images, as in COCO's own protocol, beside those over the images with persons."""

import numpy as np

from posegauge.errors import PoseGaugeError
from posegauge.score import bootstrap, metrics
from posegauge.score.truth import read_truth
from posegauge.store.image_ids import ids_sha256

METRICS = (*metrics.KEYPOINT_METRICS, "box_ap", "false_positives_per_image")


def score_all_images(
    annotations, record: dict, results: list[dict], person_images: int, seed: int, resamples: int
) -> dict:
    """Score the clean predictions of all images.

    Args:
        annotations: path of the annotations in COCO's form.
        record: of the predictions of all images (predictions.schema.yaml), those with persons first.
        results: COCO results of the set "detected".
        person_images: how many images have persons.
        seed, resamples: of the bootstrap, which draws from all images.

    Returns:
        The content of all_images.json (workflow/schemas/all_images.schema.yaml). Both sides of a difference
        are of the same draws of all images; one of them leaves out those without persons.

    Raises PoseGaugeError when the predictions belong to other annotations.
    """
    name = "the predictions of all images"
    truth = read_truth(annotations)
    if (digest := truth.dataset["info"]["annotations_sha256"]) != record["annotations_sha256"]:
        raise PoseGaugeError(
            f"{annotations}: was made of {digest}, but {name} are of annotations with "
            f"{record['annotations_sha256']}; predict again"
        )
    image_ids = [entry["image_id"] for entry in record["images"]]
    metrics.check_images(truth, image_ids, name)
    found = metrics.read_predictions(results, image_ids, name)
    person_thr = record["settings"]["person_thr"]
    weights = bootstrap.sample_and_resamples(seed, len(image_ids), resamples)

    def scored(counted: np.ndarray) -> dict[str, np.ndarray]:
        boxes, _ = metrics.box_scores(truth, found, image_ids, person_thr, counted)
        return metrics.keypoint_scores(truth, found.results, image_ids, counted) | boxes

    everywhere = scored(weights)
    persons = scored(weights * (np.arange(len(image_ids)) < person_images))
    sides = {
        metric: {
            "all": everywhere[metric],
            "persons": persons[metric],
            "difference": everywhere[metric] - persons[metric],
        }
        for metric in METRICS
    }
    return {
        "schema_version": 1,
        "kind": "all_images",
        "images": len(image_ids),
        "person_images": person_images,
        "images_sha256": ids_sha256(image_ids),
        "unreadable": record["unreadable"],
        "person_thr": person_thr,
        "scores": {
            metric: {side: bootstrap.estimate(values[0], values[1:]) for side, values in figures.items()}
            for metric, figures in sides.items()
        },
        "interval": {
            "level": bootstrap.LEVEL,
            "resamples": len(weights) - 1,
            "seed": seed,
            "note": bootstrap.note(len(image_ids)),
        },
        "provenance": record["provenance"],
    }
