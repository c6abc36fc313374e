"""Videos: frames upright with their times, the annotated clip, going on after a killed job, refusals."""

import multiprocessing
import signal
import struct
import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from posegauge.data import video_files
from posegauge.data.scenes import clips
from posegauge.errors import PoseGaugeError
from posegauge.pipeline.pipeline import Persons
from posegauge.pipeline.steps import Settings
from posegauge.predict.video import Tracks, annotate_video, draw_frame, has_variable_rate
from posegauge.store import files

SIZE = (96, 64)  # width, height


def picture(number: int = 0, size=SIZE) -> np.ndarray:
    """A grey picture with a white square that wanders to the right, and a blue upper left corner."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    image[:16, :16] = (255, 0, 0)
    image[24:48, 20 + 4 * number : 40 + 4 * number] = 255
    return image


@pytest.fixture
def clip_file(tmp_path):
    """A clip of ten frames, 25 per second."""
    video_files.write_video(tmp_path / "clip.mp4", map(picture, range(10)), 25)
    return tmp_path / "clip.mp4"


class SquareFinder:
    """Stands in for the pipeline: finds the white square, notes where; may stop like a killed job."""

    def __init__(self, stop_at: int | None = None):
        self.settings = Settings()
        self.seen = []
        self.stop_at = stop_at

    def __call__(self, image) -> Persons:
        if len(self.seen) == self.stop_at:
            raise KeyboardInterrupt
        x, y, width, height = cv2.boundingRect(cv2.inRange(image, (230,) * 3, (255,) * 3))
        self.seen.append(x)
        box = np.float32([[x, y, x + width, y + height]])
        keypoints = np.tile(box[:, None, :2], (1, 17, 1))
        return Persons(box, np.float32([0.9]), keypoints, np.full((1, 17), 0.5, np.float32), {"detect": 1.0})


def annotate(path, folder, pipeline=None, key="a", **options) -> list[dict]:
    return annotate_video(
        pipeline or SquareFinder(),
        video_files.read_clip(path),
        folder / "out.mp4",
        folder / "out.parts",
        key,
        **options,
    )


def without_times(records):
    return [{key: value for key, value in record.items() if key != "latency_ms"} for record in records]


# --------------------------------------------------------------------------------- reading, writing


def test_what_is_written_is_read_again(clip_file):
    clip = video_files.read_clip(clip_file)
    assert (clip.codec, clip.width, clip.height, clip.frames, clip.rotation) == ("h264", *SIZE, 10, 0)
    assert clip.frame_rate == 25
    frames = list(video_files.read_frames(clip))
    assert [float(stamp * clip.time_base) for stamp, _ in frames] == pytest.approx(
        [n / 25 for n in range(10)]
    )
    for number, (_, image) in enumerate(frames):
        difference = image.astype(int) - picture(number)
        assert abs(difference).mean() < 3
        assert abs(difference[4:12, 4:12]).max() < 8, "blue must stay blue"


def test_reading_from_a_frame_on_gives_the_same_frames(clip_file):
    clip = video_files.read_clip(clip_file)
    whole, rest = list(video_files.read_frames(clip)), list(video_files.read_frames(clip, 7))
    assert [stamp for stamp, _ in rest] == [stamp for stamp, _ in whole[7:]]
    assert all((a[1] == b[1]).all() for a, b in zip(rest, whole[7:], strict=True))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_clip_turned_by_its_metadata_is_read_upright(tmp_path, rotation):
    upright = picture(2, (64, 96))
    stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
    with video_files.Writer(tmp_path / "phone.mp4", 25, stored.shape[1::-1]) as writer:
        writer.stream.set_display_rotation(rotation)
        writer.write(stored)
        writer.write(stored)
    clip = video_files.read_clip(tmp_path / "phone.mp4")
    assert (clip.rotation, clip.width, clip.height) == (rotation, 64, 96)
    for _, image in video_files.read_frames(clip):
        assert abs(image.astype(int) - upright).mean() < 3
    annotate(tmp_path / "phone.mp4", tmp_path)
    out = video_files.read_clip(tmp_path / "out.mp4")
    assert (out.rotation, out.width, out.height) == (0, 64, 96)


def test_pixels_that_are_not_square_become_square(tmp_path):
    with video_files.Writer(tmp_path / "dv.mp4", 25, SIZE) as writer:
        writer.stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        writer.write(picture())
    clip = video_files.read_clip(tmp_path / "dv.mp4")
    assert (clip.width, clip.height) == (144, 64)
    ((_, image),) = video_files.read_frames(clip)
    assert image.shape == (64, 144, 3)


def test_odd_sizes_are_written_with_one_row_and_column_more(tmp_path):
    video_files.write_video(tmp_path / "odd.mp4", [picture(0, (97, 63))] * 2, 25)
    clip = video_files.read_clip(tmp_path / "odd.mp4")
    assert (clip.width, clip.height) == (98, 64)


@pytest.fixture
def variable_clip(clip_file, tmp_path):
    """The clip with frames shown for different times, in milliseconds."""
    stamps = [0, 40, 80, 250, 251, 300, 600, 610, 620, 1000]
    path = tmp_path / "variable.mp4"
    video_files.join_videos(path, [clip_file], stamps, Fraction(1, 1000), 40)
    return path, stamps


def test_a_variable_frame_rate_is_kept(variable_clip, tmp_path):
    path, stamps = variable_clip
    records = annotate(path, tmp_path, chunk_frames=4)
    assert [round(1000 * record["time_s"]) for record in records] == stamps
    assert has_variable_rate(records)
    out = video_files.read_clip(tmp_path / "out.mp4")
    assert [round(1000 * stamp * out.time_base) for stamp, _ in video_files.read_frames(out)] == stamps


# ----------------------------------------------------------------------------------------- refusals


def no_video(path):
    path.write_text("a text, by mistake")


def empty(path):
    path.write_bytes(b"")


def only_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44100
        container.mux([*stream.encode(frame), *stream.encode(None)])


def all_damaged(path):
    video_files.write_video(path, map(picture, range(3)), 25)
    data = path.read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    path.write_bytes(data[:begin] + bytes(end - begin) + data[end:])


def sound_and_a_cover(path):
    only_sound(path)
    cover = cv2.imencode(".jpg", picture())[1].tobytes()
    with av.open(str(path)) as source, av.open(f"{path}.new", "w", format="mp4") as container:
        sound = container.add_stream_from_template(source.streams.audio[0])
        film = container.add_stream("mjpeg", rate=1)
        film.width, film.height, film.pix_fmt = *SIZE, "yuvj420p"
        film.disposition = Disposition.attached_pic
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = sound
                container.mux(packet)
        packet = av.Packet(cover)
        packet.stream, packet.pts, packet.dts = film, 0, 0
        container.mux(packet)
    path.write_bytes(path.with_name(f"{path.name}.new").read_bytes())


def encrypted(path):
    key, name = "76a6c65c5ea762046bd749a2e632ccbb", "a7e61c373e219033c21091fa607bf3b8"
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": name}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(), "bgr24")))
        container.mux(stream.encode(None))


def one_picture(path):
    path.write_bytes(cv2.imencode(".png", picture())[1].tobytes())


def one_avif(path):
    Image.fromarray(picture()).save(path, "AVIF")


def a_list(path):
    path.write_text("ffconcat version 1.0\nfile clip.mp4\n")


def broken_off(path):
    video_files.write_video(path, map(picture, range(10)), 25)
    path.write_bytes(path.read_bytes()[:-400])  # the index at the end is gone


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_video, "cannot be read as a video (Invalid data"),
        (empty, "cannot be read as a video"),
        (only_sound, "holds sound, but no film"),
        (sound_and_a_cover, "holds sound and a cover picture, but no film"),
        (all_damaged, "holds no frame that can be read; expected a video of one frame or more"),
        (encrypted, "is encrypted (DRM)"),
        (one_picture, "is a single picture, expected a video file; to make a film of pictures: ffmpeg"),
        (one_avif, "is a single picture"),
        (a_list, "is a list that names other files"),
        (broken_off, "cannot be read as a video"),
    ],
)
def test_a_file_that_is_no_video_is_refused_by_name(tmp_path, make, message):
    make(tmp_path / "bad.mp4")
    with pytest.raises(PoseGaugeError) as caught:
        list(video_files.read_frames(video_files.read_clip(tmp_path / "bad.mp4")))
    assert str(caught.value).startswith(f"{tmp_path / 'bad.mp4'}: ")
    assert message in str(caught.value)


def test_a_text_is_no_film(tmp_path):
    (tmp_path / "clip.txt").write_text("hello\nworld\n" * 50)  # FFmpeg draws it as a terminal does
    with pytest.raises(PoseGaugeError, match=r"clip.txt: is a text, expected a video file; .*ffmpeg"):
        video_files.read_clip(tmp_path / "clip.txt")


def with_cover_first(film: bytes) -> bytes:
    """Put cover art before the tracks of an MP4 file, as a tagger may: it becomes stream 0."""

    def atom(kind, content):
        return struct.pack(">I4s", 8 + len(content), kind) + content

    def atoms(content):
        while content:
            size, kind = struct.unpack(">I4s", content[:8])
            yield kind, content[8:size]
            content = content[size:]

    cover = atom(
        b"covr", atom(b"data", struct.pack(">II", 13, 0) + cv2.imencode(".jpg", picture())[1].tobytes())
    )
    handler = atom(b"hdlr", struct.pack(">II4s4s9x", 0, 0, b"mdir", b"appl"))
    tags = atom(b"udta", atom(b"meta", bytes(4) + handler + atom(b"ilst", cover)))
    tagged = b""
    for kind, content in atoms(film):
        if kind == b"moov":
            header, *tracks = [atom(*part) for part in atoms(content) if part[0] != b"udta"]
            content = header + tags + b"".join(tracks)
        tagged += atom(kind, content)
    return tagged


def test_cover_art_is_not_the_film(tmp_path):
    path = tmp_path / "tagged.mp4"
    video_files.write_video(path, [picture(n, (320, 240)) for n in range(12)], 10)
    path.write_bytes(with_cover_first(path.read_bytes()))
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams.video] == ["mjpeg", "h264"]
    clip = video_files.read_clip(path)
    assert (clip.frames, clip.width, clip.height, clip.frame_rate) == (12, 320, 240, 10)
    assert len(list(video_files.read_frames(clip))) == 12


# --------------------------------------------------------------------------------------- annotating


def test_every_frame_has_its_results_and_its_drawing(clip_file, tmp_path):
    records = annotate(clip_file, tmp_path, title="A title")
    assert [record["index"] for record in records] == list(range(10))
    for number, record in enumerate(records):
        (person,) = record["persons"]
        assert person["bbox"] == pytest.approx([20 + 4 * number, 24, 20, 24], abs=1.5)
        assert person["image_id"] == number and len(person["keypoints"]) == 51
        assert record["latency_ms"] > 0
    assert not has_variable_rate(records)
    out = video_files.read_clip(tmp_path / "out.mp4")
    assert (out.frames, out.frame_rate, out.width, out.height) == (10, 25, *SIZE)
    plain = [image for _, image in video_files.read_frames(video_files.read_clip(clip_file))]
    for (_, drawn), image in zip(video_files.read_frames(out), plain, strict=True):
        assert abs(drawn.astype(int) - image).mean() > 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["title"] == "A title"


def test_a_clip_that_breaks_off_is_annotated_as_far_as_it_goes_with_a_warning(clip_file, tmp_path, caplog):
    path = tmp_path / "copied.mp4"
    video_files.join_videos(path, [clip_file], list(range(10)), Fraction(1, 25), 1)  # with the index in front
    path.write_bytes(path.read_bytes()[:-60])
    records = annotate(path, tmp_path)
    assert 0 < len(records) < 10
    assert video_files.read_clip(tmp_path / "out.mp4").frames == len(records)
    assert f"{len(records)} frames could be read, its header names 10" in caplog.text


def test_a_killed_job_goes_on_after_its_last_whole_chunk(clip_file, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = annotate(clip_file, tmp_path / "whole", chunk_frames=3)
    killed = SquareFinder(stop_at=1 + 8)  # one frame is run once more, to warm up
    with pytest.raises(KeyboardInterrupt):
        annotate(clip_file, tmp_path, killed, chunk_frames=3)
    assert not (tmp_path / "out.mp4").exists()
    second = SquareFinder()
    records = annotate(clip_file, tmp_path, second, chunk_frames=3)
    assert second.seen == [record["persons"][0]["bbox"][0] for record in [whole[6], *whole[6:]]]
    assert without_times(records) == without_times(whole)
    out = video_files.read_clip(tmp_path / "out.mp4")
    stamps = [stamp for stamp, _ in video_files.read_frames(out)]
    assert [round(25 * stamp * out.time_base) for stamp in stamps] == list(range(10))


class Follower(SquareFinder):
    """Finds the square in boxes that are given, too; its keypoints are the square's corners and middle."""

    def __call__(self, image) -> Persons:
        return self._square(super().__call__(image))

    def run(self, images, bboxes) -> list[Persons]:
        found = self._square(super().__call__(images[0]))
        self.seen.pop()
        self.given.append(bboxes[0][0].tolist())
        return [found]

    def _square(self, persons: Persons) -> Persons:
        x1, y1, x2, y2 = persons.bboxes[0]
        persons.keypoints[0, :4] = [[x1, y1], [x2, y1], [x1, y2], [x2, y2]]
        return persons

    def __init__(self, stop_at: int | None = None):
        super().__init__(stop_at)
        self.given = []


