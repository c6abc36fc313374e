"""Image files as people have them: what their headers say, which are read, and their pixels, upright.

JPEGs are decoded by simplejpeg, which tells what libjpeg calls corrupt; OpenCV and Pillow fill the missing
parts with grey and go on. The pixels of whole files are the same to the bit. All else is decoded by Pillow.
"""

import io
import re
import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image

from posegauge.errors import PoseGaugeError

# What Pillow calls a JPEG of a telephone or camera that has more pictures behind the first one.
MULTI_PICTURE = "MPO"


READ = ("JPEG", MULTI_PICTURE, "PNG", "WEBP", "BMP", "TIFF")


CONVERT = "convert to JPEG or PNG, and name the new files in the annotations"


AGAIN = "copy or download it again"


# OpenCV cuts no crop out of a larger one (SHRT_MAX).
LARGEST_SIDE_PX = 32_766


# What a picture's stored rows and columns are turned by: EXIF 2.32, tag 0x0112.
UPRIGHT, MIRRORED, ON_ITS_SIDE = 1, (2, 4, 5, 7), (5, 6, 7, 8)


class ImageFault(PoseGaugeError):
    """An image that cannot be used. `what` and `remedy` are those of its kind, `detail` is its own."""

    def __init__(self, path, what: str, remedy: str, detail: str = ""):
        super().__init__(f"{path}: {what}{f' ({detail})' if detail else ''}; {remedy}")
        self.path, self.what, self.remedy, self.detail = path, what, remedy, detail

    def __reduce__(self):
        # Exceptions travel between processes by their arguments.
        return type(self), (self.path, self.what, self.remedy, self.detail)


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image file say."""

    format: str
    width: int  # pixels as stored
    height: int
    turn: int  # EXIF orientation, 1 to 8; 1: as stored

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        size = self.width, self.height
        return size[::-1] if self.turn in ON_ITS_SIDE else size


# ------------------------------------------------------------------------------------------ what a file is


_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC/HEIF"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "RAW (Canon CR3)",
}


# By their first bytes, where Pillow either does not know them or knows too little.
_OTHERS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"GIF8", "GIF"),
    (b"FUJIFILMCCD-RAW", "RAW (Fujifilm)"),
    (b"IIRO", "RAW (Olympus)"),
    (b"IIRS", "RAW (Olympus)"),
    (b"IIU\0", "RAW (Panasonic)"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"\x1a\x45\xdf\xa3", "a film (Matroska or WebM)"),
    (b"PK\3\4", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\0\5\x16\7", "a side file of macOS (AppleDouble)"),
)


_RAW_SUFFIX = re.compile(
    r"\.(3fr|arw|cr2|dcr|dng|erf|iiq|kdc|mef|mos|nef|nrw|orf|pef|raf|rw2|srw|x3f)$", re.I
)


def _other_kind(path, head: bytes) -> str | None:
    """Name what a file is, by its first bytes, where it is of no format that is read."""
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), 64), 4))]
        # AVIF also says mif1, the general brand of still images.
        names = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        return "AVIF" if "AVIF" in names else names[0] if names else "a film (MP4 or MOV)"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "a film (AVI)"
    tiff = head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    if tiff and (_RAW_SUFFIX.search(str(path)) or head[8:10] == b"CR"):
        return "RAW of a camera"
    if head[128:132] == b"DICM":
        return "DICOM"
    return next((name for start, name in _OTHERS if head.startswith(start)), None)


def _check_kind(path, head: bytes) -> None:
    """Raise ImageFault where the first bytes are of nothing that is read."""
    if not head:
        raise ImageFault(path, "empty (0 bytes)", AGAIN)
    if not head.strip(b"\0"):
        raise ImageFault(path, "nothing but zeros", AGAIN)
    if name := _other_kind(path, head):
        raise ImageFault(path, f"{name}, which is not read", CONVERT)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if text.startswith(b"version https://git-lfs"):
        raise ImageFault(path, "a pointer of Git LFS in place of the image", "run: git lfs pull")
    if b"<svg" in text:
        raise ImageFault(path, "SVG, which is not read", CONVERT)
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"{", b"[")):
        what = "a web page or other text in place of the image"
        raise ImageFault(path, what, "download it again; a server answered with this text")


def _check_form(path, image: Image.Image, head: bytes) -> None:
    """Raise ImageFault where an image has depth, colours, frames or a size that are not read."""
    if image.format not in READ:
        raise ImageFault(path, f"{image.format}, which is not read", CONVERT)
    if image.format == "TIFF" and {50706, 330} & set(image.tag_v2):
        # DNGVersion, SubIFDs: what Pillow would read is a small preview.
        raise ImageFault(path, "RAW of a camera, or TIFF with a preview, which is not read", CONVERT)
    # Pillow cuts colours of 16 bits down without a word.
    bits = (head[24],) if image.format == "PNG" else getattr(image, "tag_v2", {}).get(258, ())
    if any(depth > 8 for depth in bits) or image.mode.startswith(("I", "F")):
        raise ImageFault(path, "more than 8 bits a channel, expected 8", "convert to 8 bits")
    if image.mode == "CMYK":
        raise ImageFault(path, "CMYK colours (for printing), expected RGB or grey", "convert to RGB")
    if image.mode not in ("1", "L", "P", "RGB", "LA", "PA", "RGBA", "RGBX"):
        raise ImageFault(path, f"colours as {image.mode}, expected RGB or grey", "convert to RGB")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != MULTI_PICTURE:
        raise ImageFault(path, "several pictures in one file, expected one", CONVERT, f"{frames} pictures")
    if max(image.size) > LARGEST_SIDE_PX:
        raise ImageFault(
            path,
            f"larger than {LARGEST_SIDE_PX} pixels on a side",
            "scale image and annotations down",
            f"{image.size[0]}x{image.size[1]}",
        )


def _turn(path, image: Image.Image) -> int:
    """Return the EXIF orientation; that of XMP is left alone, as by browsers."""
    if image.format == "TIFF":
        # Pillow turns these by itself, or not, by version.
        turn = image.tag_v2.get(ExifTags.Base.Orientation, UPRIGHT)
        if turn not in (UPRIGHT, 0):
            raise ImageFault(path, "a turned TIFF (orientation)", CONVERT, f"orientation {turn}")
        return UPRIGHT
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        turn = exif.get(ExifTags.Base.Orientation, UPRIGHT)
    except (SyntaxError, struct.error, ValueError, KeyError, TypeError, OSError, IndexError):
        return UPRIGHT
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else UPRIGHT


_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    struct.error,
    zlib.error,
    OverflowError,
    Image.DecompressionBombError,
)


def _open(path, stream) -> tuple[Header, Image.Image]:
    head = stream.read(512)
    stream.seek(0)
    _check_kind(path, head)
    try:
        image = Image.open(stream)
        _check_form(path, image, head)
        return Header(image.format, *image.size, _turn(path, image)), image
    except PoseGaugeError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageFault(path, "too large", "scale image and annotations down", str(error)) from error
    except Image.UnidentifiedImageError as error:
        known = head.startswith((b"\xff\xd8", b"\x89PNG", b"BM", b"RIFF", b"II*\0", b"MM\0*"))
        what = "damaged, or of a rare kind" if known else "no image of a format that is known"
        raise ImageFault(path, what, f"{AGAIN}, or {CONVERT}") from error
    except _UNREADABLE as error:
        raise ImageFault(path, "damaged", AGAIN, str(error)) from error


def read_header(path) -> Header:
    """Read the header of an image file. ImageFault: it cannot be read, or is of a kind that is not."""
    try:
        with open(path, "rb") as stream:
            return _open(path, stream)[0]
    except OSError as error:
        raise _no_access(path, error) from error


def _no_access(path, error: OSError) -> ImageFault:
    reason = error.strerror or str(error)
    return ImageFault(path, "cannot be opened", "look at its rights and its disk", reason)


# ---------------------------------------------------------------------------------------------- its pixels


def decode(path) -> np.ndarray:
    """Return the pixels of an image file as stored on disk but upright, uint8 BGR [height, width, 3].

    ImageFault: it cannot be read, is damaged, transparent in part, or of a kind that is not read.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise _no_access(path, error) from error
    header, image = _open(path, io.BytesIO(content))
    if header.format in ("JPEG", MULTI_PICTURE):
        pixels = _decode_jpeg(path, content)
    else:
        try:
            pixels = _decode_other(path, image)
        except PoseGaugeError:
            raise
        except _UNREADABLE as error:
            raise ImageFault(path, "damaged", AGAIN, str(error)) from error
    return upright(pixels, header.turn)


