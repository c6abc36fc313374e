"""What is made again after a change: what reads the changed key of the config or uses the changed code."""

import ast
import itertools
import logging
import re
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
import snakemake.api
import snakemake.workflow
import yaml
from snakemake.api import SnakemakeApi
from snakemake.common.configfile import load_configfile
from snakemake.io import is_callable
from snakemake.iocontainers import Wildcards
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings
from snakemake.utils import update_config

from posegauge.data import given
from posegauge.settings import check, parts
from posegauge.store import code_names, used_code

ROOT = Path(__file__).parents[2]
CONFIGS = [ROOT / "config/demo.yaml", ROOT / "tests/config/small.yaml"]
# Keys whose other value must fit the rest of the config: what is laid over CONFIGS before, and after.
FOLDER = {"kind": "folder", "images": "tests", "annotations": "data/demo/reference.json"}
ANY_NUMBER = {"expected_person_images": None}
ONNX = {"config": None, "checkpoint": None, "onnx": "data/one.onnx"}
RUNS = {"baseline": "tests/unit", "candidate": "tests/workflow"}
BOARD = {"runs": ["tests/unit"]}
MMPOSE = {
    "detector": "mmpose::demo/mmdetection_cfg/rtmdet_m_640-8xb32_coco-person.py",
    "pose": "mmpose::configs/body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py",
}
RTX = {"library": "tensorrt_rtx"}
PAIRS = {
    "threads": ({}, {"threads": 2}),
    "dataset.kind": ({}, {"dataset": {"kind": "coco"} | ANY_NUMBER}),
    "dataset.expected_person_images": ({}, {"dataset": ANY_NUMBER}),
    "dataset.images": ({"dataset": FOLDER}, {"dataset": FOLDER | {"images": "docs"}}),
    "dataset.annotations": (
        {"dataset": FOLDER},
        {"dataset": FOLDER | {"annotations": "data/demo/training.json"}},
    ),
    "dataset.exif": ({"dataset": FOLDER}, {"dataset": FOLDER | {"exif": "applied"}}),
    "dataset.unreadable": ({"dataset": FOLDER}, {"dataset": FOLDER | {"unreadable": "skip"}}),
    "dataset.scenes.images": ({"dataset": ANY_NUMBER}, {"dataset": {"scenes": {"images": 61}} | ANY_NUMBER}),
    "dataset.scenes.empty": ({"dataset": ANY_NUMBER}, {"dataset": {"scenes": {"empty": 9}} | ANY_NUMBER}),
    "engine.compute_capability": ({"engine": RTX}, {"engine": RTX | {"compute_capability": "8.9"}}),
    "precision.calibration": ({}, {"precision": {"calibration": "dataset"}}),
    "cameras.servers": ({}, {"cameras": {"servers": 1}}),
    "energy.source": ({}, {"energy": {"source": "none"}}),
    "detect_every.artifacts": ({}, {"detect_every": {"artifacts": ["pytorch_cpu_fp32"]}}),
    "grids.images": ({}, {"grids": {"images": ["one.jpg"]}}),
    "video.output": ({}, {"video": {"output": "one.mp4"}}),
    "baseline": (RUNS, RUNS | {"baseline": "tests/slurm"}),
    "candidate": (RUNS, RUNS | {"candidate": "tests/slurm"}),
    "runs": (BOARD, {"runs": ["tests/unit", "tests/slurm"]}),
    "board.max_ms": (BOARD, BOARD | {"board": {"max_ms": 40}}),
    "board.min_ap": (BOARD, BOARD | {"board": {"min_ap": 0.5}}),
    "board.price_per_hour": (
        BOARD | {"board": {"currency": "EUR"}},
        BOARD | {"board": {"currency": "EUR", "price_per_hour": 1}},
    ),
    "board.currency": (BOARD, BOARD | {"board": {"currency": "EUR"}}),
    "board.published": (BOARD, BOARD | {"board": {"published": True}}),
    "reference": ({}, {"reference": "data/demo/reference.json"}),
}
for ROLE in ("detector", "pose"):
    PAIRS |= {
        f"models.{ROLE}.config": ({}, {"models": {ROLE: {"config": MMPOSE[ROLE]}}}),
        f"models.{ROLE}.onnx": (
            {"models": {ROLE: ONNX}},
            {"models": {ROLE: ONNX | {"onnx": "data/other.onnx"}}},
        ),
        f"models.{ROLE}.input_size": ({}, {"models": {ROLE: {"input_size": [224, 288]}}}),
        f"models.{ROLE}.pixels": ({}, {"models": {ROLE: {"pixels": "yolox"}}}),
    }

