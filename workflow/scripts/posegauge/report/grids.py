"""The picture grids: one scene and further images in the study's conditions, one scene in those of COCO-C.

The corrupted images are made again from seed, condition and image id; only the predictions are read.
"""

import logging
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from posegauge.data import corruptions
from posegauge.data.annotations import PERSON
from posegauge.data.coco import person_boxes
from posegauge.data.images import find_entry, read_entry
from posegauge.errors import PoseGaugeError, nearest
from posegauge.predict.draw import draw_persons, scale_person
from posegauge.store import files
from posegauge.study import COCO_C_CORRUPTIONS, CONDITIONS

WIDTH = 1440  # pixels: sharp at the width of a README


GAP, MARGIN = 12, 18


FURTHER_IMAGES = 4


SCENE_PERSONS = (3, 6)  # a default scene has so many annotated persons, if any image has


MAX_BYTES = 1_000_000


INK, QUIET, PAPER = (17, 17, 17), (90, 90, 90), (255, 255, 255)


FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # the same letters on every machine


@dataclass(frozen=True)
class Scenes:
    """What the tiles are made of."""

    images_dir: Path
    annotations: dict  # as read by coco.read_annotations
    predictions: dict  # condition -> image id -> COCO results
    seed: int
    person_thr: float
    keypoint_thr: float


def _font(size: int, style: str = "") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / f"DejaVuSans{style}.ttf"), size)


# -------------------------------------------------------------------------------------- choice of images


def _annotated(annotations: dict) -> dict[int, list[dict]]:
    """Return the annotated persons by image id, crowds left out."""
    persons = {}
    for annotation in annotations["annotations"]:
        if annotation.get("category_id") == PERSON and not annotation.get("iscrowd"):
            persons.setdefault(annotation["image_id"], []).append(annotation)
    return persons


def _is_readable(images_dir, entry: dict) -> bool:
    try:
        read_entry(images_dir, entry)
    except PoseGaugeError as error:
        logging.getLogger("posegauge").warning("not shown: %s", error)
        return False
    return True


def choose_scene(images: list[dict], annotations: dict, images_dir, name: str | None = None) -> dict:
    """Return the entry of `images` that is shown in every condition.

    images: entries of person_images.json. name: its file name, or None for the first image with 3 to 6 well
    annotated persons (half their keypoints, a hundredth of the image), else the one with most persons.
    """
    if name:
        return find_entry(images, name, "grids.scene")
    persons = _annotated(annotations)

    def rank(entry: dict) -> tuple:
        area = entry["width"] * entry["height"]
        known = [
            person
            for person in persons.get(entry["id"], [])
            if person.get("num_keypoints", 0) > 8 and person["bbox"][2] * person["bbox"][3] > 0.01 * area
        ]
        low, high = SCENE_PERSONS
        fits = low <= len(known) and len(persons[entry["id"]]) <= high
        return (not fits, 0 if fits else -len(known))  # sorted() keeps the order of images of one rank

    for entry in sorted(images, key=rank):
        if _is_readable(images_dir, entry):
            return entry
    raise PoseGaugeError(f"{images_dir}: none of the {len(images)} person images could be read")


def choose_images(
    images: list[dict], annotations: dict, images_dir, scene: dict, names: list[str] | None = None
) -> list[dict]:
    """Return the entries of the second grid: those named, else up to 4 others spread evenly over the set."""
    if names:
        return [find_entry(images, name, "grids.images") for name in names]
    persons = _annotated(annotations)
    others = [entry for entry in images if entry["id"] != scene["id"] and persons.get(entry["id"])]
    chosen = []
    # From each quarter of the set the first image that can be read.
    for part in np.array_split(np.arange(len(others)), min(FURTHER_IMAGES, len(others)) or 1):
        entry = next((others[i] for i in part if _is_readable(images_dir, others[i])), None)
        chosen += [entry] if entry else []
    return chosen


def read_predictions(paths, image_ids: set[int]) -> dict[str, dict[int, list[dict]]]:
    """Read the COCO results of some images from files <condition>/detected.json, in their order."""
    predictions = {}
    for path in map(Path, paths):
        name = path.parent.name
        if name not in CONDITIONS:
            raise PoseGaugeError(f"{path}: '{name}' is no condition{nearest(name, CONDITIONS)}")
        by_image = predictions.setdefault(name, {})
        for result in files.read_json(path):
            if result["image_id"] in image_ids:
                by_image.setdefault(result["image_id"], []).append(result)
    return predictions


# ------------------------------------------------------------------------------------------------- tiles


