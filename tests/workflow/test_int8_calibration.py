"""What sets the ranges of INT8: what is planned, refused before the first job, and fetched."""

import hashlib
import io
import json
import shutil
import zipfile

import pytest
import yaml
from test_full_path import CHECKPOINTS, ROOT, archive
from test_plan import jobs

from helpers_http import FileServer
from posegauge.data.archives import ANNOTATIONS_MEMBER
from posegauge.data.calibration import TRAIN_ANNOTATIONS_MEMBER, TRAIN_ARCHIVE, TRAIN_IMAGES_PREFIX
from posegauge.data.scenes.scenes import write_scenes

DEMO = ("config/demo.yaml",)
INT8 = "results/x/models/pose_int8.onnx"
FETCHED = {"extract_calibration", "extract_calibration_images"}


@pytest.fixture(scope="module")
def repository(session_workspace):
    workspace = session_workspace("int8")
    for name, count, seed in (("own", 5, 3), ("scored", 3, 4)):
        write_scenes(
            workspace.path / name / "images", workspace.path / name / "annotations.json", count, 0, seed
        )
    return workspace


def plan(repository, target=INT8, configs=(), check=True, **config) -> str:
    repository.write("int8.yaml", yaml.safe_dump({"run": "x", **config}))
    return repository.snakemake(target, configs=(*configs, "int8.yaml"), options=("-n",), check=check).stdout


def own(name="own") -> dict:
    return {"images": f"{name}/images", "annotations": f"{name}/annotations.json"}


def folder(name="scored") -> dict:
    return {"kind": "folder", "name": "mine", "expected_person_images": None, **own(name)}


@pytest.mark.parametrize(
    ("configs", "config", "made_by"),
    [
        ((), {}, FETCHED),
        ((), {"precision": {"calibration": "scenes"}}, {"render_calibration"}),
        (DEMO, {}, {"render_calibration"}),
        (DEMO, {"precision": {"calibration": "train2017"}}, FETCHED),
        ((), {"dataset": folder()}, {"render_calibration"}),
        ((), {"dataset": folder(), "precision": {"calibration": own()}}, {"choose_calibration"}),
        ((), {"dataset": folder(), "precision": {"calibration": "dataset"}}, set()),
    ],
)
def test_what_is_brought_to_set_the_ranges(repository, configs, config, made_by):
    output = plan(repository, configs=configs, **config)
    assert {job for job in jobs(output) if "calibration" in job} == made_by
    assert "convert_model" in jobs(output)


def test_the_archive_of_19_gb_is_never_planned(repository):
    whole = repository.snakemake("download_assets", options=("-n",)).stdout
    assert "Fetch val2017.zip" in whole and TRAIN_ARCHIVE not in whole
    for target in (INT8, "all"):
        assert f"Fetch {TRAIN_ARCHIVE}" not in plan(repository, target)
    assert "MissingRule" in plan(repository, f"data/downloads/{TRAIN_ARCHIVE}", check=False)


def test_a_mirror_without_images_of_train2017_is_refused_before_the_first_job(repository):
    mirror = repository.path / "a mirror"
    mirror.mkdir()
    told = plan(repository, check=False, asset_mirror="a mirror")
    for words in (
        f"{TRAIN_ARCHIVE}: cannot be fetched",
        "no such file in the mirror",
        "precision.calibration: scenes",
    ):
        assert words in told, words
    assert "Job stats" not in told
    (mirror / f"{TRAIN_ARCHIVE}.members").mkdir()
    assert set(jobs(plan(repository, asset_mirror="a mirror"))) >= FETCHED
    (mirror / f"{TRAIN_ARCHIVE}.members").rmdir()
    plan(repository, asset_mirror="a mirror", precision={"calibration": "scenes"})


def test_a_run_without_int8_fetches_nothing_for_it(repository):
    assert not FETCHED & set(jobs(plan(repository, "all", configs=("config/sample.yaml",))))
    assert set(jobs(plan(repository, "all", benchmarks=["onnx_int8_full_cpu"]))) >= FETCHED


