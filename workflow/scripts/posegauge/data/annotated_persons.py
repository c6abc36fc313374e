"""The annotations of persons in COCO's form: their keypoints, boxes, areas and flags."""

from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask

from posegauge.data import plausible
from posegauge.data.annotation_values import flag, id_key, number, numbers
from posegauge.data.keypoint_names import KEYPOINTS
from posegauge.data.remarks import Remarks, shown

# COCO's area is that of the segment. Where there is none, this share of the box stands for it, as in MMPose;
# of 183 persons of COCO val2017 the median is .54.
SEGMENT_SHARE = 0.53


@dataclass
class Persons:
    """The persons of a file.

    entries: in COCO's form, area None where it is still to be derived. images: of each its key.
    """

    remarks: Remarks
    named: bool
    entries: list[dict] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    given: list[dict] = field(default_factory=list)

    def complete(self, by_key: dict[str, dict], sized: set) -> None:
        """Derive missing areas and boxes, once the sizes of the images are known, and judge the whole."""
        for person, key, where, given in zip(self.entries, self.images, self.where, self.given, strict=True):
            image = by_key[key]
            if image["id"] in sized:
                self._box(person, given, image, where)
                self._area(person, given, image, where)
        usable = [
            place
            for place, (person, key) in enumerate(zip(self.entries, self.images, strict=True))
            if by_key[key]["id"] in sized and person["bbox"] and person["area"] is not None
        ]
        if usable:
            self._judge(usable, by_key)
        self._count()

    def _judge(self, usable: list[int], by_key: dict[str, dict]) -> None:
        """Judge the persons at these places as a whole; take the labels off keypoints that are nowhere."""
        judged = plausible.Population(
            self.remarks,
            np.array([self.entries[place]["bbox"] for place in usable], float),
            np.array([self.entries[place]["keypoints"] for place in usable], float).reshape(-1, KEYPOINTS, 3),
            np.array([self.entries[place]["area"] for place in usable], float),
            np.array([self.entries[place]["iscrowd"] for place in usable], bool),
            np.array(
                [[by_key[self.images[place]][side] for side in ("width", "height")] for place in usable],
                float,
            ),
            [self.where[place] for place in usable],
            np.array([_has_area(self.given[place]) for place in usable], bool),
            whole=len(usable) == len(self.entries),
        )
        nowhere = judged.check(self.named)
        for place, unlabelled in zip(usable, nowhere, strict=True):
            if unlabelled.any():
                points = np.reshape(self.entries[place]["keypoints"], (-1, 3))
                points[unlabelled] = 0
                self.entries[place]["keypoints"] = points.ravel().tolist()

    def _count(self) -> None:
        """Count the labelled keypoints; say where the file has another number."""
        for person, given, where in zip(self.entries, self.given, self.where, strict=True):
            person["num_keypoints"] = sum(1 for value in person["keypoints"][2::3] if value > 0)
            found, _ = number(given.get("num_keypoints"))
            if found != person["num_keypoints"]:
                what = "num_keypoints is missing or another number than are labelled: counted"
                has = shown(given.get("num_keypoints"))
                self.remarks.note(
                    "annotation", what, f"{where} has {has}, {person['num_keypoints']} labelled"
                )

    def _box(self, person: dict, given: dict, image: dict, where: str) -> None:
        """Take the box of the segment where there is no other: in COCO it is that."""
        if person["bbox"] or not isinstance(given.get("bbox"), list | type(None)) or given.get("bbox"):
            return
        found = _segment(given.get("segmentation"), image)
        if found is None:
            self.remarks.fault(
                "annotation",
                "no 'bbox', and no segmentation to take it from",
                where,
                "Write left, top, width and height in pixels: a box of the keypoints is not the person's",
            )
        else:
            person["bbox"] = mask.toBbox(found).tolist()
            self.remarks.note("annotation", "no 'bbox': taken from the segmentation", where)

    def _area(self, person: dict, given: dict, image: dict, where: str) -> None:
        if person["area"] is not None or not person["bbox"]:
            return
        found = _segment(given.get("segmentation"), image)
        area = float(mask.area(found)) if found is not None else 0
        how = "taken from the segmentation"
        if not area:
            area = SEGMENT_SHARE * person["bbox"][2] * person["bbox"][3]
            how = f"{SEGMENT_SHARE} of the box is taken, as COCO's segments have"
        person["area"] = area
        self.remarks.note("annotation", f"area is missing or 0: {how}", where)


