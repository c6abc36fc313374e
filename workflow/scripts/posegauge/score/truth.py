"""The ground truth, as pycocotools needs it."""

import contextlib
import io

from pycocotools.coco import COCO

from posegauge.data.annotations import read_annotations
from posegauge.store.image_ids import ids_in_order


class Truth(COCO):
    """The ground truth for pycocotools: images and persons are numbered from 1 on, whatever their ids.

    It keeps ids in float64, where large ones run together, and takes a match with person 0 for none.
    """

    def __init__(self, data: dict):
        """data: of annotations.read_annotations."""
        super().__init__()
        ids = ids_in_order(image["id"] for image in data["images"])
        self.numbers = {image_id: number for number, image_id in enumerate(ids, 1)}
        self.dataset = {
            **data,
            "images": [{**image, "id": self.numbers[image["id"]]} for image in data["images"]],
            "annotations": [
                {**person, "id": number, "image_id": self.numbers[person["image_id"]]}
                for number, person in enumerate(data["annotations"], 1)
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            self.createIndex()


def read_truth(path) -> Truth:
    """Read a file of annotations for scoring; see annotations.read_annotations."""
    return Truth(read_annotations(path))
