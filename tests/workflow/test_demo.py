"""The demo from nothing to README, in small: every rule runs once."""

import json
import re
import subprocess
import sys

import cv2
import pandas as pd
import pytest
import yaml

from conftest import DEMO_CONFIGS, ROOT
from posegauge.score import tiers
from posegauge.study import BENCHMARKS, PREDICTION_SETS, STUDY_CONDITIONS

SMALL = DEMO_CONFIGS[:2]
ROWS = yaml.safe_load((ROOT / "config/demo.yaml").read_text())["benchmarks"]
COCO_C = [
    f"coco_c_{name}_{severity}" for name in ("impulse_noise", "jpeg_compression") for severity in (1, 5)
]
CHOSEN = [*STUDY_CONDITIONS, *COCO_C]
TABLES = [
    "benchmark",
    "machine",
    "peers",
    "robustness",
    "protocols",
    "accuracy",
    "loss",
    "suites",
    "parity",
    "batches",
    "energy",
    "cameras",
    "detect_every",
]
FIGURES = (
    "latency",
    "peers",
    "robustness",
    "loss",
    "calibration",
    "coco_c",
    "batches",
    "cameras",
    "detect_every",
)
GRIDS = ("conditions", "images", "coco_c")
ROBUSTNESS_COLUMNS = (
    "condition suite images images_detected detection_rate detection_rate_low detection_rate_high "
    "mean_confidence persons_per_image ap ap_low ap_high ap_change ap_distinguishable ap_same_as ece"
)
BENCHMARK_COLUMNS = (
    "benchmark pipeline runtime device precision status reason runs latency_ms_mean latency_ms_p50 "
    "latency_ms_p95 latency_ms_p99 fps speedup speedup_against floor_ms times_floor host_overhead "
    "joules_per_frame power_source energy_reason"
)


def test_says_where_the_results_are(demo):
    assert "Results: results/small/" in demo.output


def test_robustness_table(demo):
    table = pd.read_csv(demo.run / "tables" / "robustness.csv")
    assert set(ROBUSTNESS_COLUMNS.split()) <= set(table.columns)
    assert list(table.condition) == CHOSEN
    assert (table.images == 6).all()
    clean = table.set_index("condition").loc["clean"]
    assert clean.detection_rate >= 0.8 and clean.ap > 0.6
    assert table.set_index("condition").loc["motion_blur_heavy"].ap < clean.ap
    # Six images are too few for a bootstrap: no interval, and the table says why.
    assert table.ap_low.isna().all() and table.ap_high.isna().all()
    assert "6 images" in (demo.run / "tables" / "robustness.md").read_text()


def test_every_table_and_picture_is_there(demo):
    for name in TABLES:
        assert len(pd.read_csv(demo.run / "tables" / f"{name}.csv")), name
        text = (demo.run / "tables" / f"{name}.md").read_text()
        assert text.count("|") > 10 or (name == "energy" and text.startswith("Not measurable here: ")), name


def test_the_loss_is_split_without_a_rest(demo):
    table = pd.read_csv(demo.run / "tables" / "loss.csv").set_index("condition")
    # The last rows are the means of the suites.
    assert list(table.index) == [*CHOSEN, "mean", "mean"]
    assert (table.total_loss - table.pose_loss - table.detector_loss).abs().max() < 1e-9
    assert (table.loc["clean", ["total_loss", "pose_loss", "detector_loss"]] == 0).all()
    assert table.loc["clean", "ap_clean_boxes"] == table.loc["clean", "ap_detected"]
    assert table.loc["low_light_severe", "detector_loss"] > 0


