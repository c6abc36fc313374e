"""What the workflow plans to do, and what it refuses before any job runs."""

import re
import subprocess
import sys

import pytest
import yaml

from posegauge.compare import trial
from posegauge.study import BENCHMARKS, CONDITIONS, STUDY_BENCHMARKS, STUDY_CONDITIONS

DEMO = ("config/demo.yaml",)


@pytest.fixture(scope="module")
def repository(session_workspace):
    return session_workspace("plan")


def jobs(output: str) -> list[str]:
    """Names of the planned rules, from the table that a dry run prints."""
    table = output.split("job ", 1)[1].split("\n\n")[0].splitlines()
    return [line.split()[0] for line in table if len(line.split()) == 2 and line.split()[1].isdigit()]


def test_ap_over_all_images_adds_its_own_jobs_alone(repository):
    target = "results/x/all_images.json"
    given = ("--dry-run", "--config", "run=x", "dataset={score_images: all}")
    assert set(jobs(repository.snakemake(target, options=given).stdout)) == {
        "download_asset", "extract_annotations", "filter_person_images", "list_other_images",
        "extract_images", "extract_other_images", "export_model", "predict_clean",
        "predict_other_images", "score_all_images", "total",
    }  # fmt: skip


def test_the_default_config_plans_the_full_study(repository):
    output = repository.snakemake(options=("--dry-run",)).stdout
    planned = jobs(output)
    for name in BENCHMARKS:
        assert f"measure_{name}" in planned
    for name in CONDITIONS:
        assert f"predict_{name}" in planned and f"predict_{name}_shard" not in planned
    for name in (
        "check_parity",
        "measure_throughput",
        "measure_roofline",
        "export_model",
        "extract_annotations",
        "extract_images",
    ):
        assert name in planned
    for file in ("val2017.zip", "annotations_trainval2017.zip", "rtmpose-m_simcc-coco", "rtmdet_m_8xb32"):
        assert f"Fetch {file}" in output, file


def test_the_sample_fetches_its_images_alone(repository):
    configs = ("config/sample.yaml", "config/sample-nano.yaml")
    output = repository.snakemake(configs=configs, options=("--dry-run",)).stdout
    planned = jobs(output)
    assert {f"predict_{name}" for name in STUDY_CONDITIONS} <= set(planned)
    assert {name for name in planned if name.startswith("measure_")} >= {
        f"measure_{name}" for name in STUDY_BENCHMARKS
    }
    assert "Fetch the person images of COCO val2017" in output and "rtmdet_nano_8xb32" in output
    assert "val2017.zip" not in output and "rtmdet_m" not in output
    assert "predict_coco_c" not in output


def test_the_demo_plans_the_same_study_without_a_download(repository):
    output = repository.snakemake(configs=DEMO, options=("--dry-run",)).stdout
    planned = jobs(output)
    assert {f"measure_{name}" for name in STUDY_BENCHMARKS} <= set(planned)
    assert {f"predict_{name}" for name in STUDY_CONDITIONS} <= set(planned)
    assert {"predict_coco_c_fog_1", "predict_coco_c_fog_5"} <= set(planned)
    assert "download_asset" not in planned


def test_one_rule_can_be_asked_for_by_name(repository):
    output = repository.snakemake("predict_noise_heavy", configs=DEMO, options=("--dry-run",)).stdout
    # The boxes of the clean images are one of its three sources.
    assert {"predict_noise_heavy", "predict_clean"} <= set(jobs(output))
    assert "predict_noise_moderate" not in output


def test_shards_are_jobs_of_their_own(repository):
    repository.write("shards.yaml", "shards: 3\n")
    output = repository.snakemake(
        "predict_clean", configs=(*DEMO, "shards.yaml"), options=("--dry-run",)
    ).stdout
    for count, name in (
        (3, "predict_clean_shard"),
        (1, "merge_predictions"),
        (1, "merge_boxes"),
        (1, "predict_clean"),
    ):
        assert re.search(rf"\n{name} +{count}\b", output), name


def test_a_condition_that_does_not_exist(repository):
    done = repository.snakemake("predict_coco_c_fog_6", configs=DEMO, check=False)
    assert done.returncode != 0 and "predict_coco_c_fog_6" in done.stdout


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"benchmarks": ["onnx_ful_cpu"]}, "did you mean 'onnx_full_cpu'?"),
        ({"conditions": ["clean", "motion_blur_hevy"]}, "did you mean 'motion_blur_heavy'?"),
        ({"suites": ["coco-c"]}, "did you mean 'coco_c'?"),
        (
            {"coco_c": {"severities": [6]}},
            "coco_c.severities[0]: is the number 6, expected one of 1, 2, 3, 4, 5",
        ),
        ({"pipelin": {}}, "pipelin: unknown key (did you mean 'pipeline'?)"),
        ({"seed": "many"}, "seed: is the text 'many', expected a whole number"),
        ({"dataset": {"kind": "folder"}}, "dataset.annotations"),
        (
            {"energy": {"source": "tegrastats"}},
            "energy.source: is tegrastats, but tegrastats: no such program",
        ),
    ],
)
def test_a_wrong_config_stops_before_any_job(repository, override, message):
    repository.write("wrong.yaml", yaml.safe_dump(override))
    done = repository.snakemake(configs=(*DEMO, "wrong.yaml"), check=False)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert "Job stats" not in done.stdout


def test_a_model_that_users_bring_is_read_before_any_job(repository):
    pose = {"config": None, "checkpoint": None, "onnx": "one.onnx"}
    own = {"models": {"pose": pose}, "robustness": {"runtime": "onnxruntime"}}
    repository.write("own.yaml", yaml.safe_dump(own))
    repository.write("one.onnx", "<html>404</html>")
    done = repository.snakemake(configs=(*DEMO, "own.yaml"), options=("--dry-run",), check=False)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert "models.pose.onnx: one.onnx: is not an ONNX file but a web page (HTML)" in done.stdout


def test_the_page_of_the_rules_shows_those_that_there_are(repository):
    page = repository.path / "docs/rules.md"
    kept = page.read_text(encoding="utf-8")
    subprocess.run([sys.executable, "workflow/rulegraph.py"], cwd=repository.path, check=True)
    assert page.read_text(encoding="utf-8") == kept, "docs/rules.md is old: make rulegraph"


def test_rules_and_scripts_are_clean(repository):
    assert "Congratulations" in repository.snakemake(options=("--lint",)).stdout


@pytest.mark.parametrize("run", trial.CONFIGS)
def test_the_trial_of_a_gpu_is_planned(repository, run):
    rows = (
        yaml.safe_load((repository.path / files[-1]).read_text())["benchmarks"]
        for files in trial.CONFIGS.values()
    )
    targets = [target for step in trial.steps(*rows) if step.run == run for target in step.targets]
    planned = jobs(repository.snakemake(*targets, configs=trial.CONFIGS[run], options=("--dry-run",)).stdout)
    assert ("measure_peers" if run == trial.ROWS else "check_parity") in planned
