"""Find the files of the images that annotations name, however the system that wrote the names does it."""

import os
import re
import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from posegauge.data.image_formats import ImageFault, read_header
from posegauge.data.remarks import Remarks
from posegauge.errors import nearest

# Files that often lie beside images.
NO_IMAGES = (".json", ".txt", ".xml", ".yaml", ".yml", ".csv", ".md", ".zip", ".cache")


def plain(name: str) -> str:
    """Return a file name with / between its parts, without drive, address, './' and double '/'."""
    name = re.sub(r"^(file://|[a-z]+://[^/]*/)", "", name.strip().replace("\\", "/"))
    name = re.sub(r"^[A-Za-z]:/", "/", name)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def leads_out(name: str) -> bool:
    """Say whether a plain name is no path inside a folder."""
    return PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts


def header_size(path, exif: str) -> tuple[int, int] | None:
    """Return the (width, height) in which an image was annotated, as far as known; None: unreadable."""
    try:
        header = read_header(path)
    except ImageFault:
        return None
    return (header.width, header.height) if exif == "ignored" else header.shown


def match(remarks: Remarks, folder, taken: list[dict], entries: list[dict], exif: str = "auto") -> set:
    """Put the names of the files that are there into the entries of images, and sizes where there is none.

    Returns the ids of the images whose size was read from the file.

    Args:
        remarks: gets the faults and notes.
        folder: of the images; None: names stay, and every size must be there.
        taken: the entries that the run takes, which need a file.
        entries: all entries, those of `taken` among them; changed in place.
        exif: of the config's dataset.
    """
    if folder is None:
        for entry in entries:
            _check_size(remarks, entry, needed=True)
        return set()
    folder, index, measured = Path(folder), None, set()
    needed = {id(entry) for entry in taken}
    owners, missing, ambiguous = {}, [], []
    direct = {id(entry) for entry in entries if is_there(folder, entry["file_name"])}
    for entry in entries:
        given, found = entry["file_name"], [entry["file_name"]]
        if id(entry) not in direct:
            index = _Index(folder) if index is None else index
            found = index.find(given)
            # What has the name as it is written belongs to that image alone.
            found = [name for name in found if name not in owners]
        if len(found) == 1:
            owners[found[0]] = entry
            entry["file_name"] = found[0]
            if found[0] != given and id(entry) in needed:
                remarks.note("image", "found under another spelling of its name", f"{given} as {found[0]}")
        elif id(entry) in needed:
            (ambiguous if found else missing).append((given, found))
        if len(found) != 1:
            entry["file_name"] = (
                "/".join(p for p in PurePosixPath(given).parts if p not in ("/", "..")) or given
            )
            continue
        if None in (entry["width"], entry["height"]):
            size = header_size(folder / entry["file_name"], exif)
            if size:
                entry["width"], entry["height"] = size
                measured.add(entry["id"])
                if id(entry) in needed:
                    remarks.note("image", "no size in the annotations: read from the file", given)
    for entry in entries:
        _check_size(remarks, entry, needed=id(entry) in needed and (entry["file_name"] in owners))
    _tell_missing(remarks, folder, missing, len(taken), index)
    for given, found in ambiguous:
        remarks.fault(
            "image",
            "the name fits several files",
            f"{given}: {' and '.join(sorted(found)[:3])}",
            f"Write their paths as seen from {folder}",
        )
    return measured


def is_there(folder, name: str) -> bool:
    """Say whether a folder has a file, by its path inside."""
    return not leads_out(name) and Path(folder, name).is_file()


def _check_size(remarks: Remarks, entry: dict, needed: bool) -> None:
    if needed and None in (entry["width"], entry["height"]):
        remarks.fault(
            "image",
            "no 'width' and 'height' in pixels in the annotations, and none to be read from the file",
            entry["file_name"],
            "Write the size of the image, or mend the file",
        )


def _tell_missing(remarks: Remarks, folder: Path, missing: list, total: int, index) -> None:
    if not missing:
        return
    names = [given for given, _ in missing]
    more = ", ..." if len(names) > 10 else ""
    remarks.fault(
        "",
        f"{folder} lacks {len(names)} of the {total} images that the annotations name: "
        f"{', '.join(names[:10])}{more}{index.hint(names[0])}",
        "",
        "Set dataset.images to the folder that has them, or put them there",
    )


class _Index:
    """The files below a folder, by what their names have in common however they are written."""

    def __init__(self, folder: Path):
        self.by_name: dict[str, list[tuple[list[str], str]]] = {}
        for root, _, names in os.walk(folder, followlinks=True):
            for name in names:
                path = Path(root, name).relative_to(folder).as_posix()
                parts = _parts(path)
                self.by_name.setdefault(parts[-1], []).append((parts, path))

    def find(self, given: str) -> list[str]:
        """Return the files that a name can mean: of the two paths one is the end of the other."""
        for name in dict.fromkeys((given, unquote(given))):
            asked = _parts(name)
            if not asked:
                continue
            found = [
                (min(len(parts), len(asked)), path)
                for parts, path in self.by_name.get(asked[-1], [])
                if parts[-len(asked) :] == asked[-len(parts) :]
            ]
            if found:
                longest = max(length for length, _ in found)
                best = [path for length, path in found if length == longest]
                exact = [path for path in best if PurePosixPath(path).name == PurePosixPath(name).name]
                return exact if len(exact) == 1 else best
        return []

    def hint(self, given: str) -> str:
        """Name a file that resembles one that is missing."""
        everything = [
            path
            for files in self.by_name.values()
            for _, path in files
            if not path.lower().endswith(NO_IMAGES)
        ]
        stem = PurePosixPath(given).stem.casefold()
        for path in everything:
            if PurePosixPath(path).stem.casefold() == stem:
                return f" (there is {path})"
        return nearest(given, everything[:5000]) if everything else " (it holds no image)"


def _parts(name: str) -> list[str]:
    """Return the parts of a path that can tell files apart, of all after the last '..'."""
    folded = unicodedata.normalize("NFC", name).casefold()
    parts = [part for part in folded.split("/") if part not in ("", ".")]
    return parts[len(parts) - parts[::-1].index("..") :] if ".." in parts else parts
