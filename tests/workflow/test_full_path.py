"""The path of `make sample`, from the web server to the predictions, on archives laid out like COCO's.

The archives hold real photographs of COCO where there are some, or else rendered scenes; the checkpoints are
the demo's: this shows the path, not the study.
"""

import hashlib
import io
import json
import zipfile

import cv2
import pytest
import yaml

from conftest import REAL, ROOT
from helpers_http import FileServer
from posegauge.data.archives import ANNOTATIONS_MEMBER
from posegauge.data.scenes.scenes import write_scenes

CHECKPOINTS = {"detector": "rtmdet_nano_demo.pth", "pose": "rtmpose_t_demo.pth"}
ARCHIVES = ("annotations_trainval2017.zip", "val2017.zip")


def archive(members: dict) -> bytes:
    """Return a zip file of {name: bytes}."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def served(tmp_path):
    """{file: bytes} of a small COCO."""
    images, annotations = REAL / "coco/val2017", REAL / "coco" / ANNOTATIONS_MEMBER
    if not annotations.is_file():
        images, annotations = tmp_path / "val2017", tmp_path / "annotations.json"
        write_scenes(images, annotations, count=8, empty=1, seed=5)
    pictures = {f"val2017/{path.name}": path.read_bytes() for path in sorted(images.glob("*.jpg"))}
    return {
        "val2017.zip": archive({"val2017/": b"", **pictures}),
        "annotations_trainval2017.zip": archive(
            {
                "annotations/instances_val2017.json": b"{}",
                ANNOTATIONS_MEMBER: annotations.read_bytes(),
            }
        ),
        **{file: (ROOT / "data/demo" / file).read_bytes() for file in CHECKPOINTS.values()},
    }


def test_from_the_server_to_the_predictions(workspace, served):
    demo = yaml.safe_load((workspace.path / "config/demo.yaml").read_text())
    models = demo["models"]
    for role, file in CHECKPOINTS.items():
        models[role]["checkpoint"] = f"data/downloads/{file}"
    mine = {
        "run": "full-path",
        "dataset": {"expected_person_images": None, "max_images": 3},
        "models": models,
        "robustness": {"runtime": "pytorch"},
    }
    workspace.write("mine.yaml", yaml.safe_dump(mine))
    with zipfile.ZipFile(io.BytesIO(served["annotations_trainval2017.zip"])) as opened:
        annotations = opened.read(ANNOTATIONS_MEMBER)
    pin = f"{ANNOTATIONS_MEMBER}={hashlib.sha256(annotations).hexdigest()}"
    # The first answers break off, of whatever job Snakemake begins with.
    with FileServer(served, break_after=[100_000] * 8) as server:
        rows = [
            [
                file,
                file,
                f"{server.url}/{file}",
                hashlib.sha256(content).hexdigest(),
                len(content),
                "test",
                pin,
            ]
            for file, content in served.items()
        ]
        header = ["name", "file", "url", "sha256", "bytes", "note", "members"]
        lines = ["\t".join(map(str, row)) for row in [header, *rows]]
        workspace.write("config/downloads.tsv", "\n".join(lines) + "\n")
        workspace.snakemake("predict_clean", configs=("config/sample.yaml", "mine.yaml"), cores=1)
    folder = workspace.path / "data/coco-val2017-sample"
    assert (folder / "annotations.json").read_bytes() == annotations
    listed = json.loads((folder / "person_images.json").read_text())
    shown = {entry["image_id"] for entry in json.loads(annotations)["annotations"]}
    first = sorted(i["file_name"] for i in json.loads(annotations)["images"] if i["id"] in shown)[:3]
    assert [image["file_name"] for image in listed["images"]] == first
    assert sorted(path.name for path in (folder / "images").glob("*.jpg")) == first
    assert all(cv2.imread(str(folder / "images" / name)) is not None for name in first)
    record = json.loads((workspace.path / "results/full-path/predictions/clean/record.json").read_text())
    assert len(record["images"]) == 3
    used = record["provenance"]["artifacts"]["pose"]
    assert used["file"] == f"data/downloads/{CHECKPOINTS['pose']}"
    assert used["sha256"] == hashlib.sha256(served[CHECKPOINTS["pose"]]).hexdigest()
    # The archives were asked for parts alone, and for little more than these three images.
    assert all(request.range for request in server.requests if request.path in ARCHIVES)
    assert not any((workspace.path / "data/downloads" / file).exists() for file in ARCHIVES)
    needed = sum((folder / "images" / name).stat().st_size for name in first)
    assert sum(r.sent for r in server.requests if r.path == "val2017.zip") < needed + 80_000
    # What was broken off was resumed: no byte of a checkpoint came twice.
    for file in CHECKPOINTS.values():
        assert sum(r.sent for r in server.requests if r.path == file) == len(served[file])
    # Some of the eight may be small parts of an archive, which end before.
    assert len([request for request in server.requests if request.sent == 100_000]) >= 3


def test_unreachable_files_are_named_with_the_ways_out(workspace):
    table = (workspace.path / "config/downloads.tsv").read_text()
    # A port of this machine where nobody answers, in place of the servers.
    workspace.write(
        "config/downloads.tsv",
        table.replace("http://images.cocodataset.org", "http://127.0.0.1:9").replace(
            "https://download.openmmlab.com", "http://127.0.0.1:9"
        ),
    )
    done = workspace.snakemake("filter_person_images", check=False)
    assert done.returncode != 0
    log = (workspace.path / "data/downloads/logs/annotations_trainval2017.zip.log").read_text()
    for words in ("annotations_trainval2017.zip", "127.0.0.1:9", "asset_mirror", "make demo"):
        assert words in log, words
    assert log.count("Error") == 1 and "Traceback" not in log
