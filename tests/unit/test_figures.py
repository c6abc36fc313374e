"""The latency figure, drawing and picture grids, from invented records and images."""

import json

import cv2
import numpy as np
import pytest
from fake_results import fake_latency

from posegauge.errors import PoseGaugeError
from posegauge.predict import draw
from posegauge.report import grids, latency_figure, style
from posegauge.score import tiers
from posegauge.study import BENCHMARKS, COCO_C_CONDITIONS, STUDY_BENCHMARKS, STUDY_CONDITIONS

LATENCY = {
    "all": [fake_latency(name) for name in STUDY_BENCHMARKS],
    "cpu": [fake_latency(name, row.artifact.device == "cpu") for name, row in STUDY_BENCHMARKS.items()],
    "one": [fake_latency("onnx_full_cpu", latency_ms=[3.0])],
    "none": [fake_latency(name, False, reason="a $reason " * 20) for name in STUDY_BENCHMARKS],
    "empty": [],
}


def check_png(path):
    image = cv2.imread(str(path))
    assert image.shape[1] == 1440 and image.shape[0] > 300
    assert image.std() > 5  # something is drawn
    # Nothing runs over the edge: a text that is cut off would.
    edge = np.concatenate(
        [image[:, :3].ravel(), image[:, -3:].ravel(), image[:3].ravel(), image[-3:].ravel()]
    )
    assert (edge == 255).all()


@pytest.mark.parametrize("case", LATENCY)
def test_latency_figure(tmp_path, case):
    latency_figure.plot_latency(
        LATENCY[case], tmp_path / "a.png", "Fake-m on fakes", "An invented notice. " * 12
    )
    check_png(tmp_path / "a.png")


def test_the_shape_beside_a_title_is_the_tier(monkeypatch, tmp_path):
    kept = []
    verdicts = {
        "pytorch_full_cpu": tiers.Verdict("source"),
        "pytorch_pose_cpu": tiers.Verdict("not checked"),
        "onnx_full_cpu": tiers.Verdict("99 %", 0.993, 0.991, 0.996),
        "onnx_pose_cpu": tiers.Verdict("99.9 %", 0.9991, 0.985, 1.01),
        "onnx_full_gpu": tiers.Verdict("fails", 0.5, 0.4, 0.6),
    }
    latency_figure.plot_latency(LATENCY["cpu"], tmp_path / "a.png", verdicts=verdicts)
    check_png(tmp_path / "a.png")
    monkeypatch.setattr(latency_figure, "save", lambda figure, path: kept.append(figure))
    for told in (verdicts, {}):
        latency_figure.plot_latency(LATENCY["cpu"], None, verdicts=told)
    shown, plain = ([entry.get_text() for box in one.legends for entry in box.texts] for one in kept)
    # What did not run has no mark, so "fails" is no entry.
    told = ["source", "99.9 %?", "99 %", "not checked", "(?: too few images to tell)"]
    assert shown == [*plain, "Share of AP kept:", *told]
    marks = [line for line in kept[0].axes[0].lines if line.get_xdata()[0] < 0]
    shapes = style.TIER_SHAPES
    assert [line.get_marker() for line in marks] == [
        shapes[tier] for tier in ("source", "99 %", "not checked", "99.9 %")
    ]
    assert [line.get_markerfacecolor() for line in marks][1::2] == ["black", "white"], (
        "hollow: cannot be told"
    )
    style.plt.close("all")