def _decode_jpeg(path, content: bytes) -> np.ndarray:
    try:
        return simplejpeg.decode_jpeg(content, "BGR")
    except ValueError as error:
        # libjpeg warns of harmless oddities as well, in other words.
        if str(error).startswith(("Corrupt JPEG data", "Premature end")):
            raise ImageFault(path, "damaged", f"{AGAIN}, or mend it in an editor", str(error)) from error
        reason = str(error)
    how = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), how)
    if pixels is None:
        raise ImageFault(path, "damaged", AGAIN, reason)
    return pixels


def _decode_other(path, image: Image.Image) -> np.ndarray:
    image.load()
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            raise ImageFault(path, "transparent in part", "put it on a background, without an alpha channel")
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Return stored pixels [height, width, ...] as they are to be shown, by the EXIF orientation `turn`."""
    if turn in ON_ITS_SIDE:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if turn in (3, 4, 7, 8) else 1
    columns = -1 if turn in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])


def upright_points(points: np.ndarray, size: tuple[int, int], turn: int) -> np.ndarray:
    """Return points [..., 2] of a stored picture where they are in the upright one.

    size: largest x and y of the stored picture: (width, height) for edges, one less for centres of pixels.
    """
    if turn in ON_ITS_SIDE:
        points, size = points[..., ::-1], size[::-1]
    x, y = points[..., 0], points[..., 1]
    if turn in (2, 3, 6, 7):
        x = size[0] - x
    if turn in (3, 4, 7, 8):
        y = size[1] - y
    return np.stack([x, y], axis=-1)
