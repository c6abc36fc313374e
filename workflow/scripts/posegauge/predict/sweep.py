"""One pass over images in one condition: every box source and the study's protocol, from one detector run."""

import copy
import logging
import time
from dataclasses import dataclass

import numpy as np

from posegauge.errors import PoseGaugeError
from posegauge.logs import progress
from posegauge.pipeline.pipeline import Persons, Pipeline, StageClock
from posegauge.pipeline.study_protocol import study_persons
from posegauge.predict.image_queue import ImageQueue, Preparation, Prepared
from posegauge.predict.predictions import coco_results
from posegauge.study import PREDICTION_SETS

WARMUP_IMAGES = 3


NO_BOXES = np.empty((0, 5), np.float32)


class TimedSession:
    """A session that adds up the seconds spent in `run`."""

    def __init__(self, session):
        self.session = session
        self.seconds = 0.0

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session."""
        begin = time.perf_counter()
        outputs = self.session.run(batch)
        self.seconds += time.perf_counter() - begin
        return outputs


class RememberingSession:
    """A session that runs no input twice: the study's protocol mostly asks for crops that are done already.

    ONNX Runtime gives the same bits for an input whatever batch it is in; PyTorch may differ in the last.
    """

    def __init__(self, session):
        self.session = session
        self._known = {}

    def forget(self) -> None:
        """Let go of the inputs so far: those of another image never come again."""
        self._known = {}

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """See posegauge.backends.base.Session."""
        # A hundredth of the values tells most inputs apart; those that agree in it are compared as a whole.
        keys = [item[:, ::16, ::16].tobytes() for item in batch]
        found = [self._find(key, item) for key, item in zip(keys, batch, strict=True)]
        new = [index for index, outputs in enumerate(found) if outputs is None]
        if new:
            fresh = self.session.run(batch if len(new) == len(batch) else batch[new])
            for row, index in enumerate(new):
                found[index] = {name: output[row] for name, output in fresh.items()}
                self._known.setdefault(keys[index], []).append((batch[index], found[index]))
            if len(new) == len(batch):
                return fresh
        return {name: np.stack([outputs[name] for outputs in found]) for name in found[0]}

    def _find(self, key: bytes, item: np.ndarray) -> dict | None:
        known = self._known.get(key, ())
        return next((outputs for other, outputs in known if np.array_equal(other, item)), None)


@dataclass(frozen=True)
class Predicted:
    """What was found in one image."""

    persons: dict[str, Persons]  # by set
    detected: np.ndarray  # float32 [N, 5] xyxy and score: all boxes above score_thr
    used: int  # how many of them are above bbox_thr
    stages_ms: dict  # of the pipeline in use
    fallback: str | None  # the box source of the study's persons, see study_protocol.study_boxes


def predict_image(pipeline: Pipeline, prepared: Prepared, annotated, clean, sets) -> Predicted:
    """Estimate the poses of one image in the boxes of every source, with one run of the detector.

    Args:
        pipeline: with a detector.
        prepared: the image.
        annotated: float32 [N, 4] xyxy, the annotated boxes.
        clean: float32 [N, 5] xyxy and score, the boxes of the clean image; None: this is it.
        sets: which of study.PREDICTION_SETS to make.

    The stage times are those of the pipeline in use (boxes above bbox_thr; only with the set "detected"). The
    poses in all other boxes are made off that clock, those in boxes that are the same to the bit once.
    """
    clock = StageClock()
    clock.ms["preprocess"] = prepared.preprocess_ms
    outputs, ((_, bboxes, scores),) = pipeline.find(prepared.batch, [prepared.scale], clock)
    sources = {
        "detected": (bboxes, scores),
        "clean": (bboxes, scores) if clean is None else (clean[:, :4], clean[:, 4]),
        "annotated": (annotated, np.ones(len(annotated), np.float32)),
    }
    sources = {name: source for name, source in sources.items() if name in sets}
    used = int((scores > pipeline.settings.bbox_thr).sum())
    # Boxes come best first, so the used ones are the head of the list.
    first = bboxes[:used] if "detected" in sets else bboxes[:0]
    poses = [pipeline.estimate(prepared.image, first, clock)]
    rows = {box.tobytes(): row for row, box in enumerate(first)}
    others = [NO_BOXES[:, :4]]
    for source, _ in sources.values():
        for index, box in enumerate(source):
            if (key := box.tobytes()) not in rows:
                rows[key] = len(rows)
                others.append(source[index : index + 1])
    poses.append(pipeline.estimate(prepared.image, np.concatenate(others)))
    keypoints, keypoint_scores = (np.concatenate(parts) for parts in zip(*poses, strict=True))
    persons = {}
    for name, (source, box_scores) in sources.items():
        which = [rows[box.tobytes()] for box in source]
        persons[name] = Persons(source, box_scores, keypoints[which], keypoint_scores[which])
    fallback = None
    if "original" in sets:
        persons["original"], fallback = study_persons(pipeline, prepared.image, outputs, prepared.scale)
    return Predicted(persons, np.column_stack([bboxes, scores]), used, clock.ms, fallback)


def warm_up(pipeline: Pipeline, entries: list[dict], how: Preparation, images: ImageQueue) -> None:
    """Run the first images through everything, one at least for each worker: all are slow at first."""
    for prepared in images.prepared(entries[: max(WARMUP_IMAGES, images.size)], how):
        if isinstance(prepared, Prepared):
            predict_image(pipeline, prepared, NO_BOXES[:, :4], NO_BOXES, PREDICTION_SETS)


def sweep(
    pipeline: Pipeline,
    entries: list[dict],
    how: Preparation,
    images: ImageQueue,
    unreadable: str,
    annotated: dict[int | str, np.ndarray],
    clean: dict[str, np.ndarray] | None,
    sets=PREDICTION_SETS,
) -> dict:
    """Predict images in one condition.

    Args:
        pipeline: with a detector.
        entries: of person_images.json: id, file_name, width, height. None is allowed: an empty shard.
        how: folder, condition, seed.
        images: prepares them.
        unreadable: "error" raises PoseGaugeError at the first image that cannot be read; "skip" leaves it
            out of the predictions and lists it.
        annotated: {image id: float32 [N, 4] xyxy}, see coco.person_boxes.
        clean: {image id as text: float32 [N, 5] xyxy and score} detected on the clean images; None in the
            condition clean, where they are made.
        sets: which of study.PREDICTION_SETS to make. Without "detected" the latency is that of the detector.

    Returns:
        {"results": {set: COCO results},
        "boxes": {image id: [[x1, y1, x2, y2, score]]}, all that were detected, float32 to the bit,
        "images": per image id, persons, latency_ms, stages_ms, corruption_ms, fallback,
        "unreadable": file names, "wall_s": of all this, "inference_s": of it, spent in the sessions}.
        Everything but the times is the same for any number of workers.
    """
    timed = TimedSession(pipeline.detector), TimedSession(pipeline.pose)
    pipeline = copy.copy(pipeline)
    pipeline.detector, pipeline.pose = timed[0], RememberingSession(timed[1])
    results, boxes, measured, missing = {name: [] for name in sets}, {}, [], []
    begin = time.perf_counter()
    for entry, prepared in zip(progress(entries, how.condition), images.prepared(entries, how), strict=True):
        if isinstance(prepared, PoseGaugeError):
            missing.append(_left_out(entry, prepared, unreadable))
            continue
        image_id = entry["id"]
        pipeline.pose.forget()
        predicted = predict_image(
            pipeline, prepared, annotated.get(image_id, NO_BOXES[:, :4]), _of_clean(clean, entry), sets
        )
        for name in sets:
            source = predicted.fallback if name == "original" else name
            results[name] += coco_results(
                predicted.persons[name], image_id, pipeline.settings.keypoint_thr, source
            )
        boxes[image_id] = predicted.detected.tolist()
        measured.append(
            {
                "image_id": image_id,
                "persons": predicted.used,
                "latency_ms": round(sum(predicted.stages_ms.values()), 4),
                "stages_ms": {stage: round(ms, 4) for stage, ms in predicted.stages_ms.items()},
                "corruption_ms": round(prepared.corruption_ms, 4),
                "fallback": predicted.fallback == "whole_image",
            }
        )
    return {
        "results": results,
        "boxes": boxes,
        "images": measured,
        "unreadable": missing,
        "wall_s": time.perf_counter() - begin,
        "inference_s": sum(session.seconds for session in timed),
    }


def _left_out(entry: dict, error: PoseGaugeError, unreadable: str) -> str:
    if unreadable == "error":
        raise PoseGaugeError(
            f"{error}. Mend the file, or set dataset.unreadable: skip to count such images and go on"
        ) from error
    logging.getLogger("posegauge").warning("left out: %s", error)
    return entry["file_name"]


def _of_clean(clean: dict | None, entry: dict) -> np.ndarray | None:
    if clean is None:
        return None
    if str(entry["id"]) not in clean:
        raise PoseGaugeError(
            f"{entry['file_name']}: has no boxes of the condition clean, where it was unreadable, but it can "
            "be read now; make the predictions of clean anew"
        )
    return clean[str(entry["id"])]
