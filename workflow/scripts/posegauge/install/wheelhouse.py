"""A wheelhouse: every wheel that a machine without a network needs, with a list of what is in it.

`wheelhouse.json` names the Python, the platform and the locks that it was made for, and the size, the sha256
and the place of every file. In parts of a given size, for a way that takes no large files, a wheel may lie in
pieces.
"""

import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from posegauge.errors import PoseGaugeError
from posegauge.install import locks, packages
from posegauge.install.place import Place, require_pip

LIST = "wheelhouse.json"
# The oldest glibc that the locked wheels are for.
PLATFORMS = {"x86_64": "manylinux_2_28_x86_64", "aarch64": "manylinux_2_35_aarch64"}
# Of each part, for the list.
RESERVED = 2**18


def gather(out, python: str, tag: str | None, cuda: int | None, torch: str, part_mib: int | None) -> dict:
    """Download or build every wheel for a machine.

    Args:
        out: a new folder, or an empty one.
        python: "3.12" say.
        tag: platform, "manylinux_2_28_x86_64" say: glibc 2.28 or newer; None: for this kind of processor.
        cuda: 12 or 13 for an NVIDIA GPU, None for the CPU alone.
        torch: "default", "cpu" (PyTorch's own index is asked), or "none" for a machine that has PyTorch.
        part_mib: size of the parts in MiB; None: one folder.

    Returns:
        The list, as written.

    Raises:
        PoseGaugeError: a Python or platform without locks, a folder that is not empty, or a failed download.
    """
    out = Path(out)
    if python not in locks.PYTHONS:
        raise PoseGaugeError(f"PYTHON_VERSION is '{python}'; the locks are for {', '.join(locks.PYTHONS)}")
    tag = tag or PLATFORMS.get(platform.machine(), platform.machine())
    known = re.fullmatch(r"manylinux_2_(\d+)_(x86_64|aarch64)", tag)
    if not known:
        raise PoseGaugeError(f"PLATFORM is '{tag}'; say {' or '.join(PLATFORMS.values())}, or another glibc")
    if cuda and torch == "cpu":
        raise PoseGaugeError(
            f"TORCH=cpu is PyTorch without CUDA, and CUDA={cuda} needs it: leave one of them out"
        )
    if part_mib is not None and part_mib < 1:
        raise PoseGaugeError(f"PART_MIB is {part_mib}; expected a number of MiB from 1 on")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PoseGaugeError(f"{out} is not empty: say another OUT, or remove it first")
    require_pip()
    glibc, machine = int(known[1]), known[2]
    locks.check_cuda(cuda, "linux", machine)
    out.mkdir(parents=True, exist_ok=True)
    found = {"python": python, "platform": tag, "cuda": cuda, "torch": torch, "locks": locks_sha256()}
    left_out, files = [], {}
    with tempfile.TemporaryDirectory(dir=out) as folder:
        load = _Download(Path(folder), python, machine, glibc)
        for group, pins in wanted(locks.target(python, machine), cuda, torch).items():
            print(f"Gathering {group}: {len(pins)} packages", flush=True)
            files |= dict.fromkeys(load(pins), group)
        if cuda:
            try:
                files |= dict.fromkeys(load.build(locks.read(locks.TENSORRT[cuda])), "tensorrt")
            except PoseGaugeError:
                left_out.append("TensorRT: its libraries come from NVIDIA's own index, which did not answer")
        if torch == "cpu":
            pin = locks.read(locks.TORCH)
            files |= dict.fromkeys(load(pin, "--index-url", packages.TORCH_CPU_INDEX), "torch")
        entries = {
            name: {
                "group": group,
                "bytes": (load.folder / name).stat().st_size,
                "sha256": _sha256(load.folder / name),
            }
            for name, group in sorted(files.items())
        }
        found |= {"left_out": left_out, "files": entries}
        _lay(found, load.folder, out, part_mib)
    return found


def wanted(target: dict, cuda: int | None, torch: str) -> dict[str, list]:
    """Return the pins of each group, "base", "torch", "cuda" and "openmmlab", that a machine needs.

    target: see locks.target. cuda, torch: see gather.
    """
    base = [pin for pin in locks.read(locks.LOCK) if not (cuda and pin.name == packages.CPU_RUNTIME)]
    # PyPI's PyTorch for Linux is the one for CUDA 13.
    further = locks.read(locks.CUDA_LOCKS[cuda or 13])
    groups = {
        "base": base,
        "torch": [pin for pin in further if packages.of_torch(pin.name)] if torch == "default" else [],
        "cuda": [pin for pin in further if not packages.of_torch(pin.name)]
        if cuda or torch == "default"
        else [],
        "openmmlab": locks.read(locks.OPENMMLAB),
    }
    if not cuda:  # PyTorch asks for the bindings of CUDA, but not for ONNX Runtime's build
        groups["cuda"] = [pin for pin in groups["cuda"] if pin.name != packages.GPU_RUNTIME]
    names = set()
    for group, pins in groups.items():
        groups[group] = [pin for pin in pins if pin.name not in names and pin.wanted(target)]
        names |= {pin.name for pin in groups[group]}
    return groups


