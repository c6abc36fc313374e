"""The few photographs of COCO val2017 that config/photographs.yaml runs on, out of COCO's own archives."""

import csv
import json
from pathlib import Path

from posegauge.data.archives import ANNOTATIONS_MEMBER, IMAGES_PREFIX, bring
from posegauge.errors import PoseGaugeError
from posegauge.store.files import read_json, sha256_file, write_text


def read_list(path) -> dict[str, str]:
    """Return {file, relative to the folder that has them: sha256} of a table like config/photographs.tsv."""
    with Path(path).open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row["sha256"] for row in csv.DictReader(stream, delimiter="\t")}


def subset(annotations: dict, names: set[str]) -> dict:
    """Return COCO annotations of the images with these file names alone, images in order of their ids.

    Those of an image keep COCO's order; everything else is as it was.
    """
    images = sorted((i for i in annotations["images"] if i["file_name"] in names), key=lambda i: i["id"])
    of_image = {image["id"]: [] for image in images}
    for annotation in annotations["annotations"]:
        if annotation["image_id"] in of_image:
            of_image[annotation["image_id"]].append(annotation)
    kept = [annotation for found in of_image.values() for annotation in found]
    return annotations | {"images": images, "annotations": kept}


def take(listed: dict[str, str], archives, downloads, folder, **options) -> None:
    """Write the photographs and their part of the annotations to `folder`, and check every sha256.

    listed: of read_list; what is no JPEG and not the annotations is left to the user. archives: of
    download.read_table; downloads, options: as for archives.bring. Raises PoseGaugeError as that does, and,
    after all is written, naming what has another sha256.
    """
    folder = Path(folder)
    pictures = {Path(name).name: name for name in listed if name.endswith(".jpg")}
    (annotations,) = (name for name in listed if name.endswith(".json"))
    place = {ANNOTATIONS_MEMBER: str(folder / annotations)}
    bring(archives["annotations_trainval2017.zip"], place, downloads, **options)
    write_text(folder / annotations, json.dumps(subset(read_json(folder / annotations), set(pictures))))
    places = {IMAGES_PREFIX + name: str(folder / place) for name, place in pictures.items()}
    bring(archives["val2017.zip"], places, downloads, **options)
    wrong = [name for name in (*pictures.values(), annotations) if sha256_file(folder / name) != listed[name]]
    if wrong:
        raise PoseGaugeError(
            f"{folder}: {len(wrong)} of {len(pictures) + 1} files have another sha256 than the list says: "
            f"{', '.join(wrong[:5])}{', ...' if len(wrong) > 5 else ''}; the archives are not COCO's of 2017"
        )
