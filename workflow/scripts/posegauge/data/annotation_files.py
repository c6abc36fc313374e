"""What is in a file of annotations: JSON in any encoding is read, all else is refused by what it is."""

import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from pathlib import Path

from posegauge.errors import PoseGaugeError

# The way out for annotations in another form.
EXPORT = (
    "Expected is JSON as in COCO's person_keypoints files: export the annotations again as COCO keypoints "
    "(in CVAT 'COCO Keypoints 1.0'; Datumaro and FiftyOne convert most forms)"
)

_PACKED = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a zstd file",
}

_BINARY = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"MATLAB ": "a MATLAB file",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"%PDF": "a PDF",
    b"SQLite": "an SQLite file",
    b"PAR1": "a Parquet file",
}


def load(path) -> tuple[dict, list[str]]:
    """Read a file of annotations as it stands.

    Returns (the JSON object, notes of what was taken about the file itself).

    Raises PoseGaugeError: it is missing, of another form, packed or damaged; with the form and the way out.
    """
    path = Path(path)
    notes: list[str] = []
    if path.is_dir():
        raise PoseGaugeError(f"{path}: is a folder {_folder(path)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PoseGaugeError(f"{path}: cannot be read ({error.strerror or error})") from None
    content = _unpacked(path, content, notes)
    data = _json(path, _text(path, content, notes), notes)
    if refused := _other_json(data):
        raise PoseGaugeError(f"{path}: is {refused}. {EXPORT}")
    if not isinstance(data, dict):
        raise PoseGaugeError(
            f"{path}: expected a JSON object with images, annotations and categories, found "
            f"{_kind(data)}. {EXPORT}"
        )
    return data, notes


def _folder(path: Path) -> str:
    """Say what a folder given as annotations holds."""
    names = [entry.name for entry in sorted(path.rglob("*"))[:10_000] if entry.is_file()]
    found = [name for name in names if name.lower().endswith((".json", ".json.gz"))]
    if len(found) == 1:
        return f"that holds {found[0]}: name that file"
    if found:
        first = ", ".join(found[:3])
        return f"with {len(found)} JSON files ({first}, ...), expected one file for all images. {EXPORT}"
    for ending, what in (
        (".txt", "text files, as YOLO's labels"),
        (".xml", "XML files, as Pascal VOC's or CVAT's"),
    ):
        if count := sum(name.lower().endswith(ending) for name in names):
            return f"with {count} {what}. {EXPORT}"
    return f"without a JSON file. {EXPORT}"


def _unpacked(path: Path, content: bytes, notes: list[str]) -> bytes:
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise PoseGaugeError(f"{path}: is a damaged gzip file ({error}); copy it again") from None
        if content[257:262] == b"ustar":
            raise PoseGaugeError(f"{path}: is a tar archive: unpack it, and name the JSON file in it")
        notes.append("the file is packed with gzip")
    for start, what in _PACKED.items():
        if content.startswith(start):
            raise PoseGaugeError(
                f"{path}: is {what}{_inside(content)}: unpack it, and name the JSON file in it"
            )
    for start, what in _BINARY.items():
        if content.startswith(start):
            raise PoseGaugeError(f"{path}: is {what}, not annotations. {EXPORT}")
    return content


def _inside(content: bytes) -> str:
    """Name the JSON files in a zip archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = [name for name in archive.namelist() if name.lower().endswith(".json")]
    except zipfile.BadZipFile:
        return ""
    more = ", ..." if len(found) > 3 else ""
    return f" that holds {', '.join(found[:3])}{more}" if found else " without a JSON file"


def _text(path: Path, content: bytes, notes: list[str]) -> str:
    """Decode: UTF-8, UTF-16 or UTF-32, with or without a byte order mark, else Windows-1252."""
    if not content.strip(b" \t\r\n\0"):
        raise PoseGaugeError(f"{path}: is empty. Copy or export it again")
    encoding = json.detect_encoding(content).upper()
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "UTF-8":
            raise PoseGaugeError(f"{path}: is no text in {encoding}, which its start says") from None
        # Bytes that it lacks mean nothing in names of files either.
        text, encoding = content.decode("cp1252", errors="replace"), "Windows-1252"
    if encoding not in ("UTF-8", "UTF-8-SIG"):
        notes.append(f"the text is encoded in {encoding}, not UTF-8")
    return text


def _json(path: Path, text: str, notes: list[str]):
    try:
        return json.loads(text)
    except RecursionError:
        raise PoseGaugeError(f"{path}: is nested too deeply to be annotations. {EXPORT}") from None
    except ValueError as error:  # also a number of thousands of digits
        if refused := _other_text(text.lstrip("\ufeff \t\r\n")):
            raise PoseGaugeError(f"{path}: is {refused}. {EXPORT}") from None
        raise PoseGaugeError(f"{path}: not valid JSON ({error}). {_why(text, error)}") from None


def _why(text: str, error: ValueError) -> str:
    """Say what to do about text that is nearly JSON."""
    place = getattr(error, "pos", 0)
    if not text[place:].strip() or str(error).startswith("Unterminated"):
        return "The file ends too early, as after a broken copy: copy or export it again"
    if str(error).startswith("Extra data") and text[place:].lstrip().startswith(("{", "[")):
        return "It holds several JSON values, as JSON Lines do, expected one object for all images"
    return "Mend that place, or export the file again"


def _other_text(text: str) -> str | None:
    """Name the form of a text that is not JSON; None when it is not known."""
    head = text[:4000]
    if head.startswith("<"):
        if re.search(r"<annotations?>", head):
            return "Pascal VOC XML, of one image" if "<annotation>" in head else "CVAT's own XML"
        return (
            "HTML, perhaps of a page that asks for a login"
            if re.match(r"(?i)<(!doctype )?html", head)
            else "XML"
        )
    lines = [line for line in head.splitlines()[:20] if line.strip()]
    if lines and all(re.fullmatch(r"[-+.\deE\s]+", line) and len(line.split()) >= 5 for line in lines[:3]):
        return "a text file of numbers, as YOLO's labels of one image"
    if re.search(r"(?m)^(names|train|val|nc|path|kpt_shape):", head):
        return "YAML, as YOLO's list of a data set"
    if head.startswith("version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself: fetch it with git lfs pull"
    if len(lines) > 1 and not head.startswith(("{", "[")):
        for sign in ",;\t":
            if len({len(row) for row in csv.reader(lines[:3], delimiter=sign)} - {1}) == 1:
                return "a table of text (CSV)"
    return None


def _other_json(data) -> str | None:
    """Name the form of JSON that is no COCO annotations; None when it may be."""
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    if {"image_id", "score"} <= set(first):
        return "a list of COCO results, so predictions, not annotations"
    if "data" in first and {"annotations", "completions", "predictions"} & set(first):
        return "Label Studio's own JSON"
    if {"joints", "joint_self", "img_paths"} & set(first):
        return "MPII's JSON"
    if not isinstance(data, dict) or isinstance(data.get("annotations"), list):
        return None
    keys = set(data)
    known = {
        "LabelMe's JSON, of one image": {"shapes", "imagePath"},
        "VGG Image Annotator's own JSON": {"_via_img_metadata"},
        "OpenPose's output, so predictions, not annotations": {"people", "version"},
        "MMPose's output, so predictions, not annotations": {"meta_info", "instance_info"},
        "Supervisely's JSON, of one image": {"objects", "size"},
    }
    for what, needed in known.items():
        if needed <= keys:
            return what
    if data and all(
        isinstance(value, dict) and {"filename", "regions"} <= set(value) for value in data.values()
    ):
        return "VGG Image Annotator's own JSON"
    return None


def _kind(value) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