class _Download:
    """Brings wheels for another machine into a folder with this machine's pip."""

    def __init__(self, folder: Path, python: str, machine: str, glibc: int):
        self.folder = folder
        tags = [f"manylinux_2_{number}_{machine}" for number in range(glibc, 4, -1)]
        tags += [f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")] + [f"linux_{machine}"]
        self.options = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
        for name, values in (
            ("--platform", tags),
            ("--abi", [f"cp{python.replace('.', '')}", "abi3", "none"]),
        ):
            self.options += [word for value in values for word in (name, value)]

    def __call__(self, pins: list, *options: str) -> list[str]:
        """Download the pins' wheels, and build those that PyPI has no wheel of; return the files' names."""
        sources = [pin for pin in pins if pin.name in locks.NO_WHEEL]
        ready = [pin for pin in pins if pin not in sources]
        return [
            *self._pip("download", ready, "--dest", *self.options, *options),
            *(self.build(sources) if sources else []),
        ]

    def build(self, pins: list) -> list[str]:
        """Build wheels from sources, of Python alone or of a program that fetches a wheel."""
        return self._pip("wheel", pins, "--wheel-dir")

    def _pip(self, command: str, pins: list, option: str, *options: str) -> list[str]:
        if not pins:
            return []
        before = {path.name for path in self.folder.iterdir()}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "requirements.txt"
            hashes = [[f"--hash=sha256:{value}" for value in sorted(pin.hashes)] for pin in pins]
            # Without markers, which pip would ask of this machine.
            lines = [f"{p.name}=={p.version} {' '.join(h)}\n" for p, h in zip(pins, hashes, strict=True)]
            file.write_text("".join(lines), encoding="utf-8")
            words = [sys.executable, "-m", "pip", command, "-qq", "--disable-pip-version-check", "--no-deps"]
            words += [option, str(self.folder), *options, "-r", str(file)]
            if subprocess.run(words).returncode:
                names = ", ".join(pin.name for pin in pins[:3]) + (", ..." if len(pins) > 3 else "")
                raise PoseGaugeError(f"{names} could not be had: what pip says stands above")
        new = sorted({path.name for path in self.folder.iterdir()} - before)
        if len(new) != len(pins) or not all(name.endswith(".whl") for name in new):
            raise PoseGaugeError(f"pip brought {len(new)} files for {len(pins)} packages: {', '.join(new)}")
        return new


def _lay(found: dict, source: Path, out: Path, part_mib: int | None) -> None:
    """Move the files of a list into `out`, in parts where asked for, and write the list beside them."""
    if part_mib is None:
        for name, entry in found["files"].items():
            shutil.move(source / name, out / name)
            entry["at"] = [name]
        parts = [out]
    else:
        room, number, parts = 0, 0, []
        for name, entry in found["files"].items():
            entry["at"], left = [], entry["bytes"]
            with (source / name).open("rb") as file:
                while left:
                    if room <= 0:
                        number, room = number + 1, part_mib * 2**20 - RESERVED
                        parts.append(out / f"part-{number:03}")
                        parts[-1].mkdir()
                    size = min(room, left)
                    whole = size == entry["bytes"]
                    piece = name if whole else f"{name}.{len(entry['at']) + 1}"
                    with (parts[-1] / piece).open("wb") as to:
                        for first in range(0, size, 2**20):
                            to.write(file.read(min(2**20, size - first)))
                    entry["at"].append(f"{parts[-1].name}/{piece}")
                    left, room = left - size, room - size
            (source / name).unlink()
    for part in parts:
        (part / LIST).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _sha256(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def locks_sha256() -> str:
    """Return the sha256 of all locks together."""
    return _sha256(*sorted(locks.ENVS.glob("requirements-*.txt")))


def read(folder) -> dict:
    """Read the list of a wheelhouse; PoseGaugeError where there is none."""
    folder = Path(folder)
    for path in (folder / LIST, *sorted(folder.glob(f"part-*/{LIST}"))):
        if path.is_file():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
                if {"python", "platform", "cuda", "torch", "locks", "files"} <= set(found):
                    return found
            except (ValueError, TypeError):
                pass
            raise PoseGaugeError(
                f"{path} is not the list of a wheelhouse: make it again with `make wheelhouse`"
            )
    raise PoseGaugeError(
        f"{folder} has no {LIST}, neither itself nor in a folder part-*: say the folder that "
        "`make wheelhouse OUT=...` made"
    )


def faults(found: dict, folder, python: str, machine: str, glibc: tuple[int, int] | None) -> list[str]:
    """Say why a wheelhouse cannot be installed here; nothing where it can.

    Args:
        found: of read.
        folder: the wheelhouse.
        python: version of the Python that the wheels are to be for, "3.12".
        machine: of platform.machine().
        glibc: this machine's, (2, 36) say; None where there is none.
    """
    folder, told = Path(folder), []
    if found["python"] != python:
        told.append(
            f"it is for Python {found['python']}, this is {python}: say make PYTHON=python{found['python']}"
        )
    number, wanted_machine = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", found["platform"]).groups()
    if machine != wanted_machine:
        told.append(f"it is for {wanted_machine}, this machine is {machine}: make one with PLATFORM=...")
    elif glibc is None or glibc < (2, int(number)):
        has = f"{glibc[0]}.{glibc[1]}" if glibc else "none"
        told.append(
            f"it is for glibc 2.{number} or newer, this machine has {has}: make one with PLATFORM=..."
        )
    if found["locks"] != locks_sha256():
        told.append("it was made from other locks than those in envs/: make it again from this revision")
    if told:
        return told
    missing, changed = [], []
    for name, entry in found["files"].items():
        paths = [folder / place for place in entry["at"]]
        absent = [place for place, path in zip(entry["at"], paths, strict=True) if not path.is_file()]
        missing += absent
        if not absent and _sha256(*paths) != entry["sha256"]:
            changed.append(name)
    for text, names in (("missing", missing), ("changed since it was made, by their sha256", changed)):
        if names:
            first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            told.append(f"{len(names)} of its files are {text} ({first}): copy them again")
    return told


def require(folder) -> dict:
    """Return the list of a wheelhouse that the Python that runs this can install.

    Raises:
        PoseGaugeError: a wheelhouse for another Python, platform or revision, or one that is not whole.
    """
    found = read(folder)
    python = ".".join(map(str, sys.version_info[:2]))
    libc, version = platform.libc_ver()
    glibc = tuple(map(int, version.split(".")[:2])) if libc == "glibc" else None
    if told := faults(found, folder, python, platform.machine(), glibc):
        raise PoseGaugeError("\n  ".join([f"{folder} cannot be installed here:", *told]))
    return found


def install(place: Place, folder, found: dict) -> None:
    """Install a wheelhouse, and nothing else.

    PyTorch is left out where one that fits is there already, in the Python below.

    Args:
        place: where to.
        folder: the wheelhouse.
        found: of require.

    Raises:
        PoseGaugeError: no PyTorch, neither here nor there, or what does not go together.
    """
    before = place.look()
    fits = (place.shared or place.target) and locks.torch_fits(
        before["versions"].get("torch"), found["cuda"], before["torch_cuda"]
    )
    if found["torch"] == "none" and not fits:
        raise PoseGaugeError(
            f"{folder} has no PyTorch (TORCH=none), and {place.python} has none that fits: 2.10 or newer"
            + (f", for CUDA {found['cuda']}" if found["cuda"] else "")
            + "; say SYSTEM_SITE_PACKAGES=1 where the Python below has one"
        )
    if not place.target:
        packages.remove_other_generations(place, before, found["cuda"], fits)
    names = [name for name, entry in found["files"].items() if not (fits and entry["group"] == "torch")]
    print(f"Installing {len(names)} wheels from {folder}", flush=True)
    if fits:
        print(f"PyTorch {before['versions']['torch']} is there and used", flush=True)
    with tempfile.TemporaryDirectory(dir=place.folder.parent) as joined:
        wheels = [_whole(Path(folder), name, found["files"][name]["at"], Path(joined)) for name in names]
        place.install("The wheelhouse", "--no-index", "--no-deps", *map(str, wheels))
    place.check()


def _whole(folder: Path, name: str, pieces: list[str], joined: Path) -> Path:
    """Return the path of a wheel, put together in `joined` where it lies in pieces."""
    if len(pieces) == 1:
        return folder / pieces[0]
    with (joined / name).open("wb") as to:
        for piece in pieces:
            with (folder / piece).open("rb") as file:
                shutil.copyfileobj(file, to)
    return joined / name