def _has_area(given: dict) -> bool:
    return bool(number(given.get("area"))[0])


def _segment(segmentation, image: dict):
    """Return a segmentation as one RLE; None where there is none that can be read."""
    height, width = image["height"], image["width"]
    try:
        if isinstance(segmentation, list) and segmentation:
            return mask.merge(mask.frPyObjects(segmentation, height, width))
        if isinstance(segmentation, dict):
            counts = segmentation["counts"]
            return mask.frPyObjects(segmentation, height, width) if isinstance(counts, list) else segmentation
    except Exception:  # pycocotools checks nothing, and fails in many ways
        return None
    return None


# ------------------------------------------------------------------------------------------ one by one


def read(remarks: Remarks, annotations: list, category, by_key: dict[str, dict]) -> Persons:
    """Read the annotations of the category; `complete` is to be called on what is returned.

    Args:
        remarks: gets the faults and notes.
        annotations: as they stand in the file.
        category: of annotations.py: which are of persons, how many keypoints they have, where COCO's stand.
        by_key: the images by the key of their id.
    """
    persons = Persons(remarks, category.named)
    ids: dict[str, dict] = {}
    plain_ids = True
    for number_, given in enumerate(annotations, 1):
        if not isinstance(given, dict):
            remarks.fault(
                "annotation", "expected an object", f"entry {number_} is {shown(given)}", "Remove it"
            )
            continue
        where = f"id {shown(given['id'])}" if "id" in given else f"entry {number_}"
        if not category.holds(given, where):
            continue
        key = id_key(given.get("image_id"))
        if key is None or key not in by_key:
            remarks.fault(
                "annotation",
                "image_id is not among the ids of 'images'",
                f"{where} has {shown(given.get('image_id'))}",
                "Add the image, or remove its annotations",
            )
            continue
        own = id_key(given.get("id"))
        if own is not None and own in ids:
            if ids[own] == given:
                remarks.note("annotation", "the same annotation is there again, and counted once", where)
                continue
            remarks.note("annotation", "an id that another annotation has, too: numbered anew", where)
        plain_ids &= type(given.get("id")) is int and 0 < given["id"] < 2**53 and own not in ids
        ids.setdefault(own or f"entry {number_}", given)
        points = _keypoints(remarks, given, category, where)
        persons.entries.append(
            {
                "id": given.get("id"),
                "image_id": by_key[key]["id"],
                "category_id": 1,
                "bbox": _bbox(remarks, given, where),
                "area": _given_area(remarks, given, where),
                "iscrowd": _iscrowd(remarks, given, where),
                "num_keypoints": 0,
                "keypoints": points,
            }
        )
        persons.images.append(key)
        persons.where.append(where)
        persons.given.append(given)
    if not plain_ids:
        # Ids only tell annotations apart: pycocotools loses large ones, and takes 0 for "no match".
        for place, person in enumerate(persons.entries, 1):
            person["id"] = place
    return persons


def _bbox(remarks: Remarks, given: dict, where: str) -> list | None:
    box = given.get("bbox")
    if box is None or box == []:
        return None
    values, text = numbers(box)
    if values is None or len(values) != 4:
        remarks.fault(
            "annotation",
            "expected 4 numbers under 'bbox': left, top, width, height in pixels",
            f"{where} has {shown(box)}",
            "Write them, or remove the annotation",
        )
        return None
    if values[2] < 0 or values[3] < 0:
        remarks.fault(
            "annotation",
            "'bbox' is left, top, width, height in pixels; width and height cannot be negative",
            f"{where} has {shown(box)}",
            "Export the boxes as COCO's",
        )
        return None
    if text:
        remarks.note("annotation", "'bbox' holds texts, taken as the numbers in them", where)
    return values


