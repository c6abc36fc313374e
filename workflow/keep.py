"""Keep what a run made where it outlives a machine that may vanish, and bring it back on the next one.

results/, data/ (but what git tracks) and Snakemake's own notes go into one tar file each, in a folder of the
user's drive, which need not know links, locks or times; a file appears there whole or not at all.

Usage: python workflow/keep.py restore <folder>
       python workflow/keep.py save <folder> [--every <seconds>]    with --every until it is ended
"""

import argparse
import sys
import tarfile
import time
from pathlib import Path

# What each file holds, and what of it stays here: it is tracked by git, or is of the machine alone.
KEPT = {
    "results": (("results", ".snakemake/metadata"), ()),
    "data": (("data",), ("data/demo", "data/README.md")),
}


def state(name: str) -> list[tuple]:
    """Return the path, size and time of every file that belongs into one of KEPT, in order."""
    folders, without = KEPT[name]
    found = []
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*")):
        text = path.as_posix()
        if any(text == left or text.startswith(f"{left}/") for left in without):
            continue
        try:
            # Half made files begin with a dot; links go elsewhere.
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                about = path.stat()
                found.append((text, about.st_size, about.st_mtime_ns))
        except OSError:  # gone meanwhile
            continue
    return found


def save(folder: Path, known: dict[str, list]) -> None:
    """Write those of KEPT that differ from `known`, {name: state}, which is brought up to date."""
    for name in KEPT:
        now = state(name)
        if not now or now == known.get(name):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        target, half = folder / f"{name}.tar", folder / f"{name}.tar.half"
        with tarfile.open(half, "w") as archive:
            for path, *_ in now:
                try:
                    archive.add(path, recursive=False)
                except FileNotFoundError:
                    continue
        half.replace(target)
        known[name] = now
        print(f"Kept: {target} ({len(now)} files, {target.stat().st_size / 1e6:.0f} MB)", flush=True)


def restore(folder: Path) -> None:
    """Unpack what is kept, with its times, over what is here."""
    for name in KEPT:
        source = folder / f"{name}.tar"
        if source.is_file():
            with tarfile.open(source) as archive:
                archive.extractall(".", filter="data")
                print(f"Brought back: {source} ({len(archive.getmembers())} files)", flush=True)


def main(words: list[str]) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(usage=__doc__.strip(), add_help=False)
    parser.add_argument("what", choices=["save", "restore"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=float)
    given = parser.parse_args(words)
    if given.what == "restore":
        restore(given.folder)
        return 0
    known: dict[str, list] = {}
    save(given.folder, known)
    while given.every:
        time.sleep(given.every)
        save(given.folder, known)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
