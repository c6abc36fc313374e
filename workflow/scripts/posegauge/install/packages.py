"""Install the locked packages from a package index."""

import platform
import re
import sys
import tempfile
from pathlib import Path

from posegauge.errors import PoseGaugeError
from posegauge.install import locks
from posegauge.install.place import Place

# Both own the folder onnxruntime, so there is only ever one.
CPU_RUNTIME, GPU_RUNTIME = "onnxruntime", "onnxruntime-gpu"
# Only PyTorch's own index has builds without CUDA for Linux; PyPI's brings several GB of CUDA libraries.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def of_torch(name: str) -> bool:
    """Say whether a package of the CUDA locks is PyTorch or one of the libraries that it loads."""
    return name in ("torch", "triton", "cuda-toolkit") or name.startswith("nvidia-")


def install(place: Place, torch: str, cuda: int | None) -> list[str]:
    """Install everything.

    Args:
        place: where to. A PyTorch of the Python below is used where it fits.
        torch: "default", "cpu": PyTorch's build without CUDA, or "none": it is there. Without effect with
            `cuda`.
        cuda: 12 or 13, what an NVIDIA GPU needs in place of the CPU's; None for the CPU alone.

    Returns:
        What was left out, and why.

    Raises:
        PoseGaugeError: a package that cannot be installed, or what is there and does not go with them.
    """
    before = place.look()
    fits = place.shared and locks.torch_fits(before["versions"].get("torch"), cuda, before["torch_cuda"])
    if torch == "none" and not fits and not cuda:
        raise PoseGaugeError(
            "TORCH=none, and no PyTorch that fits is there: say SYSTEM_SITE_PACKAGES=1, or leave it out"
        )
    remove_other_generations(place, before, cuda, fits)
    print("Installing 1/3: the packages of envs/requirements-lock.txt (a minute or two)", flush=True)
    lock = [pin for pin in locks.read(locks.LOCK) if not (cuda and pin.name == CPU_RUNTIME)]
    _install(place, lock)
    left_out = []
    if fits:
        print(f"Installing 2/3: PyTorch {before['versions']['torch']} is there and used", flush=True)
    else:
        print("Installing 2/3: PyTorch" + (f" for CUDA {cuda} (some GB)" if cuda else ""), flush=True)
    if cuda:
        _install(
            place, [pin for pin in locks.read(locks.CUDA_LOCKS[cuda]) if not (fits and of_torch(pin.name))]
        )
        left_out = _install_tensorrt(place, cuda)
    elif not fits:
        index = ["--index-url", TORCH_CPU_INDEX] if torch == "cpu" else []
        place.install("PyTorch", *index, "-r", str(locks.ENVS / locks.TORCH), plain_pip=True)
    print("Installing 3/3: MMDetection and MMPose", flush=True)
    openmmlab = str(locks.ENVS / locks.OPENMMLAB)
    place.install("OpenMMLab", "--no-deps", "--no-build-isolation", "-r", openmmlab, plain_pip=True)
    place.check()
    return left_out


def differences(place: Place, cuda: int | None) -> list[str]:
    """Say what of a place is not as the locks have it, or does not go together; nothing where all is well."""
    there = place.look()
    versions = there["versions"]
    here = locks.target(there["python"], platform.machine()) | {"sys_platform": sys.platform}
    pins = [pin for pin in locks.read(locks.LOCK) if not (cuda and pin.name == CPU_RUNTIME)]
    pins += locks.read(locks.OPENMMLAB)
    if cuda:
        pins += [pin for pin in locks.read(locks.CUDA_LOCKS[cuda]) if not of_torch(pin.name)]
    found = [
        f"{pin.name} is {versions.get(pin.name, 'missing')}, locked {pin.version}"
        for pin in pins
        if pin.wanted(here) and versions.get(pin.name) != pin.version
    ]
    return found + locks.faults(versions)


def _install(place: Place, pins: list[locks.Pin]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = locks.write(Path(folder) / "requirements.txt", pins)
        # A lock is whole, so nothing is looked for besides.
        place.install("The locked packages", "--no-deps", "--require-hashes", "-r", str(file))


def _install_tensorrt(place: Place, cuda: int) -> list[str]:
    if "tensorrt" in place.look()["versions"]:
        return []  # the system's, as on a Jetson
    try:
        file = str(locks.ENVS / locks.TENSORRT[cuda])
        place.install("TensorRT", "--no-deps", "--require-hashes", "-r", file, plain_pip=True)
    except PoseGaugeError as error:
        return [f"{error}: its libraries come from NVIDIA's own index. Its rows will say that it is missing"]
    return []


def remove_other_generations(place: Place, before: dict, cuda: int | None, fits: bool) -> None:
    """Uninstall what was installed for another kind of GPU, and what the new packages would overwrite.

    before: of place.look(). fits: its PyTorch stays.
    """
    wanted = {pin.name for pin in locks.read(locks.CUDA_LOCKS[cuda])} if cuda else {CPU_RUNTIME}
    others = [*locks.CUDA_LOCKS.values(), *locks.TENSORRT.values()] if cuda else []
    known = {pin.name for file in others for pin in locks.read(file)} | {CPU_RUNTIME, GPU_RUNTIME}
    unwanted = {name for name in known - wanted if name in before["versions"]}
    if cuda:
        locked = {pin.name for pin in locks.read(locks.LOCK)} - {CPU_RUNTIME}
        unwanted -= locked | {pin.name for pin in locks.read(locks.TENSORRT[cuda])}
        generation = re.match(r"\d+", before["torch_cuda"] or "")
        # "2.13.0+cpu" would satisfy a pin of 2.13.0.
        if "torch" in before["versions"] and (not generation or int(generation[0]) != cuda):
            unwanted.add("torch")
    if unwanted & {CPU_RUNTIME, GPU_RUNTIME}:
        unwanted |= {CPU_RUNTIME, GPU_RUNTIME}  # what is left of the other is laid down whole
    if fits:
        unwanted = {name for name in unwanted if not of_torch(name)}
    if others := set(locks.OPENCV[1:]) & set(before["versions"]):
        unwanted |= {*others, locks.OPENCV[0]}  # all of them own the folder cv2
    place.remove(unwanted)