def test_the_detector_on_every_nth_frame_of_a_chunk_whatever_was_killed(clip_file, tmp_path):
    (tmp_path / "whole").mkdir()
    pipeline = Follower()
    options = {"chunk_frames": 5, "detect_every": 3}
    whole = annotate(clip_file, tmp_path / "whole", pipeline, **options)
    sources = [record["persons"][0]["box_source"] for record in whole]
    assert sources == ["detected", "tracked", "tracked", "detected", "tracked"] * 2
    # The square goes 4 pixels a frame: from the third frame of a chunk on its box does not lag behind.
    x2 = pipeline.given[1][0]
    assert whole[2]["persons"][0]["keypoints"][0] == pytest.approx(x2, abs=1.5)
    killed = Follower(stop_at=1 + 3)
    with pytest.raises(KeyboardInterrupt):
        annotate(clip_file, tmp_path, killed, **options)
    assert without_times(annotate(clip_file, tmp_path, Follower(), **options)) == without_times(whole)


class Slow(SquareFinder):
    """Takes its time with every frame, so that a kill comes in the middle."""

    def __call__(self, image) -> Persons:
        time.sleep(0.3)
        return super().__call__(image)


def test_a_job_that_is_killed_with_no_time_to_tidy_up_goes_on(clip_file, tmp_path):
    """SIGKILL, as from a user, a scheduler or a system without memory; a chunk is then half written."""
    job = multiprocessing.get_context("spawn").Process(
        target=annotate, args=(clip_file, tmp_path, Slow()), kwargs={"chunk_frames": 2}
    )
    job.start()
    deadline = time.monotonic() + 120
    while not (tmp_path / "out.parts/000000002.json").exists():
        assert job.is_alive() and time.monotonic() < deadline
        time.sleep(0.05)
    job.kill()
    job.join()
    assert job.exitcode == -signal.SIGKILL and not (tmp_path / "out.mp4").exists()
    second = SquareFinder()
    records = annotate(clip_file, tmp_path, second, chunk_frames=2)
    assert len(second.seen) <= 1 + 6, "of ten frames at least four were done, and one is run to warm up"
    (tmp_path / "whole").mkdir()
    assert without_times(records) == without_times(annotate(clip_file, tmp_path / "whole", chunk_frames=2))
    assert video_files.read_clip(tmp_path / "out.mp4").frames == 10


