"""Cameras that deliver frames at their own times, short queues, servers, and how many cameras these serve."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

# The first frames of each camera do not count: until then the queues are not as full as they stay.
LEAD_FRAMES = 4
# Served: no larger share of the frames is lost, and P95 is below the time of one frame.
MAX_DROPPED = 0.01
START_S = 0.05  # until all cameras are there


class Frame(NamedTuple):
    """A frame that a camera delivers."""

    camera: int
    number: int  # from 0 on, of this camera
    due_s: float  # when the camera has it, whenever its thread came to say so
    data: object


class Waiting:
    """The frames that wait for a server: at most `size` of each camera, the newest ones."""

    def __init__(self, cameras: int, size: int):
        """size: frames of a camera; a further one takes the place of the oldest, which is lost."""
        self._queues = [deque() for _ in range(cameras)]
        self._size, self._delivering = size, cameras
        self._changed = threading.Condition()
        self.dropped: list[Frame] = []
        self.most = 0  # frames of one camera that ever waited

    def put(self, frame: Frame) -> bool:
        """Take a frame of a camera; False when nobody serves any more."""
        with self._changed:
            queue = self._queues[frame.camera]
            if len(queue) == self._size:
                self.dropped.append(queue.popleft())
            queue.append(frame)
            self.most = max(self.most, len(queue))
            self._changed.notify()
            return self._delivering > 0

    def take(self, wait: bool = True) -> Frame | None:
        """Return the frame that came first; None when none waits and, with `wait`, no camera is left."""
        with self._changed:
            while True:
                heads = [queue for queue in self._queues if queue]
                if heads:
                    return min(heads, key=_due).popleft()
                if not wait or self._delivering <= 0:
                    return None
                self._changed.wait()

    def end(self) -> None:
        """One camera less delivers."""
        with self._changed:
            self._delivering -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody serves any more: the cameras end, and no frame is left."""
        with self._changed:
            self._delivering = 0
            for queue in self._queues:
                queue.clear()
            self._changed.notify_all()


def _due(queue: deque) -> float:
    return queue[0].due_s


class Server:
    """What works on the frames, in a thread of its own: runtimes tie much to the thread that loaded them."""

    def __init__(self, load: Callable[[], Callable[[object], object]]):
        """load: returns what works on one frame's data; its errors are raised here."""
        self._thread = ThreadPoolExecutor(1)
        try:
            self.work = self.call(load)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def call(self, function: Callable):
        """Return what a function returns in this server's thread."""
        return self._thread.submit(function).result()

    def start(self, waiting: Waiting, latency_ms: list) -> Future:
        """Serve what waits until no camera is left; latency_ms takes the time of each frame that counts."""
        return self._thread.submit(self._serve, waiting, latency_ms)

    def _serve(self, waiting: Waiting, latency_ms: list) -> None:
        try:
            while frame := waiting.take():
                self.work(frame.data)
                if frame.number >= LEAD_FRAMES:
                    latency_ms.append(round((time.perf_counter() - frame.due_s) * 1e3, 3))
        except BaseException:
            waiting.close()
            raise

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def deliver(waiting: Waiting, camera: int, dues: Sequence[float], shown: Sequence, late_s: list) -> None:
    """Deliver a camera's frames at the times `dues` (time.perf_counter).

    shown: what all cameras show, one after the other; each begins elsewhere. late_s: takes how late each is.
    """
    for number, due in enumerate(dues):
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        late_s.append(time.perf_counter() - due)
        if not waiting.put(Frame(camera, number, due, shown[(camera + number) % len(shown)])):
            break
    waiting.end()


def run_round(
    servers: Sequence[Server],
    shown: Sequence,
    cameras: int,
    fps: float,
    seconds: float,
    queue: int,
    seed: Sequence[int],
) -> dict:
    """Serve so many cameras at the same time, each a thread with a phase of its own.

    Args:
        servers: each works on one frame at a time, first come first served.
        shown: see deliver.
        cameras: their number.
        fps: frames per second of each.
        seconds: that count; LEAD_FRAMES of each camera go before.
        queue: see Waiting.
        seed: of the phases.

    Returns:
        {"frames": that were delivered and count, "dropped": of them, "latency_ms": of the others, from when
        the camera had the frame to its result, in the order in which they were served, "waiting_most": frames
        of one camera that waited, "late_ms_p95": how late the threads delivered, which is in the latencies}.
    """
    count = LEAD_FRAMES + max(1, round(seconds * fps))
    begin = time.perf_counter() + START_S
    phases = np.random.default_rng(seed).uniform(0, 1 / fps, cameras)
    waiting, late_s, latency_ms = Waiting(cameras, queue), [], []
    threads = [
        threading.Thread(
            target=deliver,
            args=(waiting, camera, begin + phase + np.arange(count) / fps, shown, late_s),
            daemon=True,
        )
        for camera, phase in enumerate(phases.tolist())
    ]
    for thread in threads:
        thread.start()
    serving = [server.start(waiting, latency_ms) for server in servers]
    for thread in threads:
        thread.join()
    for one in serving:
        one.result()
    return {
        "frames": cameras * (count - LEAD_FRAMES),
        "dropped": sum(frame.number >= LEAD_FRAMES for frame in waiting.dropped),
        "latency_ms": latency_ms,
        "waiting_most": waiting.most,
        "late_ms_p95": float(np.percentile(late_s, 95)) * 1e3,
    }


def is_served(one: dict, fps: float) -> bool:
    """Say whether the cameras of a round were served: P95 below a frame's time, next to none lost."""
    if not one["latency_ms"] or one["dropped"] > MAX_DROPPED * one["frames"]:
        return False
    return bool(np.percentile(one["latency_ms"], 95) < 1e3 / fps)


def attempt_number(run: Callable[[int], dict], rounds: int, fps: float) -> dict:
    """Return {"served", "rounds"} of one number of cameras: served if it is in each of so many rounds.

    run: makes a round (run_round), given its number. The first that is not served is the last.
    """
    made = []
    for number in range(rounds):
        made.append(one := run(number))
        one["served"] = is_served(one, fps)
        if not one["served"]:
            break
    return {"served": all(one["served"] for one in made), "rounds": made}


def search(served: Callable[[int], bool], streams: Sequence[int] | None, most: int) -> int:
    """Return the largest number of cameras that is served, 0 for none.

    Args:
        served: tries a number.
        streams: the numbers to try, up to the first that is not served; None: 1, 2, 4, ..., then halves of
            what lies between the largest that is served and the smallest that is not.
        most: with streams None no more are tried.
    """
    best = 0
    if streams is not None:
        for number in sorted(streams):
            if not served(number):
                break
            best = number
        return best
    number = 1
    while served(number):
        best = number
        if number >= most:
            return best
        number = min(2 * number, most)
    failed = number
    while failed - best > 1:
        middle = (best + failed) // 2
        if served(middle):
            best = middle
        else:
            failed = middle
    return best
