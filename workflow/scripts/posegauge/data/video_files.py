"""Read and write video files with PyAV (FFmpeg): frames with their times, upright, and H.264 in MP4.

OpenCV's reader tells no time stamps, which a clip of variable frame rate needs, and its writer has no H.264.
"""

import contextlib
import itertools
import logging
import shlex
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Interpolation

from posegauge.errors import PoseGaugeError
from posegauge.store.files import atomic_path

log = logging.getLogger("posegauge")


CODEC = "libx264"


# Without B-frames packets lie in the order of the frames, so that files can be joined packet by packet. One
# thread: an encoder that works on in the background would take the cores from the networks being timed.
ENCODER = {"crf": "20", "preset": "veryfast", "bf": "0", "threads": "1"}


# FFmpeg's default rounds down, which darkens a frame by two grey levels.
ROUNDED = Interpolation.BILINEAR | Interpolation.ACCURATE_RND


# Tracks of pictures that are not the film: cover art, thumbnails along the time line.
NO_FILM = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails


# FFmpeg draws a text as a terminal would.
TEXTS = ("tty", "ffmetadata")


# How lists that name other files begin: FFmpeg would open those.
LISTS = (b"ffconcat", b"#EXTM3U", b"v=0")


PICTURE_BRANDS = ("avif", "heic", "heim", "heis", "heix", "hevc", "hevx", "mif1", "msf1")


FROM_PICTURES = (
    "to make a film of pictures: ffmpeg -framerate 10 -pattern_type glob -i '*.jpg' -c:v libx264 "
    "-pix_fmt yuv420p film.mp4"
)


@dataclass(frozen=True)
class Clip:
    """What is to be known of a video file before its frames are read."""

    path: str
    codec: str
    width: int  # pixels as shown: upright, square pixels
    height: int
    rotation: int  # degrees counterclockwise by which the stored frames are turned to be shown
    pixel_aspect: Fraction  # width / height of a stored pixel
    frame_rate: Fraction  # mean, in frames per second
    time_base: Fraction  # seconds per tick of the time stamps
    frames: int | None  # as the file says, or as its length suggests; None: unknown until all are read
    counted: bool  # whether the file says it
    title: str | None = None  # of its metadata


@contextlib.contextmanager
def _opened(path):
    """Open a file for reading; errors of FFmpeg become PoseGaugeErrors."""
    try:
        _check_no_list(path)
        with av.open(str(path)) as container:
            stream = _film(path, container)
            stream.codec_context.thread_count = 1  # see ENCODER
            yield container, stream
    except (av.FFmpegError, OSError) as error:
        what = getattr(error, "strerror", None) or error
        raise PoseGaugeError(
            f"{path}: cannot be read as a video ({what}). If players show it, {_anew(path)}"
        ) from error


def _anew(path) -> str:
    return f"write it anew, for example: ffmpeg -i {shlex.quote(Path(path).name)} -c:v libx264 new.mp4"


def _check_no_list(path) -> None:
    with open(path, "rb") as stream:
        head = stream.read(1000).removeprefix(b"\xef\xbb\xbf")
    if head.startswith(LISTS) or b"<MPD" in head:
        raise PoseGaugeError(
            f"{path}: is a list that names other files, expected a video file; write the film into one file: "
            f"ffmpeg -i {shlex.quote(Path(path).name)} -c copy film.mp4"
        )


def _film(path, container):
    """Return the stream of an open file that is the film; PoseGaugeError where there is none."""
    name = container.format.name
    if name in TEXTS:
        raise PoseGaugeError(f"{path}: is a text, expected a video file; {FROM_PICTURES}")
    if name.endswith("_pipe") or name == "image2" or container.metadata.get("major_brand") in PICTURE_BRANDS:
        raise PoseGaugeError(f"{path}: is a single picture, expected a video file; {FROM_PICTURES}")
    films = [stream for stream in container.streams.video if not stream.disposition & NO_FILM]
    if not films:
        held = {"sound": container.streams.audio, "a cover picture": container.streams.video}
        found = (
            " and ".join(name for name, streams in held.items() if streams) or "neither sound nor pictures"
        )
        raise PoseGaugeError(f"{path}: holds {found}, but no film; expected a video file; {FROM_PICTURES}")
    if _is_encrypted(path):
        raise PoseGaugeError(
            f"{path}: is encrypted (DRM), so its frames cannot be read; expected a film without a lock"
        )
    return max(
        films, key=lambda film: (bool(film.disposition & Disposition.default), film.width * film.height)
    )


