"""The kernel's folders of energy counters, made up: values that stand, or that rise as with so many watts."""

import contextlib
import os
import threading
import time
from pathlib import Path


def zone(root: Path, name: str, title: str, uj: int, most: int = 262_143_328_850) -> Path:
    """Make one of the folders."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{title}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")
    (folder / "energy_uj").write_text(f"{uj}\n")
    return folder


def set_uj(folder: Path, uj: float) -> None:
    """Change a counter as the kernel does: nobody sees half of it."""
    (folder / "new").write_text(f"{round(uj)}\n")
    os.replace(folder / "new", folder / "energy_uj")


@contextlib.contextmanager
def drawing(folder: Path, watts: list[float]):
    """Let a counter rise every millisecond by what watts[0] draws meanwhile."""
    stop = threading.Event()

    def count():
        uj, then = float((folder / "energy_uj").read_text()), time.perf_counter()
        while not stop.wait(0.001):
            now = time.perf_counter()
            uj, then = uj + watts[0] * (now - then) * 1e6, now
            set_uj(folder, uj)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
