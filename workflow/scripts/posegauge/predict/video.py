"""Annotate a video: the pipeline on every frame, drawn, with the results of every frame beside it.

Frames are worked off in chunks. A chunk is a small video and its results, each written whole, in a folder
beside the output; a killed job goes on after the last whole chunk, and at the end the chunks are joined.
"""

import itertools
import logging
import shutil
import time
from pathlib import Path

import numpy as np
from pycocotools import mask
from scipy.optimize import linear_sum_assignment

from posegauge.data.video_files import Clip, Writer, join_videos, read_frames
from posegauge.logs import progress
from posegauge.pipeline.tracking import DetectEvery
from posegauge.predict.draw import OUTLINE, draw_persons, label
from posegauge.predict.predictions import coco_results
from posegauge.store import files

log = logging.getLogger("posegauge")


CHUNK_FRAMES = 100


FPS_FRAMES = 15  # frames over which the speed that is shown is averaged


MEMORY_FRAMES = 15  # frames for which a person who is not found keeps the number


SAME_PERSON_IOU = 0.3


class Tracks:
    """Numbers the persons so that one keeps its number, and so its colour, from frame to frame.

    It goes by the overlap of boxes alone: two who cross may change their numbers. No result rests on it.
    """

    def __init__(self):
        self.seen = {}  # number -> (frame, bbox [x, y, w, h])

    def number(self, frame: int, bboxes: list) -> list[int]:
        """Return the number of each of `bboxes` ([x, y, w, h]) in `frame`."""
        self.seen = {n: entry for n, entry in self.seen.items() if frame - entry[0] <= MEMORY_FRAMES}
        known = list(self.seen)
        found = dict.fromkeys(range(len(bboxes)))
        if known and bboxes:
            before = np.array([self.seen[number][1] for number in known], float)
            iou = mask.iou(np.array(bboxes, float), before, [0] * len(known))
            # Pairs below the threshold count nothing, so that they take no partner from another pair.
            iou[iou < SAME_PERSON_IOU] = 0
            for row, column in zip(*linear_sum_assignment(iou, maximize=True), strict=True):
                if iou[row, column] > 0:
                    found[row] = known[column]
        free = itertools.filterfalse(set(known).__contains__, itertools.count())
        numbers = [next(free) if number is None else number for number in found.values()]
        self.remember(frame, bboxes, numbers)
        return numbers

    def remember(self, frame: int, bboxes: list, numbers: list[int]) -> None:
        """Take over what a killed job had numbered."""
        self.seen.update({n: (frame, bbox) for n, bbox in zip(numbers, bboxes, strict=True)})


def annotate_frame(
    tracker: DetectEvery, image: np.ndarray, index: int, stamp: int, clip: Clip, tracks: Tracks
) -> dict:
    """Run the pipeline on the next frame; return its record (see video.schema.yaml)."""
    begin = time.perf_counter()
    persons = tracker(image)
    latency_ms = (time.perf_counter() - begin) * 1e3
    source = "detected" if tracker.detected else "tracked"
    found = coco_results(persons, index, tracker.settings.keypoint_thr, source)
    numbers = tracks.number(index, [person["bbox"] for person in found])
    return {
        "index": index,
        "stamp": stamp,
        "time_s": float(stamp * clip.time_base),
        "latency_ms": latency_ms,
        "stages_ms": persons.stages_ms,
        "persons": [{**person, "track": number} for person, number in zip(found, numbers, strict=True)],
    }


def draw_frame(image: np.ndarray, record: dict, fps: float, settings) -> np.ndarray:
    """Return a copy of a frame with its persons, their number and the speed drawn on it."""
    shown = [person for person in record["persons"] if person["box_score"] >= settings.person_thr]
    shown = shown[::-1]  # the surest on top
    canvas = draw_persons(image, shown, settings.keypoint_thr, [person["track"] for person in shown])
    number = f"{len(shown)} person{'' if len(shown) == 1 else 's'}"
    scale = max(0.45, min(image.shape[:2]) / 720)
    label(canvas, f"{number}   {fps:.1f} FPS", 0, 0, OUTLINE, scale)
    return canvas