def _is_encrypted(path) -> bool:
    """Say whether an MP4 or MOV file names an encrypted film (sample entry encv, ISO/IEC 23001-7).

    FFmpeg does not tell, and some such films decode to noise.
    """
    with open(path, "rb") as stream:
        while len(head := stream.read(16)) >= 8:
            size, kind, begin = int.from_bytes(head[:4], "big"), head[4:8], 8
            if size == 1:
                size, begin = int.from_bytes(head[8:], "big"), 16
            if kind == b"moov":
                return b"encv" in head[8:] + stream.read(size - 16)
            if not kind.isalnum() or size < begin:
                return False
            stream.seek(size - len(head), 1)
    return False


def _decoded(container, stream):
    """Yield the frames of a stream; what is damaged is left out with a warning, as players do."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError as error:
            at = float(packet.pts * packet.time_base) if packet.pts is not None else 0
            log.warning("%s: damaged at %.3f s, going on after it (%s)", container.name, at, error.strerror)


def read_clip(path) -> Clip:
    """Describe a video file by its headers and its first frame.

    Raises PoseGaugeError for a file that is no video, holds no frame, or is turned by other than a right
    angle.
    """
    with _opened(path) as (container, stream):
        first = next(_decoded(container, stream), None)
        if first is None:
            raise PoseGaugeError(
                f"{path}: holds no frame that can be read; expected a video of one frame or more. If players "
                f"show it, {_anew(path)}"
            )
        rotation = int(first.rotation) % 360
        if rotation % 90:
            raise PoseGaugeError(f"{path}: is to be shown turned by {rotation}°, expected 0, 90, 180 or 270")
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = container.duration / av.time_base if container.duration else 0
        clip = Clip(
            path=str(path),
            codec=stream.codec_context.name,
            width=first.width,
            height=first.height,
            rotation=rotation,
            pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
            frame_rate=Fraction(rate),
            time_base=Fraction(stream.time_base),
            frames=stream.frames or round(seconds * rate) or None,
            counted=bool(stream.frames),
            title=container.metadata.get("title"),
        )
    height, width = _shown(np.empty((clip.height, clip.width, 3), np.uint8), clip).shape[:2]
    return Clip(**{**vars(clip), "width": width, "height": height})


def _shown(image: np.ndarray, clip: Clip) -> np.ndarray:
    """Return a stored frame as players show it: with square pixels, and upright."""
    if clip.pixel_aspect != 1:
        width = max(1, round(image.shape[1] * clip.pixel_aspect))
        image = cv2.resize(image, (width, image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(np.rot90(image, clip.rotation // 90))


def read_frames(clip: Clip, start: int = 0):
    """Yield (time stamp, image) of every frame from number `start` on.

    The time stamp is in ticks of clip.time_base, 0 for the first frame of the file, and grows from frame to
    frame: where the file has none, or one that does not grow, the frame follows at the mean frame rate.
    The image is uint8 BGR [clip.height, clip.width, 3]. Raises PoseGaugeError when frames change their size.
    """
    step = max(1, round(1 / (clip.frame_rate * clip.time_base)))
    stored = first = last = None
    with _opened(clip.path) as (container, stream):
        for number, frame in enumerate(_decoded(container, stream)):
            stored = stored or (frame.width, frame.height)
            if (frame.width, frame.height) != stored:
                raise PoseGaugeError(
                    f"{clip.path}: frame {number} has {frame.width}×{frame.height} pixels, those before have "
                    f"{stored[0]}×{stored[1]}; write it anew with one size"
                )
            if number == 0:
                first = frame.pts or 0
                last = -step
            stamp = last + step if frame.pts is None else frame.pts - first
            last = stamp if stamp > last else last + step
            if number >= start:
                yield last, _shown(frame.to_ndarray(format="bgr24", interpolation=ROUNDED), clip)


class Writer:
    """Writes frames as H.264 into an MP4 file; a context manager. Odd sizes get one more row or column."""

    def __init__(self, path, frame_rate: Fraction, size: tuple[int, int], title: str | None = None):
        """`size` is (width, height) of the frames; `title` goes into the file's metadata."""
        self.size = size
        self.container = av.open(str(path), "w", format="mp4")
        if title:
            self.container.metadata["title"] = title
        # 64 fps from a file that says 63.999987: x264 refuses numbers that need more than 32 bits.
        rate = Fraction(frame_rate).limit_denominator(1001)
        self.stream = self.container.add_stream(CODEC, rate=rate, options=ENCODER)
        self.stream.width, self.stream.height = (side + side % 2 for side in size)
        self.stream.pix_fmt = "yuv420p"
        # What players take for granted: BT.709 in 16 to 235.
        self.stream.codec_context.colorspace = 1
        self.stream.codec_context.color_primaries = 1
        self.stream.codec_context.color_trc = 1
        self.stream.codec_context.color_range = 1
        self.frames = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.container.mux(self.stream.encode(None))
        self.container.close()

    def write(self, image: np.ndarray) -> None:
        """Append a frame, uint8 BGR [height, width, 3]."""
        if image.shape[1::-1] != self.size:
            raise ValueError(f"frame of {image.shape[1::-1]} pixels in a video of {self.size}")
        bottom, right = (side % 2 for side in image.shape[:2])
        if bottom or right:
            image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        frame = frame.reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", interpolation=ROUNDED
        )
        frame.pts = self.frames
        frame.time_base = 1 / Fraction(self.stream.codec_context.framerate)
        self.frames += 1
        self.container.mux(self.stream.encode(frame))