def test_both_protocols_are_told_with_the_fall_back_images(demo):
    table = pd.read_csv(demo.run / "tables" / "protocols.csv").set_index("condition")
    assert list(table.index) == list(STUDY_CONDITIONS)
    difference = table.corrected_detection_rate - table.original_detection_rate
    assert (difference - table.difference_detection_rate).abs().max() < 1e-9
    assert table.loc["motion_blur_heavy", "fallback_images"] > 0
    # Whoever is not found at all is "detected" by the study's protocol.
    assert table.loc["motion_blur_heavy", "difference_detection_rate"] < 0
    study = json.loads((demo.run / "predictions/motion_blur_heavy/original.json").read_text())
    fallen = {entry["image_id"] for entry in study if entry["box_source"] == "whole_image"}
    assert len(fallen) == table.loc["motion_blur_heavy", "fallback_images"]


def test_annotated_boxes_are_those_of_the_annotations(demo):
    annotated = json.loads((demo.run / "predictions/noise_heavy/annotated.json").read_text())
    assert {entry["box_source"] for entry in annotated} == {"annotated"}
    listed = json.loads((demo.path / "data/scenes-demo/person_images.json").read_text())["images"]
    wanted = {entry["id"] for entry in listed}
    persons = json.loads((demo.path / "data/scenes-demo/annotations.json").read_text())["annotations"]
    expected = sorted(
        (p["image_id"], *(round(value, 1) for value in p["bbox"]))
        for p in persons
        if p["image_id"] in wanted and not p["iscrowd"]
    )
    found = sorted((e["image_id"], *(round(value, 1) for value in e["bbox"])) for e in annotated)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=0.11)


def test_the_sweep_was_timed_against_the_original_way(demo):
    sweep = json.loads((demo.run / "throughput.json").read_text())
    assert sweep["kind"] == "throughput"


def test_persons_and_batches_were_timed(demo):
    batches = json.loads((demo.run / "batches.json").read_text())
    on_cpu, on_gpu = batches["artifacts"]
    assert on_cpu["backends"]["pose"]["provider"] == "CPUExecutionProvider"
    assert [(p["series"], p["images"], p["persons"]) for p in on_cpu["points"]] == [
        ("persons", 1, 1), ("persons", 1, 2), ("images", 1, 1), ("images", 2, 1),
    ]  # fmt: skip
    assert all(len(p["turn_ms"]) == 2 for p in on_cpu["points"])
    assert on_gpu["status"] == "ok" or on_gpu["reason"]
    table = pd.read_csv(demo.run / "tables" / "batches.csv")
    assert (table.loc[table.artifact == on_cpu["artifact"], "images_per_s"] > 0).all()


def test_cameras_were_served(demo):
    on_cpu, on_gpu = json.loads((demo.run / "cameras.json").read_text())["artifacts"]
    assert on_cpu["backends"]["pose"]["provider"] == "CPUExecutionProvider"
    (tried,) = on_cpu["tries"]
    (made,) = tried["rounds"]
    assert made["frames"] == 8 == made["dropped"] + len(made["latency_ms"])
    assert on_cpu["streams"] == int(tried["served"]) and made["waiting_most"] <= 2
    assert on_gpu["status"] == "ok" or on_gpu["reason"]


def test_the_detector_on_every_nth_frame_was_timed_and_scored(demo):
    record = json.loads((demo.run / "detect_every" / "onnxruntime_cpu_fp32.json").read_text())
    assert record["film"]["frames"] == record["film"]["annotated_frames"] == 12
    table = pd.read_csv(demo.run / "tables" / "detect_every.csv")
    assert table.detect_every.tolist() == [1, 5, 1, 5] and (table.latency_ms_mean > 0).all()
    ours, theirs = table[table.way == "ours"], table[table.way == "rtmlib"]
    assert ours.detector_frames.tolist()[0] == 12 and 3 <= ours.detector_frames.tolist()[1] < 8
    assert theirs.detector_frames.tolist() == [12, 3]
    assert (ours.ap > 0.15).all() and (theirs.ap_difference > 0).all()
    told = json.loads((demo.run / "findings.json").read_text())
    assert any("every 5th frame" in finding["text"] for finding in told)