def test_when_only_the_joining_is_left_no_model_runs(clip_file, tmp_path):
    first = annotate(clip_file, tmp_path)
    (tmp_path / "out.mp4").unlink()
    idle = SquareFinder(stop_at=0)
    assert annotate(clip_file, tmp_path, idle) == first
    assert video_files.read_clip(tmp_path / "out.mp4").frames == 10


def test_chunks_made_from_something_else_are_not_used(clip_file, tmp_path):
    annotate(clip_file, tmp_path, key="a")
    again = SquareFinder()
    annotate(clip_file, tmp_path, again, key="b")
    assert len(again.seen) == 1 + 10


def test_only_counted_persons_are_drawn():
    image = np.zeros((240, 320, 3), np.uint8)
    person = {"bbox": [150, 100, 60, 90], "keypoints": [0.0] * 51, "track": 0}
    counted, weak = ({"persons": [{**person, "box_score": score}]} for score in (0.5, 0.49))
    drawn, empty_frame = (draw_frame(image, record, 12.5, Settings()) for record in (counted, weak))
    assert drawn[100:190, 150:210].any()
    assert not empty_frame[60:, 120:].any()
    assert empty_frame[:40].any(), "the strip with the speed is always there"
    assert not image.any(), "the frame itself is left alone"


# ------------------------------------------------------------------------------- numbers of persons


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.lists(st.permutations(range(4)), min_size=1, max_size=6))
def test_persons_keep_their_numbers_in_whatever_order_they_are_found(orders):
    tracks = Tracks()
    first = tracks.number(0, [[100 * place, 50, 40, 80] for place in range(4)])
    assert sorted(first) == [0, 1, 2, 3]
    for frame, order in enumerate(orders, 1):
        numbers = tracks.number(frame, [[100 * place + 3 * frame, 50, 40, 80] for place in order])
        assert numbers == [first[place] for place in order]


