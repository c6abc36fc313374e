"""Latency of the pipeline: warm-up, then single runs, every sample kept."""

import time

import numpy as np

from posebench.logs import progress
from posebench.pipeline import Pipeline
from posebench.study import STAGES


def measure(pipeline: Pipeline, image: np.ndarray, bboxes: np.ndarray | None, warmup: int, runs: int) -> dict:
    """Run the pipeline `warmup` + `runs` times on one image and keep the times of the last `runs`.

    Args:
        pipeline: detect+pose, or pose only when `bboxes` is given.
        image: uint8 BGR [H, W, 3].
        bboxes: None or float32 [N, 4] xyxy.

    Returns:
        {"persons": N of the last run, "latency_ms": [runs] wall clock around the whole call,
        "stages_ms": {stage: [runs]}}.
    """
    for _ in range(warmup):
        pipeline(image, bboxes)
    latency_ms = []
    stages_ms = {stage: [] for stage in STAGES}
    persons = None
    for _ in progress(range(runs), "runs"):
        begin = time.perf_counter()
        persons = pipeline(image, bboxes)
        latency_ms.append((time.perf_counter() - begin) * 1e3)
        for stage in STAGES:
            stages_ms[stage].append(persons.stages_ms[stage])
    return {"persons": len(persons), "latency_ms": latency_ms, "stages_ms": stages_ms}