# Besides write_run, whose record shows the whole config, and what rules say with chosen(): the scripts that
# are given a key in another way, by a pattern of its name; the first that fits counts. None: names of files.
SHOWN = "draw_corruptions draw_grids make_tables plot"
SCORED = "make_tables predict_condition score_condition write_findings draw_corruptions collect_values"
OTHERWISE = {
    "run": None,
    "dataset.kind": None,
    "dataset.name": None,
    "dataset.images": None,
    "dataset.annotations": None,
    "seed": "draw_corruptions draw_grids write_readme",
    "notice": f"{SHOWN} write_readme write_report_pages",
    "dataset.title": f"{SHOWN} annotate_video try_quantisation write_readme write_report_pages",
    "dataset.scenes.seed": "render_clip render_scenes",
    "dataset.scenes.*": "render_scenes",
    "dataset.max_images": "filter_person_images",
    "dataset.exif": "filter_person_images",
    "dataset.unreadable": "filter_person_images",
    # Jobs of its own, and one table more.
    "dataset.score_images": "list_other_images predict_condition score_all_images make_tables write_findings "
    "write_readme write_report_pages",
    "dataset.expected_person_images": "filter_person_images",
    "models.*.name": f"{SHOWN} build_engine export_model make_random_weights write_readme write_report_pages",
    "models.*.input_size": "build_engine convert_model export_model make_random_weights",
    "models.*.pixels": "build_engine convert_model export_model make_random_weights",
    "models.pose.checkpoint": "build_engine export_model make_random_weights write_readme",
    "models.*": "build_engine export_model make_random_weights",
    "pipeline.person_thr": "draw_grids write_readme",
    "pipeline.keypoint_thr": "draw_grids write_readme",
    "pipeline.detect_every": "",
    "pipeline.*": "write_readme",
    "robustness.threads": "",
    "robustness.*": "annotate_video",
    "benchmark.processes": "measure_latency merge_latency",
    "benchmarks": "measure_latency check_parity make_tables write_findings write_readme collect_values",
    "suites": f"{SCORED} write_readme",
    "conditions": f"{SCORED} draw_grids write_readme",
    "coco_c.*": f"{SCORED} write_readme",
    "shards": "predict_condition merge_predictions",
    "export.opset": "export_model",
    "precision.int8_error": "convert_model",
    "precision.calibration_images": "convert_model render_scenes try_quantisation",
    "precision.calibration": "convert_model try_quantisation",
    "parity.images": "convert_model",
    "batches.artifacts": "",
    "cameras.artifacts": "",
    "detect_every.clip": "measure_detect_every",
    "detect_every.annotations": "measure_detect_every",
    "detect_every.artifacts": "measure_detect_every make_tables write_findings write_readme",
    "grids.scene": "draw_corruptions draw_grids",
    "grids.images": "draw_grids",
    "video.*": "annotate_video",
    "baseline": "compare_runs print_comparison",
    "candidate": "compare_runs print_comparison",
    "runs": "draw_board",
    "board.*": "draw_board",
    "reference": "check_values make_reference print_verification",
    "*": "",
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Read the workflow with a config, in this process; each of its files is translated once only."""
    translated, laid_over = {}, tmp_path_factory.mktemp("plan") / "override.yaml"

    def parse(source, workflow, linemap, rulecount=0):
        key = source.get_path_or_uri(secret_free=True), rulecount
        if key not in translated:
            lines = {}
            translated[key] = original(source, workflow, linemap=lines, rulecount=rulecount), lines
        text, lines = translated[key]
        linemap.update(lines)
        return text

    def read(override: dict) -> dict:
        # In a file, so that the command that makes the run again stays the same.
        laid_over.write_text(yaml.safe_dump(override), encoding="utf-8")
        with SnakemakeApi(OutputSettings(quiet=None)) as api:
            logging.disable(logging.INFO)
            found = api.workflow(
                resource_settings=ResourceSettings(cores=2),
                config_settings=ConfigSettings(configfiles=[*CONFIGS, laid_over]),
                snakefile=ROOT / "workflow/Snakefile",
            )._workflow
            return {rule.name: seen(rule) for rule in found.rules}

    def part(config, keys):
        found = Chosen(chosen(config, keys))
        found.keys_asked = tuple(keys)
        return found

    patch, chosen = pytest.MonkeyPatch(), parts.part
    original = snakemake.workflow.parse
    patch.setattr(snakemake.workflow, "parse", parse)
    patch.setattr(parts, "part", part)
    # No data are read: those of FOLDER are none.
    for name in ("check_given", "check_calibration"):
        patch.setattr(given, name, lambda config, verdict: given.Given([], [], "as before"))
    patch.chdir(ROOT)
    yield read
    patch.undo()
    logging.disable(logging.NOTSET)


WILDCARDS = {
    "role": ["detector", "pose"],
    "precision": ["fp16", "int8", "int8_openvino"],
    "condition": ["clean", "occlusion"],
    "device": ["cpu", "cuda"],
    "artifact": ["onnxruntime_cpu_fp32", "onnxruntime_cuda_fp32", "tensorrt_cuda_fp16"],
    "part": ["train"],
    "shard": ["0"],
    "file": ["val2017.zip"],
    "figure": ["latency", "loss"],
    "tracked": ["onnxruntime_cpu_fp32", "onnxruntime_cuda_fp32"],
}


class Chosen(dict):
    """What chosen() returned, and the keys that it was asked for."""

    keys_asked: tuple = ()


def seen(rule) -> dict:
    """What Snakemake compares of a rule with what made the files (params, names of files), and its script."""
    names = sorted(rule.wildcard_names)
    jobs = [
        Wildcards(fromdict=dict(zip(names, values, strict=True)))
        for values in itertools.product(*(WILDCARDS[name] for name in names))
    ]
    # What is derived from the input, Snakemake does not compare.
    given = {name: value for name, value in rule.params.items() if not rule._is_deriving_function(value)}
    params = [
        {name: value(job) if is_callable(value) else value for name, value in given.items()} for job in jobs
    ]
    asked = {
        key
        for found in params
        for value in found.values()
        if isinstance(value, Chosen)
        for key in value.keys_asked
    }
    files = [file for file in (*rule.input, *rule.output) if not is_callable(file)]
    return {
        "script": Path(str(rule.script)).stem if rule.script else None,
        "code": {file for found in params for file in found.get("code", ())},
        "asked": asked,
        "compared": repr((params, sorted(map(str, files)))),
    }


def leaves(config: dict, place=()):
    """Yield the places of all keys that hold no group of keys."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, (*place, key))
        else:
            yield (*place, key)


def other(place: tuple, value):
    """Another valid value for a key, from its schema."""
    rule = check.schema()
    for word in place:
        rule = rule["properties"][word]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        step = 1 if isinstance(value, int) else value / 10
        return value - step if value + step > rule.get("maximum", float("inf")) else value + step
    if isinstance(value, list):
        return value[:-1] if len(value) - 1 >= rule.get("minItems", 0) else [entry + 1 for entry in value]
    if names := [name for name in rule.get("enum", ()) if name not in (value, None)]:
        return names[0]
    return f"{value or 'other'}2"


def before_and_after(place: tuple, value) -> tuple[dict, dict]:
    """Two configs that differ in one key."""
    if ".".join(place) in PAIRS:
        return PAIRS[".".join(place)]
    found = other(place, value)
    for word in reversed(place):
        found = {word: found}
    return {}, found


@pytest.fixture(scope="module")
def config() -> dict:
    found = load_configfile(ROOT / "config/config.yaml")
    for path in CONFIGS:
        update_config(found, load_configfile(path))
    return found


def test_a_changed_key_runs_again_what_reads_it_and_nothing_else(plan, config):
    base, wrong = plan({}), []
    for place in leaves(config):
        key, value = ".".join(place), config
        for word in place:
            value = value[word]
        override, changed = before_and_after(place, value)
        before, after = plan(override) if override else base, plan(changed)
        rules = {**before, **after}
        again = {
            name
            for name in rules
            if before.get(name, {}).get("compared") != after.get(name, {}).get("compared")
        }
        asked = {
            name for name in before if any(f"{key}.".startswith(f"{one}.") for one in before[name]["asked"])
        }
        assert asked <= again, key
        found = {rules[name]["script"] for name in again - asked} - {None, "write_run"}
        expected = next(scripts for pattern, scripts in OTHERWISE.items() if fnmatch(key, pattern))
        if expected is not None and found != set(expected.split()):
            wrong.append(f"{key}: {sorted(found ^ set(expected.split()))} not as expected, {sorted(found)}")
        if "write_run" not in again:
            wrong.append(f"{key}: run.json would show the old value")
    assert not wrong, "\n".join(wrong)


def test_images_of_the_users_own_that_set_the_ranges_of_int8(plan):
    """A changed key or number chooses them again; other images of the data set do, too."""

    def chosen(folder="docs", annotations="data/demo/reference.json", **changes):
        own = {"calibration": {"images": folder, "annotations": annotations}, "calibration_images": 3}
        return plan({"dataset": FOLDER, "precision": own | changes})

    before = chosen()
    rule = before["choose_calibration"]["compared"]
    assert "'docs'" in rule and "as before" in rule and "/person_images.json" in rule
    for after in (chosen("envs"), chosen("docs", "data/demo/training.json"), chosen(calibration_images=4)):
        assert after["choose_calibration"]["compared"] != rule
    assert {name for name in before if "calibration" in name} == {"choose_calibration", "render_calibration"}


def test_images_of_train2017_are_chosen_again_for_another_number(plan):
    three, four = (
        plan({"precision": {"calibration": "train2017", "calibration_images": count}}) for count in (3, 4)
    )
    again = {name for name in three if three[name]["compared"] != four[name]["compared"]}
    assert again == {
        "extract_calibration",
        "render_calibration",
        "convert_model",
        "quantisation_tries",
        "write_run",
    }


def test_what_reads_images_has_their_list_which_tells_what_changed(plan):
    reading = [
        rule["compared"] for rule in plan({"dataset": FOLDER}).values() if "'tests'" in rule["compared"]
    ]
    assert len(reading) > 10
    assert all("/person_images.json" in compared for compared in reading)


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        ("benchmark.boxes", "measure_*_full_* measure_*_pose_* measure_cameras"),
        (
            "engine.pose_batches",
            "measure_onnx_*_gpu measure_tensorrt_* build_engine measure_batches measure_cameras "
            "measure_peers measure_detect_every check_parity",
        ),
        (
            "execution.allow_fallback",
            "measure_onnx_*_gpu measure_batches measure_cameras measure_peers measure_detect_every "
            "check_parity",
        ),
        ("engine.optimization_level", "measure_tensorrt_* build_engine check_parity"),
    ],
)
def test_rows_are_measured_again_for_what_their_runtime_reads(plan, key, rows):
    asked = {
        name
        for name, rule in plan({}).items()
        if any(f"{key}.".startswith(f"{one}.") for one in rule["asked"])
    }
    assert asked == {name for name in asked if any(fnmatch(name, row) for row in rows.split())}
    for row in rows.split():
        assert any(fnmatch(name, row) for name in asked), row


