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
    parser.add_argument("--target", type=Path, help="a folder for PYTHONPATH in place of a venv")
    parser.add_argument("--wheelhouse", type=Path, help="install from this folder alone")
    parser.add_argument("--stamp", help="a file to write when all is done; %% becomes the Python's version")
    parser.add_argument("--torch", choices=["default", "cpu", "none"], default="default")
    parser.add_argument("--cuda", default="", help="12, 13, or auto: by the driver; none: the CPU's packages")
    parser.add_argument("--amend", action="store_true", help="only where the venv is not as the locks say")
    parser.add_argument("--system-site-packages", action="store_true", help="use what the Python below has")
    parser.add_argument("--uv", help="uv's path, or nothing for pip alone; default: the one that is found")
    parser.add_argument("--gather", type=Path, help="install nothing: make a wheelhouse in this folder")
    parser.add_argument("--python-version", default=HERE, help="for --gather: 3.12, say")
    parser.add_argument("--platform", help="for --gather: manylinux_2_28_x86_64, say")
    parser.add_argument("--part-mib", type=int, help="for --gather: the size of its parts")
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
    """Make the venv, or the folder, and install."""
    from posegauge.errors import PoseGaugeError
    from posegauge.install import locks, packages, place, wheelhouse

    if given.amend:
        there = place.Place(given.venv, str(given.venv / "bin" / "python"))
        changed = packages.differences(there, generation("", given.venv))
        if not changed:
            return
        print("\n  ".join([f"{given.venv} was changed, and is installed again:", *changed]), flush=True)
    if given.wheelhouse is None:
        if given.target:
            raise PoseGaugeError("TARGET=folder is for WHEELHOUSE=folder; without one, make a venv")
        cuda = generation(given.cuda, given.venv)
        locks.check_cuda(cuda, sys.platform, platform.machine())
    elif given.cuda:
        raise PoseGaugeError("a wheelhouse is for one kind of GPU already: leave CUDA and setup-cuda out")
    else:
        found = wheelhouse.require(given.wheelhouse)  # before anything is made
    if given.target:
        if given.target.exists() and any(given.target.iterdir()):
            raise PoseGaugeError(f"{given.target} is not empty: say another TARGET, or remove it first")
        place.require_pip()
        folder = place.Place(given.target, sys.executable, target=True)
        wheelhouse.install(folder, given.wheelhouse, found)
        folder.compile()
        print(
            f"To use it: PYTHONPATH={given.target} {sys.executable} -m snakemake --cores all ...", flush=True
        )
        return
    venv = place.Place.venv(given.venv, given.system_site_packages, place.find_uv(given.uv))
    for stamp in given.venv.glob(".installed-*"):
        stamp.unlink()
    if given.wheelhouse:
        wheelhouse.install(venv, given.wheelhouse, found)
        cuda = found["cuda"]
    else:
        for text in packages.install(venv, given.torch, cuda):
            print(f"Left out: {text}", flush=True)
    venv.compile()
    told = given.venv / ".cuda"
    told.write_text(str(cuda), encoding="utf-8") if cuda else told.unlink(missing_ok=True)
    if given.stamp:
        Path(given.stamp.replace("%", HERE)).touch()


def gather(given: argparse.Namespace) -> None:
    """Make a wheelhouse."""
    from posegauge.install import wheelhouse

    cuda = None if given.cuda in ("", "none") else generation(given.cuda, given.venv)
    found = wheelhouse.gather(
        given.gather, given.python_version, given.platform, cuda, given.torch, given.part_mib
    )
    size = sum(entry["bytes"] for entry in found["files"].values())
    print(
        f"{given.gather}: {len(found['files'])} wheels, {size / 2**20:.0f} MiB, for Python {found['python']} "
        f"on {found['platform']}"
    )
    for text in found["left_out"]:
        print(f"Left out: {text}")
    print("There, from this revision: make setup WHEELHOUSE=<the folder>")


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
        given = arguments(sys.argv[1:])
        gather(given) if given.gather else setup(given)
    except PoseGaugeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
