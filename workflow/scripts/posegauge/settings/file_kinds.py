"""What a file really is, by its first bytes: for files that are not the model that they are named as."""

import tarfile
import zipfile
from pathlib import Path

HEAD = 2048

# First bytes, at an offset, and what a file with them is.
SIGNATURES = (
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"ftrt", "a TensorRT engine, which fits one GPU and one version of TensorRT only"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (4, b"ORTM", "a model in ONNX Runtime's own format"),
    (0, b"\x89HDF", "an HDF5 file, such as Keras writes"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"7767517", "an ncnn model"),
    (0, b"version https://git-lfs", "a pointer of Git LFS in place of the file: say `git lfs pull`"),
    (0, b"%PDF", "a PDF"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
)

CHECKPOINT = "a PyTorch checkpoint"


def kind_of(path) -> str | None:
    """Say what a file is; None where it is nothing that is known here, as an ONNX file is, which has no sign.

    A checkpoint of PyTorch is CHECKPOINT; an archive is named with the .onnx files that it holds.
    """
    with Path(path).open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "empty (0 bytes): it was not written or fetched whole"
    if head.startswith(b"PK"):
        return _zip(path)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return CHECKPOINT
    for offset, signature, kind in SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return kind + (_held(_tar_members(path)) if kind.endswith("archive") else "")
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 30:
        return "a file of safetensors, weights without their network"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML), such as a server sends in place of a file: fetch the file itself"
    if text.startswith((b"<?xml", b"<")):
        return "an OpenVINO model (XML)" if b"<net " in text else "XML"
    if text.startswith((b"{", b"[")) and text.isascii():
        return "JSON"
    return None


def _zip(path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "a zip archive that is damaged or cut short: fetch it again"
    # What torch.save writes.
    if any(name.endswith("/data.pkl") for name in names):
        return CHECKPOINT
    return "a zip archive" + _held(names)


def _tar_members(path) -> list[str] | None:
    try:
        with tarfile.open(path) as archive:
            return archive.getnames()
    except (tarfile.TarError, OSError, EOFError):
        return None


def _held(names: list[str] | None) -> str:
    """Say which ONNX files an archive holds, or what else."""
    if names is None:
        return ""
    models = [name for name in names if name.lower().endswith(".onnx")]
    if len(models) == 1:
        return f" that holds {models[0]}: unpack that one and name it here"
    if models:
        return f" that holds {', '.join(models[:5])}: unpack them and name one here"
    return f" that holds no .onnx file but {', '.join(names[:3]) or 'nothing'}"