def test_a_number_is_kept_for_a_while_and_never_given_twice():
    tracks = Tracks()
    left, right = [0, 0, 40, 80], [200, 0, 40, 80]
    assert tracks.number(0, [left, right]) == [0, 1]
    assert tracks.number(1, [right]) == [1]
    assert tracks.number(2, [[400, 0, 40, 80], left]) == [2, 0]
    assert tracks.number(90, [right]) == [0], "long gone: numbers begin anew"
    assert tracks.number(91, []) == []


# ------------------------------------------------------------------------------- the synthetic clip


def test_the_synthetic_clip_moves():
    (first, _), (second, _) = clips.clip_frames(4, 2, 5, (160, 96))
    assert 0.001 < (first != second).any(axis=2).mean() < 0.6, "people move, the room stays"


def test_the_synthetic_clip_says_what_it_is(tmp_path):
    clips.write_clip(tmp_path / "walk.mp4", tmp_path / "walk.json", 4, 3, 5, (160, 96))
    with av.open(str(tmp_path / "walk.mp4")) as container:
        assert "SYNTHETIC" in container.metadata["title"]
    assert video_files.read_clip(tmp_path / "walk.mp4").frame_rate == 5


def test_an_unfinished_write_leaves_nothing(tmp_path):
    def frames():
        yield picture()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video_files.write_video(tmp_path / "clip.mp4", frames(), 25)
    assert list(tmp_path.iterdir()) == []


def test_results_fit_on_one_line(tmp_path):
    files.write_json(tmp_path / "a.json", {"frames": [1, 2]}, indent=None)
    assert (tmp_path / "a.json").read_text().count("\n") == 1