def test_images_of_the_users_are_refused_before_the_first_job(repository):
    images = repository.path / "own/images"
    first = sorted(images.glob("*.jpg"))[0]
    content = first.read_bytes()
    first.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    wrong = {"dataset": folder(), "precision": {"calibration": own()}}
    told = plan(repository, check=False, **wrong)
    assert (
        f"precision.calibration: own/images: 1 of 5 images: HEIC/HEIF, which is not read: {first.name}"
        in told
    )
    assert "Job stats" not in told
    first.write_bytes(content)
    wrong["precision"]["calibration"] = own("scored")
    told = plan(repository, check=False, **wrong)
    assert "precision.calibration: scored/images: calibration and scores would share images: 3 are" in told
    assert "Job stats" not in told
    wrong["precision"]["calibration"] = {"images": "own/images"}
    assert "precision.calibration.annotations: is missing" in plan(repository, check=False, **wrong)
    assert "Job stats" in plan(repository, dataset=folder(), precision={"calibration": own()})


def test_images_of_the_users_are_chosen_evenly_and_again_when_one_changes(repository):
    listed = "data/mine/calibration_folder/person_images.json"
    configs = (*DEMO, "chosen.yaml")
    chosen = {"precision": {"calibration": own(), "calibration_images": 2}, "dataset": folder()}
    repository.write("chosen.yaml", yaml.safe_dump(chosen))
    repository.snakemake(listed, configs=configs)
    names = [image["file_name"] for image in json.loads((repository.path / listed).read_text())["images"]]
    whole = sorted(path.name for path in (repository.path / "own/images").glob("*.jpg"))
    assert names == [whole[1], whole[3]]
    assert "Nothing to be done" in repository.snakemake(listed, configs=configs, options=("-n",)).stdout
    (repository.path / "own/images" / whole[0]).touch()
    assert "choose_calibration" in repository.snakemake(listed, configs=configs, options=("-n",)).stdout


def test_rendered_scenes_that_are_scored_are_refused_by_the_job(repository):
    """They are not there before the first job, as those of COCO are not."""
    dataset = {
        "scenes": {"images": 3, "empty": 0},
        "expected_person_images": None,
        "max_images": None,
        "name": "three",
    }
    repository.write("three.yaml", yaml.safe_dump({"dataset": dataset}))
    repository.snakemake("data/three/person_images.json", configs=(*DEMO, "three.yaml"))
    shutil.copytree(repository.path / "data/three/images", repository.path / "copy/images")
    shutil.copyfile(
        repository.path / "data/three/annotations.json", repository.path / "copy/annotations.json"
    )
    repository.write(
        "three.yaml", yaml.safe_dump({"dataset": dataset, "precision": {"calibration": own("copy")}})
    )
    listed = "data/three/calibration_folder/person_images.json"
    done = repository.snakemake(listed, configs=(*DEMO, "three.yaml"), check=False)
    assert done.returncode != 0 and not (repository.path / listed).exists()
    log = (repository.path / "data/three/logs/choose_calibration.log").read_text()
    assert "calibration and scores would share images: 3 are also images of the data set" in log


# ------------------------------------------------------------------------------------------- COCO train2017


def coco(folder) -> tuple[dict, dict]:
    """({file: bytes} of a small COCO with both its parts, {file name: bytes} of its train images)."""
    parts = {}
    for part, count, empty, seed in (("val2017", 4, 1, 5), ("train2017", 9, 3, 6)):
        write_scenes(folder / part, folder / f"{part}.json", count, empty, seed)
        # COCO's names are those of one set.
        first = {"val2017": "0", "train2017": "1"}[part]
        paths = sorted((folder / part).glob("*.jpg"))
        parts[part] = {f"{part}/{first}{path.name[1:]}": path.read_bytes() for path in paths}
    train = json.loads((folder / "train2017.json").read_text())
    for image in train["images"]:
        image["file_name"] = f"1{image['file_name'][1:]}"
    served = {
        "val2017.zip": archive(parts["val2017"]),
        TRAIN_ARCHIVE: archive(parts["train2017"]),
        "annotations_trainval2017.zip": archive(
            {
                ANNOTATIONS_MEMBER: (folder / "val2017.json").read_bytes(),
                TRAIN_ANNOTATIONS_MEMBER: json.dumps(train).encode(),
            }
        ),
        **{file: (ROOT / "data/demo" / file).read_bytes() for file in CHECKPOINTS.values()},
    }
    return served, {name.removeprefix(TRAIN_IMAGES_PREFIX): part for name, part in parts["train2017"].items()}