def test_rows_without_a_result_stand_together_by_reason(monkeypatch):
    kept = []
    monkeypatch.setattr(latency_figure, "save", lambda figure, path: kept.append(figure))
    records = [
        fake_latency("pytorch_full_cpu"),
        fake_latency("pytorch_full_gpu", False, reason="no CUDA device"),
        fake_latency("onnx_full_cpu"),
        fake_latency("onnx_full_gpu", False, reason="no CUDA device"),
        fake_latency("tensorrt_full_fp16", False, reason="no TensorRT"),
    ]
    latency_figure.plot_latency(records, None)
    texts = [text.get_text().replace("\u00a0", " ") for text in kept[0].axes[0].texts]
    assert "not run: no CUDA device\nPyTorch Full GPU · ONNX Full GPU" in texts and "2 rows" in texts
    assert "not run: no TensorRT" in texts and "TensorRT Full FP16" in texts
    assert "PyTorch Full GPU" not in texts, "no line of its own"

    several = [fake_latency(name, False, reason="none") for name in BENCHMARKS if "full_gpu" in name]
    latency_figure.plot_latency([*records[:1], *several], None)
    (names,) = [text.get_text() for text in kept[1].axes[0].texts if "not run: none" in text.get_text()]
    lines = names.replace("\u00a0", " ").splitlines()[1:]
    assert len(lines) > 1 and all(line.endswith(" ·") for line in lines[:-1]) and not lines[-1].endswith("·")
    assert " ".join(lines).split(" · ") == [record["title"] for record in several]
    style.plt.close("all")


def test_the_same_data_give_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        latency_figure.plot_latency(LATENCY["one"], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


# ------------------------------------------------------------------------------------------------ drawing


def person(image_id=1, x=40, y=30, width=50, height=120, box_score=0.9, keypoint_score=0.8) -> dict:
    """An invented COCO result: 17 keypoints spread over the box."""
    generator = np.random.default_rng(7)
    points = generator.uniform((x, y), (x + width, y + height), (17, 2))
    keypoints = np.column_stack([points, np.full(17, keypoint_score)]).ravel().tolist()
    box = [x, y, width, height]
    return {
        "image_id": image_id,
        "category_id": 1,
        "bbox": box,
        "keypoints": keypoints,
        "box_score": box_score,
    }


GREY = np.full((200, 300, 3), 128, np.uint8)


def test_persons_are_drawn_on_a_copy():
    before = GREY.copy()
    drawn = draw.draw_persons(GREY, [person(), person(x=180)])
    assert (before == GREY).all()
    assert drawn.shape == GREY.shape and drawn.dtype == np.uint8
    for colour in draw.COLOURS[:2]:
        assert (drawn == colour).all(axis=2).sum() > 100
    assert (draw.draw_persons(GREY, []) == GREY).all()


def test_unsure_keypoints_are_left_out():
    sure = draw.draw_persons(GREY, [person()], scores=False)
    unsure = draw.draw_persons(GREY, [person(keypoint_score=0.2)], keypoint_thr=0.2, scores=False)
    assert (unsure != GREY).any()  # the box
    assert (unsure[34:146, 44:86] == 128).all()  # and nothing in it
    assert (sure[34:146, 44:86] != 128).any()


@pytest.mark.parametrize(
    "bad",
    [
        {"bbox": [-50, -50, 900, 900]},
        {"bbox": [290, 190, 1e12, 5]},
        {"keypoints": [float("nan"), 5, 1] * 17},
        {"keypoints": [1e12, -1e12, 1] * 17},
        {"box_score": None},
    ],
)
def test_what_lies_outside_the_image_does_no_harm(bad):
    assert draw.draw_persons(GREY, [person() | bad]).shape == GREY.shape


def test_scaling_a_person():
    small = draw.scale_person(person(), 0.5, 0.25)
    assert small["bbox"] == [20, 7.5, 25, 30]
    assert small["keypoints"][2::3] == person()["keypoints"][2::3]
    assert small["keypoints"][0] == pytest.approx(person()["keypoints"][0] / 2)
    assert small["keypoints"][1] == pytest.approx(person()["keypoints"][1] / 4)


def test_a_colour_follows_the_annotated_person():
    boxes = np.array([[40, 30, 90, 150], [180, 30, 230, 150]], np.float32)
    stranger = person(x=240, y=5, width=20, height=20)
    assert grids._colours([person(x=182), stranger, person(x=41), person(x=42)], boxes) == [1, 2, 0, 3]
    assert grids._colours([person()], np.zeros((0, 4), np.float32)) == [0]


# -------------------------------------------------------------------------------------------------- grids


@pytest.fixture
def dataset(tmp_path):
    """Eight invented images of several shapes; image 5 has three persons, image 8 has none."""
    generator = np.random.default_rng(3)
    images, annotations = [], []
    for number in range(1, 9):
        width, height = (240, 320) if number % 3 == 0 else (320, 240)
        name = f"{number:012}.jpg"
        pixels = generator.integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.resize(pixels, (width, height)))
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for column in range({5: 3, 8: 0}.get(number, 1)):
            box = [20 + 70 * column, 30, 50, 120]
            annotations.append(
                {"image_id": number, "category_id": 1, "iscrowd": 0, "bbox": box, "num_keypoints": 17}
            )
    return tmp_path, images, {"images": images, "annotations": annotations}