def write_video(path, images, frame_rate, title: str | None = None) -> None:
    """Write images (uint8 BGR [height, width, 3], one or more, of one size), whole or not at all."""
    images = iter(images)
    first = next(images)
    size = first.shape[1::-1]
    with atomic_path(path) as temporary, Writer(temporary, frame_rate, size, title) as writer:
        for image in itertools.chain([first], images):
            writer.write(image)


def join_videos(path, parts: list, stamps: list[int], time_base: Fraction, last: int, title=None) -> None:
    """Join files of Writer into one, whole or not at all, without encoding anew.

    stamps: the time stamp of every frame of all parts, in ticks of `time_base` and growing; last: how many
    ticks the last frame is shown. So the result has the times of the original, be its frame rate variable.
    """
    ends = [*stamps[1:], stamps[-1] + last]
    with atomic_path(path) as temporary:
        # faststart: the index comes first, so that a browser can begin before it has all.
        options = {"movflags": "+faststart"}
        with av.open(str(temporary), "w", format="mp4", options=options) as joined:
            if title:
                joined.metadata["title"] = title
            stream, number = None, 0
            for part in parts:
                with av.open(str(part)) as container:
                    source = container.streams.video[0]
                    if stream is None:
                        stream = joined.add_stream_from_template(source)
                        stream.time_base = time_base
                    for packet in container.demux(source):
                        if packet.size == 0:  # what demux ends with
                            continue
                        packet.stream, packet.time_base = stream, time_base
                        packet.pts = packet.dts = stamps[number]
                        packet.duration = ends[number] - stamps[number]
                        joined.mux(packet)
                        number += 1
            if number != len(stamps):
                raise PoseGaugeError(
                    f"{path}: {number} frames written, expected {len(stamps)}; delete {parts}"
                )