def test_benchmark_table(demo):
    table = pd.read_csv(demo.run / "tables" / "benchmark.csv").set_index("benchmark", drop=False)
    assert set(BENCHMARK_COLUMNS.split()) <= set(table.columns)
    assert list(table.index) == ROWS
    on_cpu = [name for name in ROWS if BENCHMARKS[name].artifact.device == "cpu"]
    # INT8 may find other persons on some processors.
    assert set(table.loc[on_cpu, "status"]) <= {"ok", "no result"}
    assert (table.loc[table.status == "not run", "reason"].str.len() > 0).all()
    fp32 = table.loc[on_cpu].query("precision == 'fp32'")
    assert (fp32.status == "ok").all() and (fp32.runs == 5).all()
    assert (fp32.floor_ms > 0).all() and (fp32.times_floor > 0).all()
    # Five runs are too few.
    assert table.latency_ms_p99.isna().all()
    if table.loc["pytorch_full_gpu", "status"] == "not run":
        assert table.loc["onnx_full_cpu", "speedup_against"] == "pytorch_full_cpu"
        assert table.loc["onnx_pose_cpu", "speedup_against"] == "pytorch_pose_cpu"
        assert table.loc["pytorch_full_cpu", "speedup"] == pytest.approx(1)


def test_the_pipeline_was_timed_beside_other_programs(demo):
    record = json.loads((demo.run / "peers/cpu.json").read_text())
    ways = {way["way"]: way for way in record["ways"]}
    assert all(way["status"] == "ok" for way in ways.values()), {
        name: way["reason"] for name, way in ways.items()
    }
    assert all(len(row["latency_ms"]) == record["rounds"] for row in ways["ours"]["rows"])
    assert {row["persons"] for row in ways["mmpose"]["rows"]} == {1, 2}
    # The same networks in the same boxes; the study's way gives them another input.
    assert ways["mmpose"]["agreement"]["px_p95"] < 0.1 < ways["original"]["agreement"]["px_p95"]
    on_gpu = json.loads((demo.run / "peers/cuda.json").read_text())
    assert all(
        way["provider"].startswith("CUDA") if way["status"] == "ok" else way["reason"]
        for way in on_gpu["ways"]
    )


def test_nothing_runs_beside_a_measurement(demo):
    running, seen = {}, 0
    for line in demo.output.splitlines():
        if started := re.match(r"Job (\d+): (.*)", line):
            running[started[1]] = started[2]
            measuring = [what for what in running.values() if re.match("Measure|Time|Annotate", what)]
            assert not measuring or len(running) == 1, running
            seen += len(measuring)
        elif finished := re.match(r"Finished jobid: (\d+)", line):
            running.pop(finished[1], None)
    assert seen >= len(ROWS) + len(("throughput", "batches", "cameras", "peers", "detect_every", "video"))


def test_raw_samples_and_provenance_are_kept(demo):
    result = json.loads((demo.run / "latency" / "onnx_full_cpu.json").read_text())
    assert len(result["latency_ms"]) == len(result["stages_ms"]["detect"]) == 5
    stages = sum(samples[0] for samples in result["stages_ms"].values())
    assert 0 < stages <= result["latency_ms"][0]
    (state,) = result["measured_under"]
    assert state["warm_up"]["runs"] == 2 and state["memory"]["host_peak_mib"] > 0 and state["gpu"] is None
    provenance = result["provenance"]
    assert provenance["backend"]["provider"] == "CPUExecutionProvider"
    models = json.loads((demo.run / "run.json").read_text())["models"]
    for role in ("detector", "pose"):
        assert provenance["artifacts"][role]["sha256"] == models[role]["onnx_sha256"]
    # Accuracy and latency come from one and the same file.
    predicted = json.loads((demo.run / "predictions" / "clean" / "record.json").read_text())
    assert predicted["provenance"]["artifacts"] == provenance["artifacts"]


