"""Faults that happen: killed runs, damaged files, data that does not fit. Nothing half-written is used."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from posegauge.data.keypoint_names import NAMES
from posegauge.report import robustness
from posegauge.report.records import Run

SMALL = ("config/demo.yaml", "tests/config/small.yaml")
POSE = "results/small/models/pose.onnx"
# Other code in the library would run the earlier rules again, too.
BY_TIME = ("--rerun-triggers", "mtime")
CLEAN = "results/small/predictions/clean/detected.json"
LISTED = "data/scenes-demo/person_images.json"


@pytest.fixture(scope="module")
def prepared(session_workspace):
    """A workspace with scenes, their list and ONNX files, so that faults meet the later rules."""
    workspace = session_workspace("faults")
    workspace.snakemake("results/small/models/detector.onnx", POSE, LISTED, configs=SMALL)
    return workspace


def fresh(workspace) -> None:
    """Remove predictions and scores, keep scenes and models."""
    for folder in ("predictions", "robustness", "parity"):
        shutil.rmtree(workspace.path / "results" / "small" / folder, ignore_errors=True)


@contextlib.contextmanager
def changed(path, content: bytes):
    """Change a file behind Snakemake's back: with the same time, so that nothing is made again for it."""
    whole, times = path.read_bytes(), path.stat()
    assert content != whole

    def write(new):
        path.write_bytes(new)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    write(content)
    try:
        yield
    finally:
        write(whole)


