"""The look through the images before the first job: what does not fit, by kind, with how many and which."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from posegauge.data import images
from posegauge.data.image_formats import LARGEST_SIDE_PX, upright_points
from posegauge.data.images import Limits, survey
from posegauge.errors import PoseGaugeError
from posegauge.pipeline.steps import detector_input
from posegauge.study import CONDITIONS

DETECTOR = {"input_size": [320, 320]}


def config(exif="auto", unreadable="error", names=("clean",), coco_c=()):
    return {
        "dataset": {"exif": exif, "unreadable": unreadable},
        "suites": ["study", *(["coco_c"] if coco_c else [])],
        "conditions": list(names),
        "coco_c": {"corruptions": list(coco_c), "severities": [1, 5]},
        "models": {"detector": DETECTOR},
        "benchmark": {"image": None},
        "grids": {"scene": None, "images": None},
    }


def said(folder, entries, given):
    verdict = images.check(folder, entries, given)
    return verdict.faults, verdict.notes


def picture(folder, name, size=(64, 48), turn=1, **options):
    """Save a picture and return its entry, annotated as it is stored."""
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.new("RGB", size, (90, 120, 150)).save(folder / name, exif=exif.tobytes(), **options)
    return {"id": len(list(folder.iterdir())), "file_name": name, "width": size[0], "height": size[1]}


def as_shown(entry):
    return entry | {"width": entry["height"], "height": entry["width"]}


def test_sound_images_are_as_the_annotations_say(tmp_path):
    entries = [picture(tmp_path, "a.jpg"), picture(tmp_path, "b.png", (48, 64))]
    found = survey(tmp_path, entries, "auto", Limits())
    assert found.entries == entries and not (found.left_out or found.unclear or found.turned)
    assert said(tmp_path, entries, config()) == ([], [])


def test_all_faults_at_once_by_kind(tmp_path):
    entries = [picture(tmp_path, f"{number}.jpg") for number in range(12)]
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    content = bytearray((tmp_path / "7.jpg").read_bytes())
    content[-40:-20] = bytes(20)
    (tmp_path / "7.jpg").write_bytes(content)
    (tmp_path / "8.jpg").write_bytes(b"")
    entries[9] |= {"width": 65}
    entries[10] = picture(tmp_path, "10.jpg", (24, 24))
    faults, notes = said(tmp_path, entries, config(names=["occlusion"], coco_c=["fog"]))
    assert notes == [] and len(faults) == 5
    heic, damaged, empty, size, small = faults
    assert (
        f"{tmp_path}: 7 of 12 images: HEIC/HEIF, which is not read: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg" in heic
    )
    assert "..." in heic and "convert to JPEG or PNG" in heic and "dataset.unreadable: skip" in heic
    assert "1 of 12 images: damaged: 7.jpg (Corrupt JPEG data" in damaged
    assert "1 of 12 images: empty (0 bytes): 8.jpg" in empty
    assert "another size than the annotations say: 9.jpg (64x48, annotated 65x48)" in size
    assert "too small: coco_c_fog_5 needs a width of 32 pixels: 10.jpg (24x24)" in small
    faults, notes = said(tmp_path, entries, config("auto", "skip", ["occlusion"], ["fog"]))
    assert faults == [] and len(notes) == 5 and all(note.startswith("left out: ") for note in notes)
    faults, _ = said(tmp_path, entries[:7], config("auto", "skip"))
    assert "none of the 7 images is left" in faults[-1]


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_turn_is_read_right_where_only_one_way_fits(turn, tmp_path):
    stored = picture(tmp_path, "a.jpg", turn=turn)
    on_its_side = turn >= 5
    for entry, fits in ((stored, "stored"), (as_shown(stored), "shown")):
        for exif in ("auto", "applied", "ignored"):
            found = survey(tmp_path, [entry], exif, Limits())
            if on_its_side:
                turned = {entry["id"]: (turn, (64, 48))} if fits == "stored" else {}
                assert found.turned == turned and found.entries == [as_shown(stored)], (fits, exif)
            elif fits == "shown":
                assert "another size" in found.left_out[0].what
            elif exif == "auto":
                assert not found.entries and len(found.unclear) == 1
            else:
                assert bool(found.turned) == (exif == "ignored") and found.entries == [stored]


def test_a_turn_that_no_size_shows_needs_the_key_even_with_skip(tmp_path):
    entries = [picture(tmp_path, f"{turn}.jpg", turn=turn) for turn in (1, 2, 3, 4)]
    entries.append(picture(tmp_path, "square.jpg", (48, 48), turn=6))
    entries.append(picture(tmp_path, "unsized.jpg", turn=8) | {"width": None, "height": None})
    for unreadable in ("error", "skip"):
        faults, notes = said(tmp_path, entries, config("auto", unreadable))
        assert len(faults) == 1 and not notes
        assert "5 of 6 images: turned by EXIF in a way that the annotated size does not show" in faults[0]
        assert "2.jpg (orientation 2)" in faults[0] and "dataset.exif: applied" in faults[0]
        assert "unreadable: skip" not in faults[0]
    faults, notes = said(tmp_path, entries, config("ignored"))
    assert not faults and len(notes) == 1
    assert notes[0].startswith("5 images turned by EXIF were annotated as stored, as dataset.exif says")
    assert said(tmp_path, entries, config("applied")) == ([], [])


def test_images_without_a_size_get_that_of_the_upright_picture(tmp_path):
    unsized = {"width": None, "height": None}
    plain, turned = picture(tmp_path, "a.jpg"), picture(tmp_path, "b.jpg", turn=6)
    found = survey(tmp_path, [plain | unsized, turned | unsized], "applied", Limits())
    assert found.entries == [plain, as_shown(turned)] and not found.turned


def test_what_is_left_out_is_so_for_all_that_follows(tmp_path):
    entries = [picture(tmp_path, f"{number}.jpg", turn=6) for number in range(4)]
    (tmp_path / "1.jpg").write_bytes(b"")
    entries[2] = picture(tmp_path, "2.jpg", (24, 40))
    verdict = images.check(tmp_path, entries, config("auto", "skip", coco_c=["fog"]))
    assert verdict.unfit == ["2.jpg"] and verdict.faults == []
    taken = images.take(tmp_path, entries, "auto", "skip", verdict.unfit)
    assert taken.left_out == ["1.jpg", "2.jpg"]
    assert taken.entries == [as_shown(entries[0]), as_shown(entries[3])]
    assert set(taken.turned) == {entries[0]["id"], entries[3]["id"]}
    assert [note.split(":")[0] for note in taken.notes] == [
        "2 images turned by EXIF were annotated as stored, as their size shows", "left out", "left out"
    ]  # fmt: skip
    with pytest.raises(PoseGaugeError, match=r"1 of 4 images: empty \(0 bytes\): 1.jpg; .*unreadable: skip"):
        images.take(tmp_path, entries, "auto", "error")


def test_an_image_that_the_config_names_must_be_taken(tmp_path):
    entries = [picture(tmp_path, f"{number}.jpg") for number in range(3)]
    (tmp_path / "1.jpg").write_bytes(b"")
    named = {"benchmark": {"image": "1.jpg"}, "grids": {"scene": "0.jpg", "images": ["2.jpg", "3.jpg"]}}
    faults, _ = said(tmp_path, entries, config("auto", "skip") | named)
    assert len(faults) == 2
    assert "benchmark.image: 1.jpg is left out (dataset.unreadable: skip); name another" in faults[0]
    assert "grids.images: 3.jpg is no image with persons that the run takes (did you mean" in faults[1]


def test_one_file_for_two_images(tmp_path):
    entries = [picture(tmp_path, "a.jpg"), picture(tmp_path, "b.jpg")]
    (tmp_path / "b.jpg").unlink()
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    faults, _ = said(tmp_path, entries, config())
    assert (
        len(faults) == 1
        and "1 files stand for more than one image" in faults[0]
        and "a.jpg = b.jpg" in faults[0]
    )


def test_without_pixels_only_headers_are_read(tmp_path):
    entries = [picture(tmp_path, "a.jpg")]
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:-20])
    assert survey(tmp_path, entries, "auto", Limits(), pixels=64 * 48 - 1).entries == entries
    assert survey(tmp_path, entries, "auto", Limits(), pixels=False).entries == entries
    assert len(survey(tmp_path, entries, "auto", Limits(), pixels=64 * 48).left_out) == 1


# -------------------------------------------------------------------------------------------- sizes


@given(st.integers(1, 1500), st.integers(1, 1500), st.integers(1, 10))
def test_what_is_not_too_narrow_fits_the_detector(width, height, tens):
    size = (32 * tens, 320)
    needed = Limits(detector=size)
    header = images.Header("PNG", width, height, 1)
    try:
        images._check_size("a.png", header, needed)
    except images.ImageFault as error:
        assert "too narrow" in error.what
    else:
        assert detector_input(np.zeros((height, width, 3), np.uint8), size)[0].shape == (
            1,
            3,
            size[1],
            size[0],
        )


def test_limits_are_those_of_the_conditions_of_the_run():
    assert images.limits(config()).width == (1, "clean")
    assert images.limits(config(names=["motion_blur_heavy"])).width == (30, "motion_blur_heavy")
    assert images.limits(config(names=["motion_blur_heavy"])).height[0] == 1
    assert images.limits(config(coco_c=["motion_blur"])).height == (41, "coco_c_motion_blur_5")
    assert images.limits(config()).largest == (LARGEST_SIDE_PX, "")
    assert images.limits(config(coco_c=["fog"])).largest == (16_384, "coco_c_fog_1")


# -------------------------------------------------------------------------------------- turned annotations


def test_annotations_are_turned_with_their_pictures():
    points = np.zeros((17, 3), int)
    points[5], points[0] = (10, 4, 2), (3, 0, 1)  # the left shoulder, the nose
    person = {
        "image_id": 7,
        "bbox": [2, 1, 10, 20],
        "keypoints": points.ravel().tolist(),
        "segmentation": [[1]],
    }
    turned = {7: (6, (64, 48))}
    data = {"images": [{"id": 7, "width": 64, "height": 48}], "annotations": [person]}
    turned_data = images.turn_data(data, turned)
    assert turned_data["images"] == [{"id": 7, "width": 48, "height": 64}]
    (found,) = turned_data["annotations"]
    assert found["bbox"] == [48 - 1 - 20, 2, 20, 10] and found["segmentation"] == []
    keypoints = np.reshape(found["keypoints"], (17, 3))
    assert keypoints[5].tolist() == [48 - 1 - 4, 10, 2] and keypoints[0].tolist() == [47, 3, 1]
    assert not keypoints[1].any()
    (mirrored,) = images.turn_data(data, {7: (2, (64, 48))})["annotations"]
    keypoints = np.reshape(mirrored["keypoints"], (17, 3))
    assert keypoints[6].tolist() == [64 - 1 - 10, 4, 2] and not keypoints[5].any()
    assert images.turn_data(data, {8: (6, (64, 48))}) == data


@given(
    st.integers(1, 8),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1),
)
def test_four_turns_or_two_mirrors_bring_points_back(turn, size, points):
    start = found = np.array(points)
    for _ in range(4):
        found = upright_points(found, size, turn)
        size = size[::-1] if turn >= 5 else size
    assert np.array_equal(found, start)


# ------------------------------------------------------------------------------------ the real photographs


def test_nothing_good_is_refused(real):
    annotations = json.loads((real / "coco/annotations/person_keypoints_val2017.json").read_text())
    entries = [
        {key: entry[key] for key in ("id", "file_name", "width", "height")} for entry in annotations["images"]
    ]
    every = config(
        names=[name for name in CONDITIONS if not name.startswith("coco_c")], coco_c=["fog", "motion_blur"]
    )
    assert said(real / "coco/val2017", entries, every) == ([], [])


def test_a_cut_photograph_is_told_before_the_first_job(real, tmp_path):
    name = "000000000139.jpg"
    shutil.copy(real / "coco/val2017" / name, tmp_path)
    content = (tmp_path / name).read_bytes()
    entry = {"id": 139, "file_name": name, "width": 640, "height": 426}
    for damaged in (
        content[: len(content) // 2],
        b"",
        content[: len(content) // 2] + bytes(len(content) // 2),
    ):
        (tmp_path / name).write_bytes(damaged)
        faults, _ = said(tmp_path, [entry], config())
        assert len(faults) == 1 and "1 of 1 images" in faults[0] and name in faults[0]