def _iou(box, boxes: np.ndarray) -> np.ndarray:
    """Return the IoU of one xyxy box with `boxes` [N, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + np.prod(np.subtract(box[2:], box[:2]))
    return shared / np.maximum(areas - shared, 1e-9)


def _colours(persons: list[dict], boxes: np.ndarray) -> list[int]:
    """Number the persons by the annotated box they cover, so that a person keeps its colour everywhere."""
    colours, taken, extra = [], set(), len(boxes)
    for person in persons:
        x, y, width, height = person["bbox"]
        overlap = _iou(np.array([x, y, x + width, y + height]), boxes) if len(boxes) else np.zeros(0)
        best = next((int(i) for i in np.argsort(-overlap) if overlap[i] >= 0.3 and int(i) not in taken), None)
        if best is None:
            best, extra = extra, extra + 1
        taken.add(best)
        colours.append(best)
    return colours


def _picture(images_dir, entry: dict, condition: str, seed: int, width: int, height: int) -> np.ndarray:
    """Return an image in a condition, scaled after the corruption to uint8 BGR [height, width, 3]."""
    image = corruptions.apply(condition, read_entry(images_dir, entry), seed, entry["id"])
    method = cv2.INTER_AREA if width < entry["width"] else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=method)


def draw_tile(scenes: Scenes, entry: dict, condition: str, width: int, height: int) -> tuple[np.ndarray, str]:
    """Return (uint8 BGR [height, width, 3], caption): an image in a condition with its detected persons."""
    small = _picture(scenes.images_dir, entry, condition, scenes.seed, width, height)
    found = scenes.predictions[condition].get(entry["id"], [])
    persons = sorted(
        (person for person in found if person["box_score"] >= scenes.person_thr),
        key=lambda person: -person["box_score"],
    )
    colours = _colours(persons, person_boxes(scenes.annotations, entry["id"]))
    factors = width / entry["width"], height / entry["height"]
    scaled = [scale_person(person, *factors) for person in persons]
    drawn = draw_persons(small, scaled[::-1], scenes.keypoint_thr, colours[::-1])  # the surest on top
    if not persons:
        return drawn, "no person found"
    confidence = np.mean([np.mean(person["keypoints"][2::3]) for person in persons])
    number = "1 person" if len(persons) == 1 else f"{len(persons)} persons"
    return drawn, f"{number} · confidence {confidence:.2f}"


# ------------------------------------------------------------------------------------------------- pages


class _Page:
    """A white page with a heading, to which tiles are added; grows downwards."""

    def __init__(self, title: str, subtitle: str):
        self.canvas = Image.new("RGB", (WIDTH, 30000), PAPER)
        self.pen = ImageDraw.Draw(self.canvas)
        self.y = MARGIN
        self.text(MARGIN, title, _font(28, "-Bold"))
        self.y += 38
        self.paragraph(subtitle, _font(18))
        self.y += 10

    def text(self, x: float, text: str, font, colour=INK, down: int = 0, anchor: str = "la") -> None:
        self.pen.text((x, self.y + down), text, font=font, fill=colour, anchor=anchor)

    def paragraph(self, text: str, font) -> None:
        # Characters that fit, by the mean width of those in this text.
        letters = (WIDTH - 2 * MARGIN) * len(text) / (font.getlength(text) or 1)
        for line in textwrap.wrap(text, max(20, int(0.97 * letters))):
            self.text(MARGIN, line, font, QUIET)
            self.y += round(font.size * 1.35)

    def paste(self, tile: np.ndarray, x: int, down: int = 0) -> None:
        self.canvas.paste(Image.fromarray(cv2.cvtColor(tile, cv2.COLOR_BGR2RGB)), (x, self.y + down))

    def save(self, path, notice: str | None) -> None:
        """Write as JPEG of at most about 1 MB, with the notice in the footer."""
        self.y += 4
        self.paragraph(notice or "", _font(17, "-Oblique"))
        page = self.canvas.crop((0, 0, WIDTH, self.y + MARGIN - 6))
        with files.atomic_path(path) as temporary:
            for quality in (88, 82, 75, 66, 55):
                page.save(temporary, format="JPEG", quality=quality, optimize=True)
                if temporary.stat().st_size <= MAX_BYTES:
                    break


def _fitted(text: str, font, width: float) -> str:
    """Return `text`, shortened in its middle when it is wider than `width` pixels."""
    keep = len(text)
    short = text
    while font.getlength(short) > width and keep > 4:
        keep -= 1
        short = f"{text[: math.ceil(keep / 2)]}…{text[len(text) - keep // 2 :]}"
    return short


def draw_condition_grid(
    path, scenes: Scenes, entry: dict, title: str = "", notice: str | None = None
) -> None:
    """Draw one image in every condition of `scenes.predictions` as a JPEG, three by three for nine."""
    page = _Page("One scene in every condition", " · ".join(filter(None, (title, entry["file_name"]))))
    names = list(scenes.predictions)
    if not names:
        page.paragraph("No image condition is configured.", _font(20))
        page.y += 300
    columns = max(1, math.ceil(math.sqrt(len(names))))
    shape = entry["height"] / entry["width"]
    width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
    width = min(width, round(900 / shape))  # one or two tall tiles need not fill the page
    height = round(width * shape)
    for first in range(0, len(names), columns):
        for column, name in enumerate(names[first : first + columns]):
            x = MARGIN + column * (width + GAP)
            tile, caption = draw_tile(scenes, entry, name, width, height)
            page.text(x, _fitted(CONDITIONS[name].title, _font(20, "-Bold"), width), _font(20, "-Bold"))
            page.paste(tile, x, down=28)
            page.text(x, _fitted(caption, _font(18), width), _font(18), QUIET, down=height + 33)
        page.y += height + 72
    page.save(path, notice)


def draw_image_grid(
    path, scenes: Scenes, entries: list[dict], title: str = "", notice: str | None = None
) -> None:
    """Draw `entries` (columns) in every condition of `scenes.predictions` (rows) as a JPEG."""
    page = _Page("More images in every condition", title)
    if not entries or not scenes.predictions:
        what = "image condition is configured" if entries else "further image with persons can be shown"
        page.paragraph(f"No {what}.", _font(20))
        page.y += 300
        page.save(path, notice)
        return
    labels = 178
    shapes = [entry["width"] / entry["height"] for entry in entries]
    free = WIDTH - 2 * MARGIN - labels - GAP * (len(entries) - 1)
    height = min(int(free / sum(shapes)), 420)
    widths = [int(height * shape) for shape in shapes]
    lefts = [MARGIN + labels + sum(widths[:i]) + GAP * i for i in range(len(entries))]
    for entry, x, width in zip(entries, lefts, widths, strict=True):
        page.text(x, _fitted(entry["file_name"], _font(16), width), _font(16), QUIET)
    page.y += 26
    for name in scenes.predictions:
        for line, words in enumerate(textwrap.wrap(CONDITIONS[name].title, 14)):
            page.text(MARGIN, words, _font(18, "-Bold"), down=4 + 25 * line)
        for entry, x, width in zip(entries, lefts, widths, strict=True):
            tile, caption = draw_tile(scenes, entry, name, width, height)
            page.paste(tile, x)
            caption = caption.replace("confidence", "conf.")
            page.text(x, _fitted(caption, _font(16), width), _font(16), QUIET, down=height + 3)
        page.y += max(height + 34, 90)
    page.save(path, notice)


def draw_corruption_grid(
    path, images_dir, entry: dict, names: list[str], seed: int, title: str = "", notice: str | None = None
) -> None:
    """Draw one image in the conditions `names` of COCO-C as a JPEG: corruptions down, severities across.

    entry: of person_images.json. Without a condition the picture says so.
    """
    subtitle = " · ".join(filter(None, (title, entry["file_name"])))
    page = _Page("One scene in every corruption of COCO-C", subtitle)
    if not names:
        page.paragraph("The suite COCO-C is not part of this run.", _font(20))
        page.y += 300
        page.save(path, notice)
        return
    corruptions_shown = list(dict.fromkeys(CONDITIONS[name].corruption for name in names))
    severities = sorted({CONDITIONS[name].severity for name in names})
    labels = 178
    shape = entry["height"] / entry["width"]
    width = (WIDTH - 2 * MARGIN - labels - GAP * (len(severities) - 1)) // len(severities)
    width = min(width, round(300 / shape))  # few severities need no giants
    height = round(width * shape)
    lefts = {severity: MARGIN + labels + (width + GAP) * i for i, severity in enumerate(severities)}
    for severity, x in lefts.items():
        page.text(x, f"severity {severity}", _font(16), QUIET)
    page.y += 26
    for corruption in corruptions_shown:
        for line, words in enumerate(textwrap.wrap(COCO_C_CORRUPTIONS[corruption], 14)):
            page.text(MARGIN, words, _font(18, "-Bold"), down=4 + 25 * line)
        for name in names:
            if CONDITIONS[name].corruption == corruption:
                tile = _picture(images_dir, entry, name, seed, width, height)
                page.paste(tile, lefts[CONDITIONS[name].severity])
        page.y += max(height + GAP, 66)
    page.save(path, notice)