def test_killed_in_the_middle_of_a_rule_it_finishes_when_run_again(prepared):
    fresh(prepared)
    # Slow enough to be killed between two images, whatever the machine.
    module = prepared.path / "workflow/scripts/posegauge/predict/sweep.py"
    slow = module.read_text().replace(
        '        image_id = entry["id"]\n',
        '        image_id = entry["id"]\n'
        "        print('napping', flush=True)\n"
        "        __import__('time').sleep(30)\n",
    )
    log = prepared.path / "results/small/logs/predict_clean.log"
    log.unlink(missing_ok=True)
    with changed(module, slow.encode()):
        process = subprocess.Popen(
            prepared.command("predict_clean", configs=SMALL, options=BY_TIME),
            cwd=prepared.path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not (log.exists() and "napping" in log.read_text()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (prepared.path / CLEAN).exists()
    # What `make` calls: it also clears the lock that a killed Snakemake leaves.
    done = subprocess.run(
        [sys.executable, "workflow/run.py", "--cores", "2", "predict_clean", "--configfile", *SMALL],
        cwd=prepared.path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads((prepared.path / CLEAN).read_text())) > 0


def test_a_killed_job_leaves_no_half_file(prepared):
    fresh(prepared)
    module = prepared.path / "workflow/scripts/posegauge/store/files.py"
    # The process dies after half of the file has been written.
    deadly = module.read_text().replace(
        '        temporary.write_text(text, encoding="utf-8")',
        "        temporary.write_text(text[: len(text) // 2])\n        os.kill(os.getpid(), 9)",
    )
    with changed(module, deadly.encode()):
        done = prepared.snakemake("predict_clean", configs=SMALL, options=BY_TIME, check=False)
    assert done.returncode != 0
    assert not (prepared.path / CLEAN).exists()
    prepared.snakemake("predict_clean", configs=SMALL)
    assert len(json.loads((prepared.path / CLEAN).read_text())) > 0


def test_a_corrupt_image_is_named_or_counted(prepared):
    fresh(prepared)
    listed = json.loads((prepared.path / LISTED).read_text())["images"]
    image = prepared.path / "data/scenes-demo/images" / listed[2]["file_name"]
    half = image.read_bytes()[: image.stat().st_size // 2]
    skip = {
        "suites": ["study"],
        "conditions": ["clean"],
        "benchmarks": ["onnx_pose_cpu"],
        "dataset": {"unreadable": "skip"},
        "detect_every": {"clip": None, "annotations": None},
        "video": {"input": None},
    }
    prepared.write("skip.yaml", yaml.safe_dump(skip))
    with changed(image, half):
        done = prepared.snakemake("predict_clean", configs=SMALL, check=False)
        assert done.returncode != 0
        assert listed[2]["file_name"] in done.stdout and "dataset.unreadable: skip" in done.stdout
        assert "Traceback" not in (prepared.path / "results/small/logs/predict_clean.log").read_text()
        assert not (prepared.path / CLEAN).exists()
        prepared.snakemake("make_tables", configs=(*SMALL, "skip.yaml"))
    run = Run.of_folder(prepared.path / "results/small")
    table = robustness.table(run)
    row = table.iloc[0]
    assert (row.images, row.unreadable) == (5, 1)
    assert listed[2]["file_name"] in robustness.text(table, run)
    assert {one["images"] for one in run.parity if one["status"] == "ok"} == {5}


def test_faults_of_annotations_are_told_before_any_job(workspace):
    folder = workspace.path / "mine"
    folder.mkdir()
    category = {"id": 1, "name": "person", "keypoints": list(NAMES), "skeleton": []}
    image = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 100}
    person = {"image_id": 1, "category_id": 1, "area": 900, "keypoints": [20, 20, 2] * 17}
    persons = [{**person, "id": 1, "bbox": [10, 10, 30]}, {**person, "id": 2, "iscrowd": "perhaps"}]
    (folder / "a.json").write_text(
        json.dumps({"images": [image], "annotations": persons, "categories": [category]})
    )
    dataset = {
        "kind": "folder",
        "name": "mine",
        "images": "mine",
        "annotations": "mine/a.json",
        "expected_person_images": None,
    }
    workspace.write("mine.yaml", yaml.safe_dump({"dataset": dataset, "video": {"input": None}}))
    done = workspace.snakemake("-n", configs=("config/demo.yaml", "mine.yaml"), check=False)
    assert done.returncode != 0
    for told in (
        "mine/a.json: 1 annotation: expected 4 numbers",
        "'iscrowd' must be 0 or 1",
        "mine lacks 1 of",
    ):
        assert told in done.stdout, told
    # What does not need them is not held up.
    workspace.snakemake("results/demo/models/pose.onnx", "-n", configs=("config/demo.yaml", "mine.yaml"))


def test_another_number_of_person_images_is_an_error(prepared):
    dataset = {
        "kind": "folder",
        "name": "counted",
        "images": "data/scenes-demo/images",
        "annotations": "data/scenes-demo/annotations.json",
        "expected_person_images": 2693,
    }
    prepared.write("count.yaml", yaml.safe_dump({"dataset": dataset}))
    done = prepared.snakemake("filter_person_images", configs=(*SMALL, "count.yaml"), check=False)
    assert done.returncode != 0
    assert "2693" in done.stdout and "40" in done.stdout


def test_a_mirror_without_the_file_names_the_ways_out(workspace):
    (workspace.path / "mirror").mkdir()
    done = workspace.snakemake(
        "data/downloads/val2017.zip", options=("--config", "asset_mirror=mirror"), check=False
    )
    assert done.returncode != 0
    for words in ("val2017.zip", "mirror", "asset_mirror", "make demo"):
        assert words in done.stdout, words
    assert not (workspace.path / "data/downloads/val2017.zip").exists()


def test_a_checkpoint_of_another_model_is_refused(prepared):
    prepared.write(
        "swapped.yaml", "run: swapped\nmodels: {pose: {checkpoint: data/demo/rtmdet_nano_demo.pth}}\n"
    )
    swapped = POSE.replace("small", "swapped")
    done = prepared.snakemake(swapped, configs=(*SMALL, "swapped.yaml"), check=False)
    assert done.returncode != 0
    assert "data/demo/rtmdet_nano_demo.pth does not fit" in done.stdout
    assert not (prepared.path / swapped).exists()
