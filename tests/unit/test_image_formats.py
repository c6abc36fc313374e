"""Image files of every kind: read to the same pixels as OpenCV and Pillow read them, or refused by name."""

import pickle
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from posegauge.data import image_formats, images
from posegauge.data.image_formats import ImageFault, decode, read_header

PIXELS = cv2.blur(np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8), (9, 9))
COLOURS = Image.fromarray(PIXELS)
GREY = COLOURS.convert("L")


def encoded(kind=".jpg", *options):
    return cv2.imencode(kind, PIXELS, options)[1].tobytes()


def with_thumbnail(content):
    """Put a whole small JPEG, end marker included, into an APP1 segment, as cameras do."""
    segment = b"Exif\0\0" + cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


JPEGS = {
    "baseline": encoded(),
    "progressive": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "thumbnail": with_thumbnail(encoded()),
}


@pytest.mark.parametrize("name", JPEGS)
def test_whole_and_truncated_jpegs(tmp_path, name):
    path = tmp_path / "image.jpg"
    for tail in (b"", b"\0" * 100, b"\r\n", b"trailing rubbish \xff\xd8\xff\xe0"):
        path.write_bytes(JPEGS[name] + tail)
        image = images.read_image(path, 64, 48)
        assert image.dtype == np.uint8 and image.shape == (48, 64, 3)
        assert np.array_equal(image, cv2.imread(str(path), cv2.IMREAD_COLOR))
    size = len(JPEGS[name])
    for kept in (2, 3, 100, size // 2, size - 40, size - 2, size - 1):
        path.write_bytes(JPEGS[name][:kept])
        with pytest.raises(ImageFault, match=r"image.jpg: (damaged|no image)"):
            images.read_image(path)


def zeros_inside(content):
    """Overwrite half of a file with zeros, the end marker stays."""
    start, size = len(content) // 3, len(content) // 2
    return content[:start] + bytes(size) + content[start + size :]


def test_photographs_are_read_and_their_damaged_copies_are_not(real, tmp_path):
    photographs = sorted((real / "coco/val2017").glob("*.jpg"))
    assert len(photographs) == 54
    for path in photographs:
        assert np.array_equal(decode(path), cv2.imread(str(path))), path
        content = path.read_bytes()
        for damaged in (zeros_inside(content), content[: len(content) // 2] + b"\xff\xd9"):
            (tmp_path / path.name).write_bytes(damaged)
            with pytest.raises(ImageFault, match=f"{path.name}: damaged"):
                decode(tmp_path / path.name)


READ = {
    "grey.jpg": (GREY, {}),
    "colours.png": (COLOURS, {}),
    "named.jpg": (COLOURS, {"format": "PNG"}),
    "named.png": (COLOURS, {"format": "JPEG"}),
    "grey.png": (GREY, {}),
    "one_bit.png": (GREY.convert("1"), {}),
    "palette.png": (COLOURS.convert("P"), {}),
    "opaque.png": (COLOURS.convert("RGBA"), {}),
    "grey_opaque.png": (GREY.convert("LA"), {}),
    "lossless.webp": (COLOURS, {"lossless": True}),
    "lossy.webp": (COLOURS, {}),
    "colours.bmp": (COLOURS, {}),
    "colours.tif": (COLOURS, {}),
    "grey.tif": (GREY, {}),
    "two_in_one.jpg": (COLOURS, {"format": "MPO", "save_all": True, "append_images": [GREY.convert("RGB")]}),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read_has_the_pixels_that_others_read(name, tmp_path):
    image, options = READ[name]
    path = tmp_path / name
    image.save(path, **options)
    assert read_header(path).shown == (64, 48)
    assert np.array_equal(decode(path), cv2.imread(str(path)))


TURNED = {"save_all": True, "append_images": [ImageOps.flip(COLOURS)]}
REFUSED = {
    "print.jpg": (COLOURS.convert("CMYK"), {}, "CMYK"),
    "moving.gif": (COLOURS, TURNED, "GIF, which is not read"),
    "moving.webp": (COLOURS, TURNED, "several pictures"),
    "moving.png": (COLOURS, TURNED, "several pictures"),
    "pages.tif": (COLOURS, TURNED, "several pictures"),
    "new.avif": (COLOURS, {}, "AVIF, which is not read"),
    "named.jpg": (COLOURS, {"format": "AVIF"}, "AVIF, which is not read"),
    "old.jp2": (COLOURS, {}, "JPEG 2000, which is not read"),
    "deep.png": (Image.fromarray(np.full((48, 64), 4096, np.uint16)), {}, "more than 8 bits"),
    "deep.tif": (Image.fromarray(np.full((48, 64), 4096, np.uint16)), {}, "more than 8 bits"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_named_by_its_header(name, tmp_path):
    image, options, words = REFUSED[name]
    image.save(tmp_path / name, **options)
    with pytest.raises(ImageFault, match=f"{name}: .*{words}.*; .*convert"):
        read_header(tmp_path / name)


@pytest.mark.parametrize("kind", [".png", ".tif"])
def test_sixteen_bits_of_colour(kind, tmp_path):
    path = tmp_path / f"deep{kind}"
    cv2.imwrite(str(path), PIXELS.astype(np.uint16) * 256)
    with pytest.raises(ImageFault, match="more than 8 bits a channel"):
        read_header(path)


BYTES = {
    "": "empty",
    "\0" * 3000: "nothing but zeros",
    "\n<!DOCTYPE html><title>404": "web page",
    '{"error": "expired"}': "web page or other text",
    "version https://git-lfs.github.com/spec/v1": "git lfs pull",
    "<svg xmlns=": "SVG",
    "any words": "no image",
    "\0\0\0\x18ftypheic\0\0\0\0mif1heic": "HEIC/HEIF, which is not read",
    "\0\0\0\x18ftypmif1\0\0\0\0avifmif1": "AVIF",
    "\0\0\0\x18ftypisom\0\0\0\0isomavc1": "a film",
    "\0\0\0\x18ftypcrx \0\0\0\0crx isom": "RAW",
    "FUJIFILMCCD-RAW 0201": "RAW",
    "%PDF-1.7": "PDF",
    "8BPS\0\1": "Photoshop",
    "PK\3\4": "zip",
}


@pytest.mark.parametrize("text", BYTES)
def test_other_files_are_named_by_their_first_bytes(text, tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(text.encode("latin-1"))
    for look in (read_header, decode):
        with pytest.raises(ImageFault, match=f"image.jpg: .*{BYTES[text]}"):
            look(path)


def test_raw_of_a_camera_is_no_tiff(tmp_path):
    COLOURS.save(tmp_path / "image.tif")
    (tmp_path / "image.tif").rename(tmp_path / "image.NEF")
    with pytest.raises(ImageFault, match="RAW of a camera"):
        read_header(tmp_path / "image.NEF")


def test_transparent_pixels_are_refused(tmp_path):
    some = COLOURS.convert("RGBA")
    some.putpixel((3, 3), (1, 2, 3, 254))
    some.save(tmp_path / "some.png")
    some.save(tmp_path / "some.webp", lossless=True)
    GREY.convert("P").save(tmp_path / "palette.png", transparency=GREY.getpixel((0, 0)))
    for name in ("some.png", "some.webp", "palette.png"):
        with pytest.raises(ImageFault, match="transparent in part"):
            decode(tmp_path / name)


def test_other_formats_cut_short(tmp_path):
    for kind in (".png", ".bmp", ".webp", ".tif"):
        path = tmp_path / f"image{kind}"
        path.write_bytes(encoded(kind)[:-300])
        with pytest.raises(ImageFault, match="damaged"):
            decode(path)
    path.unlink()
    for gone, words in ((path, "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ImageFault, match=words):
            decode(gone)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
@pytest.mark.parametrize("turn", range(10))
def test_every_orientation_is_shown_as_players_show_it(turn, kind, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"image.{kind}"
    COLOURS.save(path, exif=exif.tobytes())
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[:, :, ::-1]
    assert np.array_equal(decode(path), upright)
    header = read_header(path)
    assert header.turn == (turn if 1 <= turn <= 8 else 1) and header.shown == upright.shape[1::-1]


@pytest.mark.parametrize("turn", range(1, 9))
def test_points_go_where_their_pixels_go(turn):
    height, width = 5, 7
    numbers = np.arange(height * width).reshape(height, width)
    rows, columns = np.mgrid[:height, :width]
    points = image_formats.upright_points(np.stack([columns, rows], -1), (width - 1, height - 1), turn)
    upright = image_formats.upright(numbers, turn)
    assert np.array_equal(upright[points[..., 1], points[..., 0]], numbers)


def test_broken_exif_turns_nothing(tmp_path):
    path = tmp_path / "image.jpg"
    for exif in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03",
    ):
        COLOURS.save(path, exif=exif)
        assert read_header(path).turn == 1
        assert decode(path).shape == (48, 64, 3)


def test_a_fault_travels_between_processes():
    fault = pickle.loads(pickle.dumps(ImageFault("a.jpg", "damaged", "copy it again", "why")))
    assert str(fault) == "a.jpg: damaged (why); copy it again" and fault.detail == "why"