def predict(folder, conditions) -> list:
    """Invented predictions: each image has one sure and one unsure person."""
    paths = []
    for name in conditions:
        found = [person(number, 22) for number in range(1, 9)]
        found += [person(number, 150, box_score=0.3) for number in range(1, 9)]
        paths.append(folder / name / "detected.json")
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(json.dumps(found))
    return paths


def scenes_of(dataset, conditions, ids):
    folder, _, annotations = dataset
    return grids.Scenes(
        folder, annotations, grids.read_predictions(predict(folder, conditions), ids), 1, 0.5, 0.2
    )


def test_the_default_scene_has_three_persons(dataset):
    folder, images, annotations = dataset
    assert grids.choose_scene(images, annotations, folder)["id"] == 5
    assert grids.choose_scene(images[:4], annotations, folder)["id"] == 1
    assert grids.choose_scene(images, annotations, folder, "000000000003.jpg")["id"] == 3


def test_the_default_images_are_spread_over_the_set(dataset):
    folder, images, annotations = dataset
    scene = images[4]
    chosen = grids.choose_images(images, annotations, folder, scene)
    assert [entry["id"] for entry in chosen] == [1, 3, 6, 7]
    assert [entry["id"] for entry in grids.choose_images(images[:2], annotations, folder, images[0])] == [2]
    assert grids.choose_images(images[:1], annotations, folder, images[0]) == []
    named = grids.choose_images(images, annotations, folder, scene, ["000000000008.jpg"])
    assert [entry["id"] for entry in named] == [8]


def test_unreadable_images_are_not_chosen(dataset):
    folder, images, annotations = dataset
    for number in (1, 5):
        (folder / f"{number:012}.jpg").write_bytes(b"no image")
    scene = grids.choose_scene(images, annotations, folder)
    assert scene["id"] == 2
    assert [entry["id"] for entry in grids.choose_images(images, annotations, folder, scene)] == [3, 4, 6, 7]


def test_an_unknown_image_is_named_with_the_nearest_one(dataset):
    folder, images, annotations = dataset
    message = r"grids\.scene: 00000000000\.jpg is not a person image \(did you mean '0000000000"
    with pytest.raises(PoseGaugeError, match=message):
        grids.choose_scene(images, annotations, folder, "00000000000.jpg")
    with pytest.raises(PoseGaugeError, match=r"grids\.images: nothing"):
        grids.choose_images(images, annotations, folder, images[0], ["nothing"])


def test_only_persons_above_the_threshold_are_counted_and_drawn(dataset):
    scenes = scenes_of(dataset, ["clean"], {1, 2})
    assert set(scenes.predictions["clean"]) == {1, 2}
    tile, caption = grids.draw_tile(scenes, dataset[1][0], "clean", 160, 120)
    assert tile.shape == (120, 160, 3) and tile.dtype == np.uint8
    assert caption == "1 person · confidence 0.80"
    scenes.predictions["clean"].clear()
    assert grids.draw_tile(scenes, dataset[1][0], "clean", 160, 120)[1] == "no person found"