def test_what_a_script_is_given_it_reads_and_no_more(plan):
    """Its rules choose the keys of every config[key] in the code that a script uses, and no others."""
    asked = {}
    for rule in plan({}).values():
        if rule["asked"]:
            asked.setdefault(rule["script"], set()).update(key.split(".")[0] for key in rule["asked"])
    assert len(asked) > 10
    for script, keys in asked.items():
        search = used_code._Search(library(), {(("study",), "CONDITIONS")})
        search.script(used_code.Module(library().script(script), None))
        read = {
            node.slice.value
            for part in search.found
            for node in ast.walk(part.node)
            if isinstance(node, ast.Subscript)
            and ast.unparse(node.value) in ("config", "params.config", "snakemake.params.config")
            and isinstance(node.slice, ast.Constant)
        }
        # These depend on the runtime of the rule (Artifact.config_keys).
        assert keys <= read and read - keys <= {"engine", "execution"}, (
            f"{script}: chosen {keys}, read {read}"
        )


def test_no_script_reads_the_whole_config():
    for path in (ROOT / "workflow/scripts").glob("*.py"):
        assert "snakemake.config" not in path.read_text(encoding="utf-8"), path


# ------------------------------------------------------------------------------------------------------- code


def library(folder=ROOT / "workflow"):
    return used_code.Library(folder / "scripts" / code_names.PACKAGE, folder / "scripts", folder / "schemas")


