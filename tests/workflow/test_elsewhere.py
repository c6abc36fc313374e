"""The workflow from another folder, and as a module of another workflow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A few images in one condition: scenes, two networks, predictions and scores.
FEW = """
run: few
suites: [study]
conditions: [clean]
dataset: {expected_person_images: 3, scenes: {images: 4, empty: 1}}
bootstrap: {resamples: 20}
"""
OUTER = """
configfile: "few.yaml"

module pose:
    snakefile: "ROOT/workflow/Snakefile"
    config: config
    PREFIX

use rule * from pose as pose_*

rule outer:
    default_target: True
    input:
        "FOLDERresults/few/robustness/clean.json"
    output:
        "summary.txt"
    shell:
        "cp {input} {output}"
"""


def snakemake(folder: Path, *words: str):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_the_whole_demo_is_planned_from_an_empty_folder(tmp_path, snakefile):
    demo = ("--configfile", str(ROOT / "config/demo.yaml"))
    output = snakemake(tmp_path, "-n", "-s", str(ROOT / snakefile), *demo)
    for name in ("render_scenes", "predict_noise_heavy", "measure_onnx_full_cpu", "write_report_pages"):
        assert f"\n{name} " in output, name


def test_it_runs_in_another_folder_and_again_only_what_changed(tmp_path, monkeypatch):
    # A folder whose name holds what Snakemake, the shell and make care for, and no home to write to.
    monkeypatch.setenv("HOME", "/proc/1/nowhere")
    tmp_path /= "a {run} of 'mine' [1]"
    tmp_path.mkdir()
    (tmp_path / "few.yaml").write_text(FEW, encoding="utf-8")
    configs = ("--configfile", str(ROOT / "config/demo.yaml"), "few.yaml")
    target, whole = "results/few/robustness/clean.json", "results/few/all_images.json"
    words = (target, "-s", str(ROOT / "Snakefile"))
    snakemake(tmp_path, whole, *words, *configs, "--config", "dataset={score_images: all}")
    # The scene that shows nobody counts as well, and the predictions of the others know nothing of it.
    assert (read(tmp_path / whole)["images"], read(tmp_path / whole)["person_images"]) == (4, 3)
    found = read(tmp_path / target)
    assert found["images"] == 3 and found["scores"]["detected"]["ap"]["value"] is not None
    assert {path.name for path in tmp_path.iterdir()} == {".snakemake", "data", "few.yaml", "results"}
    record = read(tmp_path / "results/few/models/detector.json")
    assert record["network"]["checkpoint"] == str(ROOT / "data/demo/rtmdet_nano_demo.pth")

    assert "Nothing to be done" in snakemake(tmp_path, *words, "-n", *configs)
    (tmp_path / "few.yaml").write_text(FEW + "pipeline: {nms_thr: 0.5}\n", encoding="utf-8")
    output = snakemake(tmp_path, *words, "-n", *configs)
    assert "\npredict_clean " in output and "'nms_thr': 0.5" in output
    assert "\nexport_model " not in output and "\nrender_scenes " not in output
    # A local rule, and one with wildcards.
    changed = FEW.replace("resamples: 20", "resamples: 21").replace(
        "run: few", "run: few\nexport: {opset: 18}"
    )
    (tmp_path / "few.yaml").write_text(changed, encoding="utf-8")
    output = snakemake(tmp_path, *words, "-n", *configs)
    assert "\nexport_model " in output and "\nscore_condition " in output


@pytest.mark.parametrize("prefix", [None, "inner"])
def test_it_is_a_module_with_a_changed_config(tmp_path, prefix):
    demo = (ROOT / "config/demo.yaml").read_text(encoding="utf-8")
    (tmp_path / "demo.yaml").write_text(demo, encoding="utf-8")
    (tmp_path / "few.yaml").write_text(FEW, encoding="utf-8")
    folder = f"{prefix}/" if prefix else ""
    outer = OUTER.replace("ROOT", str(ROOT)).replace("FOLDER", folder)
    outer = outer.replace("PREFIX", f'prefix: "{prefix}"' if prefix else "")
    outer = outer.replace('configfile: "few.yaml"', 'configfile: "demo.yaml"\nconfigfile: "few.yaml"')
    (tmp_path / "Snakefile").write_text(outer, encoding="utf-8")
    output = snakemake(tmp_path, "-n", "pose_all")
    assert "\npose_measure_onnx_full_cpu " in output and "\npose_predict_clean " in output
    snakemake(tmp_path)
    assert read(tmp_path / "summary.txt")["images"] == 3
    assert (tmp_path / f"{folder}data/scenes-demo/images").is_dir()
    assert "Nothing to be done" in snakemake(tmp_path, "-n")
