"""The detector on every n-th frame: boxes from keypoints, who is lost, and when the detector runs."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from posegauge.data.scenes import clips
from posegauge.pipeline.pipeline import Persons
from posegauge.pipeline.steps import Settings
from posegauge.pipeline.tracking import (
    MAX_MARGIN,
    MIN_KEYPOINTS,
    DetectEvery,
    margins,
    next_boxes,
    rectangles,
    same_persons,
    twice,
    ways,
)

SIZE, FRAMES, RATE = (256, 144), 60, 15
NUMBERS = st.floats(-1e4, 1e4, width=32)


# ------------------------------------------------------------------------------- boxes from keypoints


def person(corners, score=0.9):
    """Return (keypoints float32 [1, 17, 2], scores [1, 17]) whose rectangle has these two corners."""
    points = np.tile(np.mean(corners, axis=0, dtype=np.float32), (17, 1))
    points[:2] = corners
    return points[None].astype(np.float32), np.full((1, 17), score, np.float32)


def test_the_rectangle_holds_the_sure_keypoints_alone():
    points, scores = person([(60, 40), (140, 120)])
    points[0, 16], scores[0, 16] = 900, 0.1
    around, held = rectangles(points, scores, 0.2)
    assert around.tolist() == [[60, 40, 140, 120]] and held.tolist() == [True]


def test_a_person_is_lost_with_too_few_keypoints_or_too_low_scores():
    points = np.random.default_rng(0).uniform(10, 90, (3, 17, 2)).astype(np.float32)
    scores = np.zeros((3, 17), np.float32)
    scores[0, : MIN_KEYPOINTS - 1] = 5  # their mean is high
    scores[1, :MIN_KEYPOINTS] = 1
    scores[2, :MIN_KEYPOINTS] = 0.21  # the mean of all is below keypoint_thr
    around, held = rectangles(points, scores, 0.2)
    assert held.tolist() == [False, True, False] and not around[[0, 2]].any()


def test_the_padding_is_that_of_the_detectors_box_on_each_side():
    around = np.float32([[60, 40, 140, 120]])
    margin = margins(np.float32([[50, 24, 144, 200]]), around)
    assert margin[0] == pytest.approx([10 / 80, 16 / 80, 4 / 80, MAX_MARGIN])
    assert not margins(np.float32([[70, 50, 130, 110]]), around).any(), "never less than the keypoints"
    bigger = np.float32([[0, 0, 160, 160]])
    moved = next_boxes(bigger, margin, np.float32([[5, -3]]), (1000, 1000))
    assert moved[0] == pytest.approx([0, 0, 160 + 8 + 5, 160 + 64 - 3])  # clipped at the left and the top
    assert next_boxes(bigger, margin, np.float32([[5, -3]]), (100, 90))[0].tolist() == [0, 0, 100, 90]


def test_the_way_is_the_median_of_the_keypoints_sure_in_both_frames():
    before, scores = person([(60, 40), (140, 120)])
    now = before + np.float32([7, -2])
    now[0, :5] += 300  # jumped: fewer than half
    assert ways(now, scores, before, scores, 0.2).tolist() == [[7, -2]]
    unsure = np.full_like(scores, 0.1)
    assert ways(now, unsure, before, scores, 0.2).tolist() == [[0, 0]]


def test_a_detected_person_is_the_nearest_of_the_frame_before_if_one_is_near():
    one, scores = person([(60, 40), (140, 140)])
    other, _ = person([(300, 40), (380, 140)])
    before = np.concatenate([other, one])
    around, _ = rectangles(one, scores, 0.2)
    assert same_persons(one + 10, before, around).tolist() == [1]
    assert same_persons(one + 60, before, around).tolist() == [-1]
    assert same_persons(one, before[:0], around).tolist() == [-1]
    assert same_persons(one[:0], before, around[:0]).tolist() == []


@hypothesis_settings(deadline=None, max_examples=100)
@given(st.data(), st.integers(0, 5), st.integers(1, 2000), st.integers(1, 2000))
def test_boxes_lie_in_the_image_around_every_sure_keypoint_in_it(data, persons, width, height):
    points = data.draw(arrays(np.float32, (persons, 17, 2), elements=NUMBERS))
    scores = data.draw(arrays(np.float32, (persons, 17), elements=st.floats(0, 1.5, width=32)))
    found = data.draw(arrays(np.float32, (persons, 4), elements=NUMBERS))
    around, held = rectangles(points, scores, 0.2)
    margin, still = margins(found, around), np.zeros((persons, 2), np.float32)
    boxes = next_boxes(around, margin, still, (width, height))
    assert boxes.shape == (persons, 4) and boxes.dtype == np.float32 and np.isfinite(boxes).all()
    assert (margin >= 0).all() and (margin <= np.float32(MAX_MARGIN)).all()
    assert (boxes >= 0).all() and (boxes <= [width, height, width, height]).all()
    for box, one, score in zip(boxes[held], points[held], scores[held], strict=True):
        inside = (score > 0.2) & (one >= 0).all(1) & (one <= [width, height]).all(1)
        assert (one[inside] >= box[:2] - 1e-2).all() and (one[inside] <= box[2:] + 1e-2).all()
    # Of the persons' order nothing depends, and who did not move went no way.
    order = np.arange(persons)[::-1]
    again, _ = rectangles(points[order], scores[order], 0.2)
    assert np.array_equal(next_boxes(again, margin[order], still, (width, height)), boxes[order])
    assert not ways(points, scores, points, scores, 0.2).any()


def test_of_two_boxes_on_one_person_the_less_sure_is_double():
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60], [0, 0, 10, 5]])
    assert twice(boxes, np.float32([0.5, 0.9, 0.1, 0.3]), 0.6).tolist() == [True, False, False, False]
    assert not twice(boxes[:0], np.float32([]), 0.6).any()


# ------------------------------------------------------------------------------------ on the drawn film


class Knowing:
    """Stands in for the pipeline: knows the annotations; a pose is that of who fills a box best."""

    def __init__(self, frames):
        self.frames, self.settings = frames, Settings()
        self.calls = []

    def _persons(self, image):
        return [person for person in self.frames[image[0, 0, 0]] if person["num_keypoints"]]

    def __call__(self, image):
        persons = self._persons(image)
        self.calls.append("detect")
        boxes = np.array([person["bbox"] for person in persons], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return self._posed(persons, boxes, np.linspace(0.9, 0.6, len(boxes), dtype=np.float32))

    def run(self, images, bboxes):
        (image,), (boxes,) = images, bboxes
        self.calls.append("track")
        persons = self._persons(image)
        chosen = []
        for box in boxes:
            shared = [overlap(person["bbox"], box) for person in persons]
            chosen.append(persons[int(np.argmax(shared))] if any(shared) else None)
        return [self._posed(chosen, boxes, np.ones(len(boxes), np.float32))]

    def _posed(self, persons, boxes, box_scores):
        found = np.zeros((len(persons), 17, 3), np.float32)
        for place, person in enumerate(persons):
            if person is not None:
                found[place] = np.reshape(person["keypoints"], (17, 3))
        scores = np.float32([0.05, 0.4, 0.8])[found[..., 2].astype(int)]
        return Persons(boxes, box_scores, found[..., :2], scores)


def overlap(bbox, box) -> float:
    """Return the pixels that [x, y, width, height] and xyxy have in common."""
    x, y, width, height = bbox
    across = min(x + width, box[2]) - max(x, box[0])
    down = min(y + height, box[3]) - max(y, box[1])
    return max(across, 0) * max(down, 0)


@pytest.fixture(scope="module")
def film():
    """(images that say which frame they are, annotations of each frame) of the drawn film, in small."""
    frames = [found for _, found in clips.clip_frames(2017, FRAMES, RATE, SIZE)]
    images = [np.full((SIZE[1], SIZE[0], 3), index, np.uint8) for index in range(FRAMES)]
    return images, frames


def run(film, interval):
    """Return (the pipeline, [(persons, detected, lost)] of every frame)."""
    pipeline = Knowing(film[1])
    tracker = DetectEvery(pipeline, interval)
    return pipeline, [(tracker(image), tracker.detected, tracker.lost) for image in film[0]]


def test_the_film_has_persons_who_cross_come_and_go(film):
    counts = [sum(1 for person in found if person["num_keypoints"]) for found in film[1]]
    assert max(counts) >= 4 and min(counts) >= 1
    hidden = [person for found in film[1] for person in found if not person["num_keypoints"]]
    assert len(hidden) > 10 and all(person["keypoints"] == [0] * 51 for person in hidden)
    changes = np.diff(counts)
    assert (changes > 0).sum() >= 5 and (changes < 0).sum() >= 5


def test_with_interval_1_it_is_the_pipeline(film):
    pipeline, found = run(film, 1)
    assert pipeline.calls == ["detect"] * FRAMES and not any(lost for _, _, lost in found)
    for image, (persons, detected, _) in zip(film[0], found, strict=True):
        again = pipeline(image)
        assert detected and np.array_equal(persons.bboxes, again.bboxes)
        assert np.array_equal(persons.keypoints, again.keypoints)
        assert np.array_equal(persons.bbox_scores, again.bbox_scores)


@pytest.mark.parametrize("interval", [2, 5, 10])
def test_the_detector_runs_on_every_nth_frame_and_after_a_loss(film, interval):
    pipeline, found = run(film, interval)
    wait = 0
    for _, detected, lost in found:
        assert detected == (wait == 0)
        assert not (detected and lost)
        wait = (interval if detected else wait) - 1
        wait = 0 if lost else wait
    assert pipeline.calls.count("detect") == sum(detected for _, detected, _ in found)
    assert pipeline.calls.count("detect") < FRAMES * 0.75
    assert sum(lost for _, _, lost in found) >= 2


def near(persons, annotated) -> set:
    """Return which of the annotated persons were found: ankles to nose, every visible keypoint in place."""
    found = set()
    for number, person in enumerate(annotated):
        truth = np.reshape(person["keypoints"], (17, 3))
        seen = truth[:, 2] == 2
        for points in persons.keypoints:
            if seen.any() and np.abs(points[seen] - truth[seen, :2]).max() < 1:
                found.add(number)
    return found


@pytest.mark.parametrize("interval", [2, 5, 10])
def test_who_is_in_view_is_followed_and_who_comes_is_found_at_the_next_detection(film, interval):
    _, found = run(film, interval)
    missed = 0
    for (persons, detected, _), annotated in zip(found, film[1], strict=True):
        visible = {number for number, person in enumerate(annotated) if person["num_keypoints"]}
        here = near(persons, annotated)
        assert len(persons) <= len(visible) + 1
        if detected:
            assert here == visible, "the detector finds all"
        missed = 0 if here >= visible else missed + 1
        assert missed < interval, "nobody is missed for longer than until the next detection"


def test_who_leaves_is_lost_and_shown_no_more():
    """One person walks out at the right; the detector runs on the frame after and finds nobody."""
    shape = np.stack([np.linspace(12, 38, 17), np.linspace(12, 88, 17), np.full(17, 2)], 1)
    frames = []
    for index in range(16):
        moved = shape + np.array([8 * index, 0, 0])
        moved[moved[:, 0] > 99] = 0
        count = int((moved[:, 2] > 0).sum())
        box = [10 + 8 * index, 10, max(1, min(30, 100 - 10 - 8 * index)), 80]
        frames.append([{"bbox": box, "keypoints": moved.ravel(), "num_keypoints": count}])
    images = [np.full((100, 100, 3), index, np.uint8) for index in range(16)]
    pipeline, found = run((images, frames), 50)
    losses = [index for index, (_, _, lost) in enumerate(found) if lost]
    assert len(losses) == 1
    (last,) = losses
    assert all(len(persons) == 1 for persons, _, _ in found[:last])
    assert len(found[last][0]) == 0 and found[last + 1][1], "the detector runs on the next frame"
    assert pipeline.calls.count("detect") == 2
    # The box score stays the detector's.
    assert all(persons.bbox_scores[0] == np.float32(0.9) for persons, _, _ in found[:last])


def test_a_doubtful_box_does_not_call_the_detector_again_and_again(film):
    class Doubtful(Knowing):
        def __call__(self, image):
            persons = super().__call__(image)
            persons.keypoint_scores[:] = 0.1
            return persons

    tracker = DetectEvery(Doubtful(film[1]), 10)
    detected = []
    for image in film[0]:
        persons = tracker(image)
        detected.append(tracker.detected)
        assert len(persons) == 0 or tracker.detected, "shown where it was found, and not followed"
    assert detected == [index % 10 == 0 for index in range(FRAMES)]


def test_a_new_film_begins_with_the_detector(film):
    pipeline = Knowing(film[1])
    tracker = DetectEvery(pipeline, 10)
    for _ in range(2):
        tracker.reset()
        tracker(film[0][0])
        assert tracker.detected


def test_the_drawn_film_and_its_annotations_are_those_of_the_seed(tmp_path):
    first, again, other = (list(clips.clip_frames(seed, 2, 5, (160, 96))) for seed in (4, 4, 5))
    assert all(np.array_equal(a[0], b[0]) and a[1] == b[1] for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0][0], other[0][0])
    for image, annotations in first:
        canvas = np.zeros(image.shape[:2], np.uint8)
        for person in annotations:
            x, y, width, height = person["bbox"]
            assert 0 <= x < x + width <= 160 and 0 <= y < y + height <= 96
            for outline in person["segmentation"]:
                cv2.fillPoly(canvas, [np.int32(outline).reshape(-1, 2)], 255)
            points = np.reshape(person["keypoints"], (17, 3))
            for px, py, _ in points[points[:, 2] == 2].round().astype(int):
                assert canvas[max(py - 1, 0) : py + 2, max(px - 1, 0) : px + 2].any()