def test_the_artifact_is_compared_with_pytorch(demo):
    parity = json.loads((demo.run / "parity" / "onnxruntime_cpu_fp32.json").read_text())
    assert parity["status"] == "ok" and parity["passes"] and parity["persons"] > 0
    table = pd.read_csv(demo.run / "tables" / "benchmark.csv").set_index("benchmark")
    assert table.loc["onnx_full_cpu", "tier"] == "exact"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_has_the_tier_that_its_ap_gives(runtime, demo):
    """Too few images to tell which, and a row that finds other persons fails whatever its AP."""
    record = json.loads((demo.run / "parity" / f"{runtime}_cpu_int8.json").read_text())
    share = record["ap_artifact"]["value"] / record["ap_source"]["value"]
    assert record["ap_share"]["value"] == pytest.approx(share) and not record["passes"]
    name = {"onnxruntime": "onnx", "openvino": "openvino"}[runtime]
    row = (
        pd.read_csv(demo.run / "tables" / "benchmark.csv").set_index("benchmark").loc[f"{name}_int8_full_cpu"]
    )
    assert row.tier == ("fails" if row.status == "no result" else tiers.of_share(share))
    assert pd.isna(row.speedup) == (row.tier == "fails")


def test_pictures_can_be_opened(demo):
    for name in [*(f"figures/{name}.png" for name in FIGURES), *(f"grids/{name}.jpg" for name in GRIDS)]:
        image = cv2.imread(str(demo.run / name))
        assert image is not None and min(image.shape[:2]) > 300, name


def test_run_json_holds_the_hash_of_every_result(demo):
    from posegauge.store.files import sha256_file

    run = json.loads((demo.run / "run.json").read_text())
    assert {"tables/benchmark.csv", "predictions/clean/detected.json", "latency/onnx_full_cpu.json"} <= set(
        run["files"]
    )
    for name, digest in run["files"].items():
        assert sha256_file(demo.run / name) == digest, name


def test_a_run_writes_no_tracked_file_and_publishing_it_does(demo):
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            assert (demo.path / name).read_bytes() == (ROOT / name).read_bytes(), name
    readme = demo.path / "README.md"
    readme.write_text(re.sub(" from (demo|timing) -->", " from small -->", readme.read_text()))
    done = subprocess.run(
        [sys.executable, "workflow/publish.py", "small"], cwd=demo.path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page = (demo.path / "docs" / "results" / "small.md").read_text()
    for file, text in ((readme, readme.read_text()), (demo.path / "docs" / "results" / "small.md", page)):
        pictures = re.findall(r"\]\(([^)]+\.(?:jpg|png))\)", text)
        assert pictures and all((file.parent / picture).is_file() for picture in pictures)
        assert "ynthetic" in text and "Motion Blur Heavy" in text and "| When |" in page
    assert all(title in readme.read_text() for title in ("PyTorch Full CPU", "18.43", "no CUDA device"))


def test_nothing_is_left_to_do(demo):
    again = demo.snakemake(configs=DEMO_CONFIGS, options=("--dry-run",)).stdout
    assert "Nothing to be done" in again


def test_predictions_are_byte_identical_in_another_run(demo, session_workspace):
    other = session_workspace("again")
    names = ("clean", "coco_c_impulse_noise_5")
    # Other shards, another number of cores.
    other.write("shards.yaml", "shards: 2\nthreads: 1\n")
    other.snakemake(*(f"predict_{name}" for name in names), configs=(*SMALL, "shards.yaml"), cores=1)
    for name in names:
        for kind in PREDICTION_SETS:
            file = f"results/small/predictions/{name}/{kind}.json"
            assert (other.path / file).read_bytes() == (demo.path / file).read_bytes(), (name, kind)


def test_an_edited_library_module_runs_its_rules_again(demo):
    module = demo.path / "workflow/scripts/posegauge/score/metrics.py"
    before = module.read_text()
    module.write_text(before + "\n# a comment changes nothing\n")
    assert "Nothing to be done" in demo.snakemake(configs=DEMO_CONFIGS, options=("--dry-run",)).stdout
    module.write_text(before.replace("CHUNK = ", "CHUNK = 1 + "))
    planned = demo.snakemake(configs=DEMO_CONFIGS, options=("--dry-run",)).stdout
    module.write_text(before)
    assert "score_condition" in planned and "predict_clean" not in planned