def _given_area(remarks: Remarks, given: dict, where: str) -> float | None:
    """Return the area, None where it is to be derived."""
    area, how = number(given.get("area"))
    if how == "wrong" or (area is not None and area < 0):
        remarks.fault(
            "annotation",
            "'area' must be a number of pixels",
            f"{where} has {shown(given['area'])}",
            "Write the area of the segmentation, or null: it is then derived",
        )
        return 0.0
    if how == "text":
        remarks.note("annotation", "'area' is a text, taken as the number in it", where)
    return area or None


def _iscrowd(remarks: Remarks, given: dict, where: str) -> int:
    value = given.get("iscrowd")
    if type(value) is int and value in (0, 1):
        return value
    found = flag(value)
    if found is None:
        remarks.fault(
            "annotation", "'iscrowd' must be 0 or 1", f"{where} has {shown(value)}", "Write 0 for one person"
        )
        return 0
    if value is None:
        remarks.note("annotation", "iscrowd is null or missing: taken as 0", where)
    else:
        remarks.note("annotation", "iscrowd is no whole number: taken as 0 or 1 by what it says", where)
    return found


def _keypoints(remarks: Remarks, given: dict, category, where: str) -> list:
    """Return COCO's 17 as 51 numbers; zeros after a fault."""
    nothing = [0] * (3 * KEYPOINTS)
    points = given.get("keypoints")
    if points is None or points == []:
        remarks.note("annotation", "no keypoints: a person whose box alone counts", where)
        return nothing
    expected = 3 * category.count
    remedy = f"Write x, y and visibility (0, 1 or 2) of all {category.count}"
    if isinstance(points, list) and any(isinstance(part, list) for part in points):
        remarks.note("annotation", "keypoints are lists of their own: taken one after the other", where)
        points = [v for part in points for v in ([None] * 3 if part is None else _list(part))]
    if not isinstance(points, list) or len(points) != expected:
        found = f"{len(points)} values" if isinstance(points, list) else shown(points)
        without = isinstance(points, list) and len(points) == 2 * category.count
        remarks.fault(
            "annotation",
            f"expected {expected} numbers under 'keypoints'"
            + ("; they have no visibility, so it is not known which are labelled" if without else ""),
            f"{where} has {found}",
            remedy,
        )
        return nothing
    values, text = numbers(points)
    if values is None:
        values, text = _without_nothing(remarks, points, where, remedy)
        if values is None:
            return nothing
    if text:
        remarks.note("annotation", "'keypoints' holds texts, taken as the numbers in them", where)
    seen = set(values[2::3])
    if not seen <= {0, 1, 2}:
        odd = next(value for value in values[2::3] if value not in (0, 1, 2))
        remarks.fault(
            "annotation",
            "the third number of a keypoint is its visibility, 0 (not labelled), 1 or 2"
            + ("; these look like scores, so predictions" if 0 < odd < 1 else ""),
            f"{where} has {shown(odd)}",
            "Write 2 for labelled keypoints and 0 for others",
        )
        return nothing
    if category.order == list(range(len(values) // 3)):
        return values
    return [value for place in category.order for value in values[3 * place : 3 * place + 3]]


def _list(value) -> list:
    return value if isinstance(value, list) else [value]


def _without_nothing(remarks: Remarks, points: list, where: str, remedy: str) -> tuple[list | None, bool]:
    """Return keypoints with numbers or true and false throughout: what is not labelled may hold anything."""
    values, text = [], False
    for x, y, visible in zip(points[::3], points[1::3], points[2::3], strict=True):
        visible = int(visible) if isinstance(visible, bool) else visible
        found, how = numbers([x, y, visible])
        if found is None:
            nothing = all(number(value)[1] == "missing" for value in (x, y))
            if not nothing or number(visible)[0] not in (0, None) or number(visible)[1] == "wrong":
                remarks.fault(
                    "annotation", "'keypoints' holds something that is no number", f"{where} has {shown(x)}, "
                    f"{shown(y)}, {shown(visible)}", remedy,
                )  # fmt: skip
                return None, False
            remarks.note("annotation", "keypoints that are null or NaN: taken as not labelled", where)
            found = [0, 0, 0]
        values += found
        text |= how
    return values, text
