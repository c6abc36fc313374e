"""Folders that cannot be written and disks that are full: one sentence, before the first job and in a job."""

import errno
import os
import shlex
import shutil
import tempfile
from pathlib import Path

# A disk with less is taken for full: not even logs and records fit.
LEAST_FREE_BYTES = 1_000_000

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def problem(folder, needed_bytes: int = LEAST_FREE_BYTES) -> str | None:
    """Say why `needed_bytes` cannot be written to a folder, which need not exist yet; None where they can."""
    folder = Path(folder)
    place = _existing(folder)
    if not place.is_dir():
        return f"{place}: is a file, expected a folder to write to. Rename it or move it away, and run again"
    if not os.access(place, os.W_OK | os.X_OK):
        return refusal(place)
    free = shutil.disk_usage(place).free
    return None if free >= needed_bytes else _full(place, free, needed_bytes)


def refusal(path) -> str:
    """Say that this user may not write to `path`, and what to do."""
    place = _existing(Path(path))
    read_only = os.statvfs(place).f_flag & os.ST_RDONLY
    why = "lies on a disk that is mounted read-only" if read_only else "may not be written by this user"
    return (
        f"{path}: {why}. Make it writable, or work from a folder that is: "
        f"snakemake -s {shlex.quote(f'{_repository()}/Snakefile')} puts data/ and results/ where you call it"
    )


def explain(error: BaseException, near) -> str | None:
    """Say in one sentence that an error of a job comes from the disk; None when it does not.

    near: a file beside what the job writes, for errors of libraries that name no file and no number.
    """
    seen = error
    while seen is not None:
        number = getattr(seen, "errno", None)
        names = [getattr(seen, name, None) for name in ("filename2", "filename")]
        path = next((name for name in names if isinstance(name, str | os.PathLike)), None)
        if number in FULL:
            return _fullest([path, near, tempfile.gettempdir()])
        if number in REFUSED and path is not None:
            if os.path.exists(path) and not os.access(path, os.R_OK):
                return f"{path}: may not be read by this user. Allow it (chmod, chown), and run again"
            return refusal(path)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    # torch.save, for one, raises a RuntimeError that says nothing of the disk.
    if not isinstance(error, OSError | RuntimeError):
        return None
    free = shutil.disk_usage(_existing(Path(near))).free
    return _fullest([near]) if free < LEAST_FREE_BYTES else None


def _fullest(paths) -> str:
    places = [_existing(Path(path)) for path in paths if path is not None]
    # What failed may have left room again when its unfinished file was taken away.
    place = next((p for p in places if shutil.disk_usage(p).free < LEAST_FREE_BYTES), places[0])
    return _full(place, shutil.disk_usage(place).free)


def _full(place: Path, free: int, needed_bytes: int | None = None) -> str:
    place = place if place.is_dir() else place.parent
    mount = place.resolve()
    while not mount.is_mount():
        mount = mount.parent
    size = shutil.disk_usage(place).total / 1e6
    left = f"{free / 1e6:.1f} MB free" + (f", {needed_bytes / 1e6:.1f} MB needed" if needed_bytes else "")
    if not needed_bytes and free >= LEAST_FREE_BYTES:
        left += " again without the unfinished file"
    return (
        f"{place}: its disk is full (mounted at {mount}, {size:.1f} MB in all, {left}). Free some space "
        "(docs/scale.md says what a run takes) and give the same command again: what is done is kept, and "
        "nothing half-written is"
    )


def _existing(path: Path) -> Path:
    """Return `path`, or of what it would lie in the first that exists."""
    path = Path(os.path.abspath(path))
    while not path.exists():
        path = path.parent
    return path


def _repository() -> Path:
    return Path(__file__).resolve().parents[3]
