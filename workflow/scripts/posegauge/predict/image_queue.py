"""Images read, corrupted and letterboxed ahead of inference, by processes of their own.

Some corruptions hold Python's lock for long, so threads would stop inference. The images come out in order,
and what comes out does not depend on the number of processes.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import time
import traceback
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from posegauge.data import corruptions
from posegauge.data.images import read_entry
from posegauge.errors import PoseGaugeError
from posegauge.pipeline.conventions import USUAL, Pixels
from posegauge.pipeline.steps import detector_input

# Images that are prepared, or being prepared, ahead of the one in inference; per worker.
AHEAD = 2


# More do not help: they prepare faster than any network of this study runs.
MAX_WORKERS = 8


def worker_count(threads: int) -> int:
    """Return how many processes prepare images beside inference on so many threads."""
    return min(threads, MAX_WORKERS)


@dataclass(frozen=True)
class Preparation:
    """What is done to every image before the networks see it."""

    images_dir: str
    condition: str  # name in posegauge.study.CONDITIONS
    seed: int  # global seed of the conditions
    detector_size: tuple[int, int]  # (width, height) of the detector's input
    pixels: Pixels = USUAL["detector"]  # how the detector takes its pixels


@dataclass(frozen=True)
class Prepared:
    """An image in its condition, ready for the detector."""

    image: np.ndarray  # uint8 [H, W, 3] BGR
    batch: np.ndarray  # float32 [1, 3, height, width], see steps.detector_input
    scale: np.ndarray  # float64 [2]
    # Processor time: wall time would count the waiting for a core that inference has.
    corruption_ms: float
    preprocess_ms: float


def prepare(entry: dict, how: Preparation) -> Prepared | PoseGaugeError:
    """Read, corrupt and letterbox the image of an entry of person_images.json.

    The error of an image that cannot be read is returned, for the caller to weigh; any other is raised.
    """
    try:
        image = read_entry(how.images_dir, entry)
    except PoseGaugeError as error:
        return error
    begin = time.thread_time()
    image = corruptions.apply(how.condition, image, how.seed, entry["id"])
    corrupted = time.thread_time()
    batch, scale = detector_input(image, how.detector_size, how.pixels)
    end = time.thread_time()
    return Prepared(image, batch, scale, (corrupted - begin) * 1e3, (end - corrupted) * 1e3)


def _serve(connection) -> None:
    """Run in a process of its own: prepare what is asked for until the other end is closed or dead."""
    # Ctrl-C is the main process's affair: when it ends, so does this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Inference must not wait for this process: its threads wait for each other at every layer.
    os.nice(19)
    cv2.setNumThreads(1)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            entry, how = connection.recv()
            answer, error = None, None
            try:
                answer = prepare(entry, how)
            except PoseGaugeError as raised:
                error = raised
            except Exception:
                # As text, because a traceback cannot travel.
                error = RuntimeError(f"{entry['file_name']}:\n{traceback.format_exc()}")
            connection.send((answer, error))


class Worker:
    """A process that prepares one image at a time."""

    def __init__(self):
        # Forking a process that runs threads (those of the runtimes) can lock up the child.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        # Now the worker has the only other end, so its death ends our waiting for an answer.
        theirs.close()

    def __call__(self, entry: dict, how: Preparation) -> Prepared | PoseGaugeError:
        """Let the process prepare an image and wait for it; PoseGaugeError when it died of that."""
        try:
            self.connection.send((entry, how))
            answer, error = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise PoseGaugeError(
                f"{entry['file_name']}: the process that was reading and corrupting this image ended with "
                f"exit code {self.process.exitcode}. -9 mostly means too little memory: run again with fewer "
                "--cores"
            ) from None
        if error:
            raise error
        return answer

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join()


class ImageQueue:
    """Prepares images in `workers` processes, a bounded number ahead, and hands them out in order.

    A context manager; its processes serve any number of sweeps. With 0 workers the caller does the work.
    """

    def __init__(self, workers: int):
        self.size = workers
        self.workers = []
        self._idle = queue.SimpleQueue()
        self._threads = None

    def __enter__(self):
        if self.size:
            self.workers = [Worker() for _ in range(self.size)]
            for worker in self.workers:
                self._idle.put(worker)
            # A thread per process does no more than wait for it: the futures give order and bound.
            self._threads = ThreadPoolExecutor(self.size)
        return self

    def __exit__(self, *_):
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
        for worker in self.workers:
            worker.close()

    def _ask(self, entry: dict, how: Preparation) -> Prepared | PoseGaugeError:
        worker = self._idle.get()
        try:
            return worker(entry, how)
        finally:
            self._idle.put(worker)

    def prepared(self, entries: list[dict], how: Preparation):
        """Yield what `prepare` returns for every entry, in order."""
        if not self._threads:
            yield from (prepare(entry, how) for entry in entries)
            return
        waiting, rest = deque(), iter(entries)
        try:
            while True:
                while len(waiting) <= AHEAD * self.size and (entry := next(rest, None)):
                    waiting.append(self._threads.submit(self._ask, entry, how))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
