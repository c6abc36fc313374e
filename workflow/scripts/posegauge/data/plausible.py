"""Whether the persons of a file can be meant as they stand: boxes, keypoints and areas, judged as a whole.

One odd annotation is noted and stays: real data have some. What many have in common is another form of boxes,
other units or another order, and would give wrong scores without a word.
"""

from dataclasses import dataclass

import numpy as np

from posegauge.data import keypoint_names
from posegauge.data.remarks import Remarks

# Up to this share of persons may be odd.
FEW = 0.05

# Boxes of whole persons, drawn on past the edge of the image, may leave it in this share.
AMODAL = 1 / 3

# A person needs so many labelled keypoints for their extent to be compared with boxes.
TELLING = 8

# COCO has no one to be found in a box of fewer pixels; coordinates from 0 to 1 give such boxes.
LEAST_PX = 1.5

BOX = "'bbox' is left, top, width, height in pixels"


@dataclass
class Population:
    """Persons of one file: N of them, with what stands in the file of each."""

    remarks: Remarks
    boxes: np.ndarray  # float [N, 4] left, top, width, height
    keypoints: np.ndarray  # float [N, 17, 3]
    areas: np.ndarray  # float [N]
    crowds: np.ndarray  # bool [N]
    sizes: np.ndarray  # float [N, 2] width and height of the image
    where: list[str]
    given_areas: np.ndarray  # bool [N], not derived
    whole: bool  # whether these are all persons of the file

    def check(self, named: bool) -> np.ndarray:
        """Add the faults and notes; return which keypoints are placeholders, bool [N, 17].

        named: whether the order of the keypoints is known by name.
        """
        placeholders = self._placeholders()
        self.labelled = (self.keypoints[:, :, 2] > 0) & ~placeholders
        self.one = ~self.crowds
        if (self.whole and self._void()) or not self.one.any() or self._units():
            return placeholders
        self._empty_boxes()
        if not self._other_boxes():
            self._outside_image()
            self._outside_box()
        self._areas()
        self._order(named)
        return placeholders

    # What is wrong with many is a fault, with few a note.
    def _tell(
        self, bad: np.ndarray, among: np.ndarray, what: str, values, remedy: str, few: float = FEW
    ) -> None:
        places = np.flatnonzero(bad & among)
        fault = len(places) > few * among.sum()
        for place in places:
            text = f"{self.where[place]} has {_text(values[place])}"
            if fault:
                self.remarks.fault("annotation", what, text, remedy)
            else:
                self.remarks.note("annotation", f"{what}; left as it is", text)

    def _placeholders(self) -> np.ndarray:
        """Return keypoints that are labelled and stand where only 'not there' can be meant.

        At 0, 0 or -1, -1, far from their box or together with others of the person.
        """
        points = self.keypoints[:, :, :2]
        at_zero = (self.keypoints[:, :, 2] > 0) & ((points == 0).all(2) | (points == -1).all(2))
        left, top, width, height = self.boxes.T
        far = (left > 2 + 0.1 * width) | (top > 2 + 0.1 * height) | (at_zero.sum(1) > 1)
        found = at_zero & far[:, None]
        for place in np.flatnonzero(found.any(1)):
            self.remarks.note(
                "annotation",
                "keypoints at 0, 0 or -1, -1 are marked as labelled: taken as not labelled",
                f"{self.where[place]} has {found[place].sum()}",
            )
        return found

    def _void(self) -> bool:
        """Say whether nothing can be scored."""
        if self.crowds.all():
            self.remarks.fault(
                "", f"all {len(self.crowds)} persons have iscrowd 1, so there is nobody to be found", "",
                "Set iscrowd to 0 for single persons",
            )  # fmt: skip
            return True
        if not self.labelled[self.one].any():
            placed = (self.keypoints[self.one, :, :2] != 0).any()
            self.remarks.fault(
                "",
                f"none of {self.one.sum()} persons has a labelled keypoint (visibility 1 or 2)"
                + (", though there are coordinates" if placed else ""),
                "",
                "Set their visibility to 2 where they are labelled"
                if placed
                else "An instances file has none: use person_keypoints",
            )
            return True
        return False

    def _units(self) -> bool:
        """Say whether coordinates are shares of the image in place of pixels."""
        points = self.keypoints[:, :, :2][self.labelled]
        both = {"'bbox'": self.boxes, "'keypoints'": points}
        shares = [name for name, values in both.items() if values.size and 0 < values.max() <= LEAST_PX]
        what = "from 0 to 1, expected pixels"
        if not shares and len(self.boxes) >= 3 and self.sizes.min() > 150:
            ends = self.boxes[:, :2] + self.boxes[:, 2:]
            if ends.max() <= 101 and points.max() <= 101:
                shares, what = list(both), "up to 100 in larger images, so percent, expected pixels"
        if shares:
            self.remarks.fault(
                "",
                f"all numbers under {' and '.join(shares)} are {what}",
                f"{self.where[0]} has {_text(self.boxes[0])}",
                "Multiply x and width by the width of the image, y and height by its height",
            )
        return bool(shares)

    def _empty_boxes(self) -> None:
        empty = (self.boxes[:, 2:] <= 0).any(1)
        self._tell(
            empty, self.one, f"{BOX}; an empty box can never be found", self.boxes, "Write the person's box"
        )

    def _other_boxes(self) -> bool:
        """Say whether the boxes fit their keypoints and images better when read in another way."""
        left, top, width, height = self.boxes.T
        edge = self._tolerance()
        leave = self._leaving() > edge
        corners = np.stack([left, top, width - left, height - top], 1)
        centres = np.stack([left - width / 2, top - height / 2, width, height], 1)
        inside = ((self.boxes[:, 2:] <= self.sizes + edge[:, None]) & (corners[:, 2:] > 0)).all(1)
        for read, fits, looks in (
            (corners, inside, "left, top, right, bottom"),
            (centres, (_leaving(centres, self.sizes) <= edge), "x and y of the centre, width, height"),
        ):
            if fits[self.one].all() and self._better(read, leave):
                self.remarks.fault(
                    "",
                    f"{BOX}; those of all {self.one.sum()} persons look like {looks}"
                    + (
                        f": so read they fit, and {leave.sum()} leave their image as they stand"
                        if leave.any()
                        else ""
                    ),
                    f"{self.where[_first(leave)]} has {_text(self.boxes[_first(leave)])} in an image of "
                    f"{_text(self.sizes[_first(leave)])}",
                    "Convert the boxes, or export them as COCO's",
                )
                return True
        return False

    def _better(self, read: np.ndarray, leave: np.ndarray) -> bool:
        """Say whether boxes read in another way fit the keypoints' extent better, or else the images."""
        telling = self.one & (self.labelled.sum(1) >= TELLING)
        if not telling.any():
            return bool(leave[self.one].any())
        hulls = self._hulls()[telling]
        gain = _iou(read[telling], hulls) - _iou(self.boxes[telling], hulls)
        return bool((gain > 0).mean() >= 0.8 and np.median(gain) > 0.05)

    def _outside_image(self) -> None:
        edge = self._tolerance()
        left, top, width, height = self.boxes.T
        apart = (
            (left >= self.sizes[:, 0]) | (top >= self.sizes[:, 1]) | (left + width <= 0) | (top + height <= 0)
        )
        sizes = [(*box, *size) for box, size in zip(self.boxes, self.sizes, strict=True)]
        remedy = (
            "Are the annotations of another size or version of the images? Write them in pixels of the image"
        )
        told = " (left, top, width, height, then width and height of the image)"
        self._tell(apart, self.one, f"the box lies outside its image{told}", sizes, remedy)
        leave = (self._leaving() > edge) & ~apart
        self._tell(leave, self.one, f"the box leaves its image{told}", sizes, remedy, AMODAL)
        points = self.keypoints[:, :, :2]
        out = self.labelled & (
            (points < -edge[:, None, None]) | (points > self.sizes[:, None] + edge[:, None, None])
        ).any(2)
        named = [(*points[n][out[n]][:1].ravel(), *self.sizes[n]) for n in range(len(points))]
        self._tell(
            out.any(1),
            self.labelled.any(1),
            "labelled keypoints outside their image (x, y, then width and height of the image)",
            named,
            "Set the visibility of those that are not in the picture to 0; " + remedy[0].lower() + remedy[1:],
        )

    def _outside_box(self) -> None:
        left, top, width, height = self.boxes.T
        margin = 0.5 * np.maximum(width, height) + 2
        x, y = self.keypoints[:, :, 0], self.keypoints[:, :, 1]
        out = (x < (left - margin)[:, None]) | (x > (left + width + margin)[:, None])
        out |= (y < (top - margin)[:, None]) | (y > (top + height + margin)[:, None])
        number = (out & self.labelled).sum(1)
        self._tell(
            number > self.labelled.sum(1) / 2,
            self.one & self.labelled.any(1),
            "most labelled keypoints are far outside the person's own box",
            self.boxes,
            "Is it the box or the keypoints of another person, or are the boxes no left, top, width, height?",
        )

    def _areas(self) -> None:
        boxed = self.boxes[:, 2] * self.boxes[:, 3]
        among = self.one & self.given_areas & (boxed > 0)
        share = self.areas / np.where(boxed > 0, boxed, 1)
        remedy = "Write the area of the segmentation in pixels, or null: it is then derived"
        self._tell(share > 1.1, among, "the area is larger than the box, in pixels", self.areas, remedy)
        self._tell(
            share < 0.01, among, "the area is less than a hundredth of the box, in pixels", self.areas, remedy
        )
        if among.any() and (abs(share[among] - 1) < 0.01).all():
            self.remarks.note(
                "",
                "every area is that of the box, where COCO's is the segment's, about half as large: keypoint "
                "AP is higher than it would be in COCO",
            )

    def _order(self, named: bool) -> None:
        """Judge the order of the keypoints by the proportions that it gives."""
        points = self.keypoints.copy()
        points[:, :, 2] = self.labelled
        found = keypoint_names.proportions(points[self.one])
        telling = (self.labelled[self.one].sum(1) >= keypoint_names.TELLING).sum()
        names = ", ".join(keypoint_names.NAMES)
        if named and telling >= 5 and found.doubtful():
            self.remarks.fault(
                "",
                "the keypoints are not in the order of the category's names: what should be bones is as long "
                "as other distances, or what should be a face as large as a body",
                "",
                "Write the names under 'categories' in the order of the keypoints",
            )
        if not named and not found.sure():
            self.remarks.fault(
                "",
                "categories: 'person' names no keypoints, and they do not look as if in COCO's order",
                "",
                f"Add the names under 'keypoints' of the category; COCO's are {names}",
            )
        elif not named:
            self.remarks.note("", "no names of keypoints: taken in COCO's order, as their places show")

    def _tolerance(self) -> np.ndarray:
        """Return by how many pixels boxes and keypoints may leave an image by rounding, float [N]."""
        return np.maximum(2, 0.01 * self.sizes.max(1))

    def _leaving(self) -> np.ndarray:
        return _leaving(self.boxes, self.sizes)

    def _hulls(self) -> np.ndarray:
        """Return the extent of the labelled keypoints, float [N, 4] left, top, width, height."""
        points = np.where(self.labelled[:, :, None], self.keypoints[:, :, :2], np.nan)
        with np.errstate(invalid="ignore"):
            low = np.where(self.labelled.any(1)[:, None], np.fmin.reduce(points, 1), 0)
            high = np.where(self.labelled.any(1)[:, None], np.fmax.reduce(points, 1), 0)
        return np.hstack([low, high - low])


def _leaving(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return by how many pixels each box leaves its image, float [N]."""
    ends = boxes[:, :2] + boxes[:, 2:]
    return np.maximum(-boxes[:, :2], ends - sizes).max(1)


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU of each box with its other, float [N]; left, top, width, height."""
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    return common / np.maximum(boxes[:, 2:].prod(1) + others[:, 2:].prod(1) - common, 1e-9)


def _first(flags: np.ndarray) -> int:
    return int(np.argmax(flags))


def _text(values) -> str:
    return ", ".join(f"{value:g}" for value in np.atleast_1d(values).tolist())
