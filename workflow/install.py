"""Install the locked packages: `make setup`, `make setup-cuda` and `make wheelhouse` call this.

It runs on the Python that the packages are for, and needs nothing but Python's own library.
"""

from __future__ import annotations  # so that an old Python gets as far as the message that says so

import argparse
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ".".join(map(str, sys.version_info[:2]))


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--stamp", help="a file to write when all is done; %% becomes the Python's version")
    parser.add_argument("--torch", choices=["default", "cpu"], default="default")
    parser.add_argument(
        "--cuda", default="", help="12, 13, or auto: by the driver; none: back to the CPU's packages"
    )
    parser.add_argument("--system-site-packages", action="store_true", help="use what the Python below has")
    parser.add_argument("--uv", help="uv's path, or nothing for pip alone; default: the one that is found")
    return parser.parse_args(words)


def generation(given: str, venv: Path) -> int | None:
    """Return 12 or 13 for the packages of a GPU, None for those of the CPU.

    Without a word the venv stays what it was made for.
    """
    from posegauge.install import driver

    if given == "none":
        return None
    if not given:
        told = venv / ".cuda"
        return int(told.read_text(encoding="utf-8")) if told.is_file() else None
    cuda, why = driver.chosen(given)
    print(f"Packages for CUDA {cuda}: {why}", flush=True)
    return cuda


def setup(given: argparse.Namespace) -> None:
    """Make the venv and install."""
    from posegauge.install import locks, packages, place

    cuda = generation(given.cuda, given.venv)
    locks.check_cuda(cuda, sys.platform, platform.machine())
    venv = place.Place.venv(given.venv, given.system_site_packages, place.find_uv(given.uv))
    for stamp in given.venv.glob(".installed-*"):
        stamp.unlink()
    for text in packages.install(venv, given.torch, cuda):
        print(f"Left out: {text}", flush=True)
    told = given.venv / ".cuda"
    told.write_text(str(cuda), encoding="utf-8") if cuda else told.unlink(missing_ok=True)
    if given.stamp:
        Path(given.stamp.replace("%", HERE)).touch()


def main() -> int:
    """Return the exit code: 1 with a message that says what to do."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        print(
            f"{sys.executable} is Python {HERE}: the packages are locked for Python 3.11, 3.12 and 3.13: say "
            "make PYTHON=/path/to/python3.12",
            file=sys.stderr,
        )
        return 1
    sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
    from posegauge.errors import PoseGaugeError

    try:
        setup(arguments(sys.argv[1:]))
    except PoseGaugeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