def table(workspace, server, served) -> None:
    """Write a table of downloads with these files alone."""
    head = ["name", "file", "url", "sha256", "bytes", "note", "members"]
    rows = [
        [file, file, f"{server.url}/{file}", hashlib.sha256(content).hexdigest(), len(content), "test", ""]
        for file, content in served.items()
    ]
    lines = ["\t".join(map(str, row)) for row in [head, *rows]]
    workspace.write("config/downloads.tsv", "\n".join(lines) + "\n")


def test_from_the_server_to_the_file_in_int8(workspace, tmp_path):
    served, photographs = coco(tmp_path)
    models = yaml.safe_load((workspace.path / "config/demo.yaml").read_text())["models"]
    for role, file in CHECKPOINTS.items():
        models[role]["checkpoint"] = f"data/downloads/{file}"
    mine = {
        "run": "x",
        "dataset": {"expected_person_images": None, "max_images": 2},
        "models": models,
        "precision": {"calibration_images": 3},
    }
    workspace.write("mine.yaml", yaml.safe_dump(mine))
    configs = ("config/sample.yaml", "mine.yaml")
    folder = workspace.path / "data/coco-val2017-sample"
    with FileServer(served, honour_range=False) as server:
        table(workspace, server, served)
        # A server that does not send parts: the annotations come whole, the 19 GB do not.
        done = workspace.snakemake("extract_calibration_images", configs=configs, cores=1, check=False)
        assert done.returncode != 0 and not (folder / "calibration_train2017/images").exists()
        log = (folder / "logs/extract_calibration_images.log").read_text()
        assert "this archive is never fetched as a whole" in log and "asset_mirror" in log
        assert "set precision.calibration: scenes" in log and "{images: ..., annotations: ...}" in log
        assert server.count[TRAIN_ARCHIVE] == 1
        shutil.rmtree(workspace.path / "data/downloads")
        shutil.rmtree(folder)
        server.honour_range, server.requests = True, []
        workspace.snakemake(INT8, configs=configs, cores=1)
    chosen = json.loads((folder / "calibration_train2017/person_images.json").read_text())["images"]
    names = [image["file_name"] for image in chosen]
    assert len(names) == 3 and set(names) <= set(photographs)
    fetched = {
        path.name: path.read_bytes() for path in (folder / "calibration_train2017/images").glob("*.jpg")
    }
    assert fetched == {name: photographs[name] for name in names}
    record = json.loads((workspace.path / INT8).with_suffix(".json").read_text())["calibration"]
    assert record["from"] == "train2017" and record["images"] == names and record["in_parity"] == 0
    persons = json.loads((folder / "calibration_train2017/annotations.json").read_text())["annotations"]
    ids = {image["id"] for image in chosen}
    assert record["samples"] == sum(person["image_id"] in ids for person in persons)
    # Only parts were asked for, each image once; no image of val2017 at all.
    parts = [request for request in server.requests if request.path.endswith(".zip")]
    assert all(request.range for request in parts) and server.count["val2017.zip"] == 0
    assert server.count[TRAIN_ARCHIVE] == 1 + len(names)
    downloads = workspace.path / "data/downloads"
    assert not any((downloads / name).exists() for name in (TRAIN_ARCHIVE, "annotations_trainval2017.zip"))
    # Another number of them needs no more than the images that are new.
    assert sorted(
        path.name for path in (downloads / f"{TRAIN_ARCHIVE}.members/train2017").iterdir()
    ) == sorted(names)
    with zipfile.ZipFile(io.BytesIO(served["annotations_trainval2017.zip"])) as opened:
        kept = downloads / "annotations_trainval2017.zip.members" / TRAIN_ANNOTATIONS_MEMBER
        assert kept.read_bytes() == opened.read(TRAIN_ANNOTATIONS_MEMBER)