def test_other_words_in_the_library_run_nothing_again(tmp_path):
    shutil.copytree(ROOT / "workflow/scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / "workflow/schemas", tmp_path / "schemas")
    for path in (tmp_path / "scripts").rglob("*.py"):
        # Without a comment, and with other docstrings.
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if (
                ast.get_docstring(node)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
                else None
            ):
                node.body[0].value.value = "Other words."
        path.write_text(ast.unparse(tree), encoding="utf-8")
    for script in ("measure_latency", "predict_condition", "score_condition", "write_findings"):
        assert library(tmp_path).used(script) == library().used(script), script
    for name in ("table", "text", "plot"):
        one, other = (at.used("plot", (f"report.latency:{name}",)) for at in (library(tmp_path), library()))
        assert one == other, name


def test_a_backend_runs_its_own_rows_again(plan):
    rules = plan({})
    for runtime, rows in {
        "openvino": "measure_openvino_* measure_peers quantisation_tries",
        "tensorrt": "measure_tensorrt_* check_parity",
        "torch": "measure_pytorch_* measure_peers measure_throughput predict_source",
    }.items():
        using = {name for name, rule in rules.items() if f"backends/{runtime}.py" in rule["code"]}
        assert using == {name for name in rules if any(fnmatch(name, row) for row in rows.split())}


def test_a_reworded_sentence_draws_no_figure_again(plan, tmp_path):
    rules = plan({})
    for name in ("plot", "measure_onnx_full_cpu"):
        assert not any(re.search("finding", file) for file in rules[name]["code"]), name
    assert any("findings" in file for file in rules["write_findings"]["code"])
    shutil.copytree(ROOT / "workflow/scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / "workflow/schemas", tmp_path / "schemas")
    module = tmp_path / "scripts/posegauge/report/latency.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text.replace("P99 is shown from", "P99 stands from"), encoding="utf-8")
    without = tuple(f"report.pages:{name}" for name in ("PAGES", "TABLES", "FIGURES", "GRIDS"))
    for name, same in (("plot", True), ("table", True), ("text", False)):
        used = [
            at.used("plot", (f"report.latency:{name}",), without) for at in (library(), library(tmp_path))
        ]
        assert (used[0] == used[1]) is same, name