def test_a_folder_that_is_no_condition_is_named(tmp_path):
    with pytest.raises(PoseGaugeError, match=r"'noise_hevy' is no condition.*did you mean 'noise_heavy'"):
        grids.read_predictions([tmp_path / "noise_hevy" / "detected.json"], {1})


@pytest.mark.parametrize("count", [0, 1, 2, 4, 9])
def test_grids_of_any_number_of_conditions(dataset, tmp_path, count):
    _, images, _ = dataset
    scenes = scenes_of(dataset, list(STUDY_CONDITIONS)[:count], {1, 2, 3, 5, 6})
    text = ("Fake-m on fakes", "An invented notice. " * 12)
    grids.draw_condition_grid(tmp_path / "conditions.jpg", scenes, images[4], *text)
    grids.draw_image_grid(tmp_path / "images.jpg", scenes, [images[i] for i in (0, 1, 2, 5)], *text)
    for name in ("conditions.jpg", "images.jpg"):
        picture = cv2.imread(str(tmp_path / name))
        assert picture.shape[1] == grids.WIDTH and picture.shape[0] > 300
        assert (picture[:, -5:] > 240).all()
        assert (tmp_path / name).stat().st_size <= grids.MAX_BYTES


def test_the_image_grid_without_images_says_so(dataset, tmp_path):
    grids.draw_image_grid(tmp_path / "a.jpg", scenes_of(dataset, ["clean"], set()), [])
    assert cv2.imread(str(tmp_path / "a.jpg")).shape[1] == grids.WIDTH


def corruption_grid(dataset, path, names, seed=1):
    folder, images, _ = dataset
    text = ("Fake-m on fakes", "An invented notice. " * 12)
    grids.draw_corruption_grid(path, folder, images[4], names, seed, *text)
    return cv2.imread(str(path))


def test_a_row_per_corruption_and_a_column_per_severity(dataset, tmp_path, monkeypatch):
    """The corrupted picture is replaced by a plain one, whose grey level tells the condition."""
    names = ["coco_c_fog_2", "coco_c_fog_5", "coco_c_snow_2", "coco_c_snow_5"]
    greys = dict(zip(names, (40, 80, 120, 160), strict=True))
    asked = []

    def plain(condition, image, seed, image_id):
        asked.append((condition, seed, image_id))
        return np.full_like(image, greys[condition])

    monkeypatch.setattr(grids.corruptions, "apply", plain)
    picture = corruption_grid(dataset, tmp_path / "a.jpg", names, seed=9)
    assert asked == [(name, 9, 5) for name in names]
    # The middle of the patch of each level.
    places = {
        name: np.median(np.argwhere((picture == grey).all(axis=2)), axis=0) for name, grey in greys.items()
    }
    (y2, x2), (y5, x5), (below_y, below_x) = (places[name] for name in names[:3])
    assert y2 == pytest.approx(y5, abs=2) and x2 + 100 < x5
    assert below_x == pytest.approx(x2, abs=2) and below_y > y2 + 100


@pytest.mark.parametrize("count", [0, 1, 7, len(COCO_C_CONDITIONS)])
def test_the_corruption_grid_of_any_number_of_conditions(dataset, tmp_path, monkeypatch, count):
    if count > 7:  # the real ones take seconds
        monkeypatch.setattr(grids.corruptions, "apply", lambda name, image, seed, image_id: image)
    picture = corruption_grid(dataset, tmp_path / "a.jpg", list(COCO_C_CONDITIONS)[:count])
    assert picture.shape[1] == grids.WIDTH and picture.shape[0] > 300
    assert (picture[:, -5:] > 240).all()
    assert (tmp_path / "a.jpg").stat().st_size <= grids.MAX_BYTES


def test_the_corruption_grid_is_the_same_every_time(dataset, tmp_path):
    one, again, other = (
        corruption_grid(dataset, tmp_path / "a.jpg", ["coco_c_gaussian_noise_3"], seed) for seed in (1, 1, 2)
    )
    assert (one == again).all() and (one != other).any()