def _fps(records: list[dict]) -> float:
    """Return frames per second of the pipeline, a mean over the last frames."""
    return 1e3 / float(np.mean([record["latency_ms"] for record in records[-FPS_FRAMES:]]))


def _whole_chunks(folder: Path, key: str) -> list[Path]:
    """Return the results of the chunks that a job with the same `key` has left; delete those of another."""
    at = folder / "key.json"
    if folder.exists() and not (at.exists() and files.read_json(at) == key):
        shutil.rmtree(folder)
    files.write_json(at, key)
    # The results of a chunk are written after its video.
    return sorted(folder.glob("[0-9]*.json"))


def annotate_video(
    pipeline,
    clip: Clip,
    output,
    folder,
    key: str,
    title: str | None = None,
    chunk_frames=CHUNK_FRAMES,
    detect_every: int = 1,
) -> list[dict]:
    """Annotate a clip; return the records of all its frames (`frames` of video.schema.yaml).

    Args:
        pipeline: a posegauge.pipeline.pipeline.Pipeline with a detector.
        clip: see video_files.read_clip.
        output: the MP4 file to write, with the times of the clip's frames.
        folder: where chunks are kept; those that are there are used if they were made with the same `key`.
            The caller deletes it when all is done.
        key: a hash of all that the results depend on: input, models, settings, code.
        title: for the metadata of the output.
        chunk_frames: frames of a chunk.
        detect_every: see DetectEvery. Each chunk begins with the detector, so that a job that goes on after a
            killed one finds the same.

    Raises:
        PoseGaugeError: see video_files.read_frames.
    """
    folder = Path(folder)
    parts = [path.with_suffix(".mp4") for path in _whole_chunks(folder, key)]
    records = [record for part in parts for record in files.read_json(part.with_suffix(".json"))]
    tracks = Tracks()
    for record in records:
        persons = record["persons"]
        tracks.remember(record["index"], [p["bbox"] for p in persons], [p["track"] for p in persons])
    begin = len(records)
    if begin:
        log.info("%s: %d frames are done, going on after them", clip.path, begin)

    frames = read_frames(clip, begin)
    tracker = DetectEvery(pipeline, detect_every)
    first = list(itertools.islice(frames, 1))
    for _, image in first:
        pipeline(image)  # the first run of a network is slower, and not what is to be shown
    frames = progress(
        itertools.chain(first, frames), "frames", total=clip.frames and max(clip.frames - begin, 0)
    )
    for _, chunk in itertools.groupby(enumerate(frames), lambda pair: pair[0] // chunk_frames):
        start = len(records)
        part = folder / f"{start:09d}.mp4"
        tracker.reset()
        with (
            files.atomic_path(part) as temporary,
            Writer(temporary, clip.frame_rate, (clip.width, clip.height)) as writer,
        ):
            for _, (stamp, image) in chunk:
                records.append(annotate_frame(tracker, image, len(records), stamp, clip, tracks))
                writer.write(draw_frame(image, records[-1], _fps(records), pipeline.settings))
        files.write_json(part.with_suffix(".json"), records[start:])
        parts.append(part)
    if clip.counted and len(records) != clip.frames:
        log.warning(
            "%s: %d frames could be read, its header names %d; was it copied whole?",
            clip.path, len(records), clip.frames,
        )  # fmt: skip
    stamps = [record["stamp"] for record in records]
    last = max(1, round(1 / (clip.frame_rate * clip.time_base)))
    join_videos(output, parts, stamps, clip.time_base, last, title)
    return records


def has_variable_rate(records: list[dict]) -> bool:
    """Say whether the times between frames differ by more than the rounding of time stamps."""
    intervals = np.diff([record["stamp"] for record in records])
    return len(intervals) > 0 and int(intervals.max() - intervals.min()) > 1
