"""Draw persons on an image: box with its score, skeleton, one colour per person.

MMPose's own visualizer would need torch and a model's metadata at hand; these few OpenCV calls keep the
summary rules (and the video rule) free of both.
"""

import cv2
import numpy as np

from posegauge.pipeline.keypoint_sets import of_count

# Okabe and Ito's colour-blind-safe colours as BGR, the bright ones first because photographs are dark.
COLOURS = (
    (66, 228, 240),  # yellow
    (233, 180, 86),  # sky blue
    (0, 159, 230),  # orange
    (115, 158, 0),  # green
    (167, 121, 204),  # purple
    (0, 94, 213),  # vermilion
    (178, 114, 0),  # blue
)


OUTLINE = (25, 25, 25)


DENSE = 30  # keypoints from which on faces and hands are among them, which large points would cover


def _ink(colour: tuple) -> tuple:
    """Return black or white, whichever reads better on `colour` (BGR)."""
    blue, green, red = colour
    return (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else (255, 255, 255)


def label(canvas: np.ndarray, text: str, left: int, top: int, colour: tuple, scale: float) -> None:
    """Write `text` on a filled strip above (`left`, `top`), or inside the image when there is no room."""
    font, weight = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(scale * 2))
    (width, height), base = cv2.getTextSize(text, font, scale, weight)
    pad = max(2, round(4 * scale))
    left = min(max(left, 0), max(canvas.shape[1] - width - 2 * pad, 0))
    bottom = top if top >= height + base + 2 * pad else max(top, 0) + height + base + 2 * pad
    corner = (left + width + 2 * pad, bottom)
    cv2.rectangle(canvas, (left, bottom - height - base - 2 * pad), corner, colour, -1)
    origin = (left + pad, bottom - base - pad)
    cv2.putText(canvas, text, origin, font, scale, _ink(colour), weight, cv2.LINE_AA)


def scale_person(person: dict, factor_x: float, factor_y: float) -> dict:
    """Return a copy of a COCO result with its bbox and keypoints multiplied, for an image drawn smaller."""
    x, y, width, height = person["bbox"]
    scaled = {"bbox": [x * factor_x, y * factor_y, width * factor_x, height * factor_y]}
    for key in ("keypoints", "more_keypoints"):
        if key in person:
            points = np.asarray(person[key], dtype=np.float64).reshape(-1, 3) * (factor_x, factor_y, 1)
            scaled[key] = points.ravel().tolist()
    return {**person, **scaled}


def draw_persons(
    image: np.ndarray,
    persons: list[dict],
    keypoint_thr: float = 0.2,
    colours: list[int] | None = None,
    scores: bool = True,
) -> np.ndarray:
    """Return a copy of `image` with `persons` drawn on it.

    image: uint8 BGR [H, W, 3]. persons: COCO results with `bbox` [x, y, w, h], `keypoints` [51] (x, y, score
    per keypoint, pixels of `image`), the `more_keypoints` of larger sets and, for the label, `box_score`.
    Keypoints up to `keypoint_thr` and limbs that need them are left out; surer keypoints are drawn larger.
    colours: one number per person, by which its colour is chosen; default the order of the list. scores:
    write the box score.
    """
    canvas = np.ascontiguousarray(image).copy()
    unit = max(1.0, min(canvas.shape[:2]) / 240)  # line width in pixels, so that all sizes look alike
    line = max(1, round(unit))
    for order, person in enumerate(persons):
        colour = COLOURS[(colours[order] if colours else order) % len(COLOURS)]
        points = np.asarray(person["keypoints"] + person.get("more_keypoints", []), np.float64).reshape(-1, 3)
        dense = len(points) > DENSE
        limbs = of_count(len(points)).limbs
        seen = (points[:, 2] > keypoint_thr) & np.isfinite(points).all(axis=1)
        # Far outside the image OpenCV's 32 bit pixel coordinates would wrap around.
        pixels = np.clip(np.nan_to_num(points[:, :2]), -30000, 30000).round().astype(int)
        x, y, width, height = np.clip(np.nan_to_num(person["bbox"]), -30000, 30000)
        left, top, right, bottom = round(x), round(y), round(x + width), round(y + height)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
        fine = min(unit, max(0.5, max(width, height) / 80))  # thinner on a person far away
        limb = max(1, round(2 * fine))
        # The dark outline keeps limbs visible in the overexposed and the noisy conditions.
        for stroke, paint in ((limb + 2, OUTLINE), (limb, colour)):
            for a, b in limbs:
                if seen[a] and seen[b]:
                    cv2.line(canvas, pixels[a].tolist(), pixels[b].tolist(), paint, stroke, cv2.LINE_AA)
        for (px, py), score in zip(pixels[seen], points[seen, 2], strict=True):
            radius = 1 if dense else max(1, round(fine * (1 + 1.4 * min(max(score, 0), 1))))
            cv2.circle(canvas, (int(px), int(py)), radius + 1, OUTLINE, -1, cv2.LINE_AA)
            cv2.circle(canvas, (int(px), int(py)), radius, (255, 255, 255), -1, cv2.LINE_AA)
        if scores and person.get("box_score") is not None:
            label(canvas, f"{person['box_score']:.2f}", left, top, colour, 0.25 + 0.13 * unit)
    return canvas
