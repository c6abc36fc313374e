"""What the detector on every n-th frame of a film costs and gives: milliseconds per frame, and AP.

All intervals and programs work off the same decoded frames, from the first to the last, one pass after the
other, round after round, in one process; the order changes from round to round. What is scored is what the
first round found. Frames of a film resemble their neighbours, so the intervals of scores draw blocks of
them; those of times draw passes.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from posegauge.backends.assemble import build_pipeline
from posegauge.data.films import Film, read_film
from posegauge.logs import progress
from posegauge.measure import peer_tracker
from posegauge.measure.peer_programs import rtmlib_beside
from posegauge.pipeline.pipeline import Persons
from posegauge.pipeline.tracking import MAX_MARGIN, MIN_KEYPOINTS, SAME_PERSON, DetectEvery
from posegauge.predict.predictions import coco_results
from posegauge.score import bootstrap
from posegauge.score.estimate import Estimate
from posegauge.score.intervals import paired_ratio, pass_means
from posegauge.score.metrics import keypoint_scores
from posegauge.score.truth import Truth
from posegauge.store.files import sha256_file
from posegauge.store.provenance import collect
from posegauge.store.record import attempt, make_record
from posegauge.study import ARTIFACTS, Artifact

OURS, PEER = "ours", "rtmlib"


# What rtmlib's tracker runs beside: the same runtime, device and precision.
BESIDE = (Artifact("onnxruntime", "cpu"), Artifact("onnxruntime", "cuda"))


METRICS = ("ap", "ap50", "ar")


# Frames of each pass that come before those that count: the first run after another program is slower.
WARMUP_FRAMES = 2

# A pass in which a network was compiled, for a number of persons that came for the first time, is made again:
# so many passes at most.
TRIES = 3


# The threads of ONNX Runtime and PyTorch go on spinning for some milliseconds after a call.
PAUSE_S = 0.03


def measure_detect_every(config: dict, name: str, files: dict, onnx: dict, threads: int) -> dict:
    """Time and score one artifact with every interval, and beside ONNX Runtime in FP32 rtmlib's tracker.

    Args:
        config: artifact.config_keys, detect_every, seed, bootstrap.resamples.
        name: of the artifact.
        files: {"clip": path, "annotations": path or nothing}.
        onnx: {"detector", "pose": the run's ONNX files, or nothing}.
        threads: CPU threads.

    Returns:
        The record for results/<run>/detect_every/<artifact>.json (detect_every.schema.yaml).
    """
    artifact, protocol = ARTIFACTS[name], config["detect_every"]
    film = read_film(files["clip"], files["annotations"] or None, protocol["frames"])
    intervals = protocol["intervals"]
    ways, outcomes, sessions, pipeline = {}, {}, {}, None
    with tempfile.TemporaryDirectory() as folder:
        with attempt(name) as outcomes[OURS]:
            pipeline = build_pipeline(config, artifact, threads, onnx, alone=True)
            sessions = pipeline.sessions
            ways[OURS] = {n: DetectEvery(pipeline, n) for n in intervals}
        if artifact in BESIDE and OURS in ways:
            with attempt(peer_tracker.TITLE) as outcomes[PEER]:
                programs = rtmlib_beside(pipeline, onnx, Path(folder), threads, artifact.device)
                ways[PEER] = {n: peer_tracker.RtmlibTracker(programs, n) for n in intervals}
        passes = take_turns(ways, film.frames, protocol["rounds"])
    judge = Judge(film, intervals, config["seed"], config["bootstrap"]["resamples"], config["pipeline"])
    rows = judge.rows(passes)
    return make_record(
        "detect_every",
        collect(config, sessions, threads, steps=pipeline and pipeline.steps.provenance()),
        outcomes[OURS],
        artifact=name,
        **artifact.fields(),
        threads=threads,
        film={
            "file_name": Path(files["clip"]).name,
            "sha256": sha256_file(files["clip"]),
            "title": film.clip.title,
            "width": film.clip.width,
            "height": film.clip.height,
            "frame_rate": float(film.clip.frame_rate),
            "frames": len(film.frames),
            **judge.annotated(),
        },
        tracking={"max_margin": MAX_MARGIN, "min_keypoints": MIN_KEYPOINTS, "same_person": SAME_PERSON},
        rounds=protocol["rounds"],
        interval=judge.about(),
        ways=[
            {"way": way, **outcome.fields(), "rows": [row for of, row in rows if of == way]}
            for way, outcome in outcomes.items()
        ],
    )


# ---------------------------------------------------------------------------------------------- measurement


def take_turns(ways: dict, frames: list[np.ndarray], rounds: int) -> dict:
    """Work off the film once per round, way and interval.

    ways: {way: {interval: tracker}}, see DetectEvery.

    Returns {(way, interval): {"latency_ms": [rounds][frames]; of the first round "found": [frames] what the
    tracker returned, "detected": [frames], "lost": [frames]}}.
    """
    turns = [(way, n) for way, trackers in ways.items() for n in trackers]
    passes = {turn: {"latency_ms": []} for turn in turns}
    for number in progress(range(rounds), "rounds"):
        for way, n in turns[number % len(turns) :] + turns[: number % len(turns)]:
            tracker, one = ways[way][n], passes[way, n]
            for _ in range(TRIES):
                built = tracker.builds
                done = _pass(tracker, frames)
                if tracker.builds == built:
                    break
            one["latency_ms"].append(done.pop("latency_ms"))
            if number == 0:
                one |= done
    return passes


def _pass(tracker, frames: list[np.ndarray]) -> dict:
    """Work off the film once; return what take_turns returns, lists [frames]."""
    done = {"latency_ms": [], "found": [], "detected": [], "lost": []}
    tracker.reset()
    time.sleep(PAUSE_S)
    for image in frames[:1] * WARMUP_FRAMES:
        tracker(image)
    tracker.reset()
    for image in frames:
        begin = time.perf_counter()
        found = tracker(image)
        done["latency_ms"].append((time.perf_counter() - begin) * 1e3)
        done["found"].append(found)
        done["detected"].append(tracker.detected)
        done["lost"].append(tracker.lost)
    return done


class Judge:
    """What the passes over a film are worth: times against each other, and scores with paired intervals."""

    def __init__(self, film: Film, intervals: list[int], seed: int, resamples: int, settings: dict):
        """intervals: those measured, 1 among them. settings: the group `pipeline` of the config."""
        self.film, self.seed, self.settings = film, seed, settings
        self.resamples, self.longest = resamples, max(intervals)
        self.scored = list(film.image_ids)
        if self.scored:
            self.ids = [film.image_ids[number] for number in self.scored]
            self.weights = self._weights(len(self.scored))
            self.truth = Truth(film.annotations)

    def _block(self, frames: int) -> int:
        # Not shorter than the longest interval, whose frames depend on one run of the detector.
        return min(frames, max(self.longest, -(-frames // 10)))

    def _weights(self, frames: int) -> np.ndarray:
        """Return the weights of the frames themselves, ones, then of the resamples: int64 [rows, frames]."""
        resamples = 0 if bootstrap.note(frames) else self.resamples
        drawn = bootstrap.block_weights(self.seed, frames, resamples, self._block(frames))
        return np.vstack([np.ones((1, frames), drawn.dtype), drawn])

    def annotated(self) -> dict:
        """Return how much of the film is annotated: frames, and persons with keypoints in them."""
        if not self.scored:
            return {"annotated_frames": 0, "annotated_persons": 0}
        ids = set(self.ids)
        persons = [person for person in self.film.annotations["annotations"] if person["image_id"] in ids]
        with_keypoints = sum(1 for person in persons if person["num_keypoints"] and not person["iscrowd"])
        return {"annotated_frames": len(self.scored), "annotated_persons": with_keypoints}

    def about(self) -> dict:
        """Return what the intervals are."""
        frames = len(self.scored) or len(self.film.frames)
        return {
            "level": bootstrap.LEVEL,
            "resamples": 0 if bootstrap.note(frames) else self.resamples,
            "seed": self.seed,
            "block_frames": self._block(frames),
            "note": bootstrap.note(frames),
        }

    def rows(self, passes: dict) -> list[tuple[str, dict]]:
        """Return (way, row of the record) of every pass."""
        times = {turn: pass_means(one["latency_ms"]) for turn, one in passes.items()}
        scores = {turn: self._scores(turn[0], one["found"]) for turn, one in passes.items()}
        rows = []
        for (way, n), one in passes.items():
            ours = {
                "time_ratio": self._ratio(times[OURS, n], times[way, n]),
                "ap_difference": _ap_difference(scores[OURS, n], scores[way, n]),
            }
            row = {
                "detect_every": n,
                "latency_ms": one["latency_ms"],
                "detected": one["detected"],
                "lost": None if None in one["lost"] else one["lost"],
                "persons": [len(_persons(way, found)) for found in one["found"]],
                "speedup": self._ratio(times[way, 1], times[way, n]),
                "scores": scores[way, n] and {name: scores[way, n][name].interval() for name in METRICS},
                "ap_change": _ap_difference(scores[way, n], scores[way, 1]),
                "ours": None if way == OURS else ours,
            }
            rows.append((way, row))
        return rows

    def _ratio(self, one: np.ndarray, other: np.ndarray) -> dict:
        return paired_ratio(one, other, self.resamples, self.seed)

    def _scores(self, way: str, found: list) -> dict[str, Estimate] | None:
        if not self.scored:
            return None
        thr = self.settings["keypoint_thr"]
        results = [
            result
            for number, image_id in zip(self.scored, self.ids, strict=True)
            for result in coco_results(_persons(way, found[number]), image_id, thr, "detected")
        ]
        scores = keypoint_scores(self.truth, results, self.ids, self.weights, ("all",))
        return {name: Estimate(float(scores[name][0]), scores[name][1:]) for name in METRICS}


def _ap_difference(one: dict | None, other: dict | None) -> dict | None:
    """Return the AP of one - that of the other, on the same frames; None without annotations."""
    return one and (one["ap"] - other["ap"]).interval()


def _persons(way: str, found) -> Persons:
    return found if way == OURS else peer_tracker.persons_of(found)
