"""The config check: the shipped files pass, every fault is named with what to do about it."""

import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from helpers_config import ROOT, load, only_problem, problems, put
from posegauge.data.download import read_table
from posegauge.errors import PoseGaugeError, nearest
from posegauge.settings import calibration_keys, check
from posegauge.study import (
    BENCHMARKS,
    COCO_C_CORRUPTIONS,
    CONDITIONS,
    SEVERITIES,
    STUDY_BENCHMARKS,
    STUDY_CONDITIONS,
    SUITES,
)


@pytest.fixture
def config() -> dict:
    return load("config/config.yaml")


# ---------------------------------------------------------------------------------- what is shipped


def test_default_passes_unchanged(config):
    before = copy.deepcopy(config)
    checked = check.check(config)
    assert checked == before == config
    checked["dataset"]["name"] = "other"
    assert config == before  # a copy


def test_default_is_the_whole_study(config):
    assert config["benchmarks"] == list(BENCHMARKS)
    assert check.conditions(config) == list(CONDITIONS)
    assert config["dataset"]["expected_person_images"] == 2693


def test_demo_passes(monkeypatch):
    monkeypatch.chdir(ROOT)
    demo = check.check(load("config/config.yaml", "config/demo.yaml"))
    assert demo["dataset"]["kind"] == "scenes" and demo["notice"]
    assert set(STUDY_BENCHMARKS) < set(demo["benchmarks"]) and demo["conditions"] == list(STUDY_CONDITIONS)
    assert set(demo["suites"]) == set(SUITES)


@pytest.mark.parametrize("over", [[], ["config/sample-nano.yaml"]])
def test_sample_passes(monkeypatch, over):
    monkeypatch.chdir(ROOT)
    sample = check.check(load("config/config.yaml", "config/sample.yaml", *over))
    assert sample["dataset"]["kind"] == "coco" and sample["dataset"]["max_images"] == 100
    assert sample["benchmarks"] == list(STUDY_BENCHMARKS)
    assert check.conditions(sample) == list(STUDY_CONDITIONS)
    listed = read_table(ROOT / "config/downloads.tsv").index
    assert all(Path(model["checkpoint"]).name in listed for model in sample["models"].values())
    assert sample["dataset"]["name"] != "coco-val2017", "the full study's images stay"


def test_real_passes(monkeypatch):
    monkeypatch.chdir(ROOT)
    if not Path("../shared/real").is_dir():
        pytest.skip("no ../shared/real here")
    real = check.check(load("config/config.yaml", "config/photographs.yaml", "tests/config/real.yaml"))
    assert "TinyPose" in real["models"]["pose"]["name"]
    assert real["models"]["pose"]["config"] is None


def test_the_photographs_are_run_like_the_demo():
    photographs, demo = (load(f"config/{name}.yaml") for name in ("photographs", "demo"))
    assert set(demo["benchmarks"]) <= set(photographs["benchmarks"])
    assert photographs["coco_c"]["corruptions"] == demo["coco_c"]["corruptions"]
    whole = load("config/config.yaml", "config/photographs.yaml")
    assert calibration_keys.kind(whole) == "dataset"
    shared = whole["parity"]["images"] + whole["precision"]["calibration_images"]
    assert shared == whole["dataset"]["expected_person_images"], "no photograph sets ranges and is compared"


def test_schema_knows_the_names_of_the_study():
    keys = check.schema()["properties"]
    assert keys["benchmarks"]["items"]["enum"] == list(BENCHMARKS)
    assert keys["suites"]["items"]["enum"] == list(SUITES)
    assert keys["conditions"]["items"]["enum"] == list(STUDY_CONDITIONS)
    assert keys["coco_c"]["properties"]["corruptions"]["items"]["enum"] == list(COCO_C_CORRUPTIONS)
    assert keys["coco_c"]["properties"]["severities"]["items"]["enum"] == list(SEVERITIES)


@pytest.mark.parametrize("suites", [["study"], ["coco_c"], ["coco_c", "study"]])
def test_clean_images_are_always_run_and_first(config, suites):
    config |= {"suites": suites, "conditions": ["occlusion", "noise_heavy"]}
    config["coco_c"] = {"corruptions": ["fog"], "severities": [4, 2]}
    chosen = check.conditions(check.check(config))
    assert chosen[0] == "clean" and len(set(chosen)) == len(chosen)
    assert ("occlusion" in chosen) == ("study" in suites)
    assert ("coco_c_fog_4" in chosen) == ("coco_c_fog_2" in chosen) == ("coco_c" in suites)
    assert set(chosen) <= set(CONDITIONS)


def test_every_key_is_described_and_closed():
    def walk(rule, place):
        for key, inner in rule.get("properties", {}).items():
            assert inner.get("description"), f"{place}{key}"
            walk(inner, f"{place}{key}.")
        if "properties" in rule:
            assert rule["additionalProperties"] is False, place
            assert set(rule["required"]) == set(rule["properties"]), place

    walk(check.schema(), "")


def test_readme_names_every_key_and_name():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")

    def walk(rule, place):
        for key, inner in rule["properties"].items():
            if place.startswith("models.") and place != "models.":
                assert f"`.{key}`" in text
            elif "properties" in inner:
                walk(inner, f"{place}{key}.")
            else:
                assert f"`{place}{key}`" in text

    walk(check.schema(), "")
    for name in [*BENCHMARKS, *SUITES, *STUDY_CONDITIONS, *COCO_C_CORRUPTIONS]:
        assert f"`{name}`" in text


# ---------------------------------------------------------------------------------------- one fault

FAULTS = [
    ("run", "a b", "run: is the text 'a b', expected letters, digits"),
    ("run", "../up", "run: is the text '../up'"),
    ("run", ".hidden", "run: is the text '.hidden'"),
    ("run", 2024, "put it in quotes"),
    ("run", None, "run: is null, expected letters"),
    ("seed", -1, "seed: is the number -1, expected a whole number from 0 to"),
    ("seed", 1.5, "seed: is the number 1.5, expected a whole number"),
    ("seed", True, "seed: is true, expected a whole number"),
    ("threads", 0, "threads: is the number 0, expected a whole number"),
    ("robustness.threads", 0, "robustness.threads: is the number 0, expected a whole number, or auto"),
    ("threads", "many", "threads: is the text 'many', expected a whole number, or auto"),
    ("asset_mirror", "ftp://x", "asset_mirror: is the text 'ftp://x', expected http://"),
    ("run", "published-t4", "run: results/published-t4/ has another use, expected another name"),
    ("baseline", "", "baseline: is empty, expected text or null"),
    ("candidate", 2024, "put it in quotes"),
    ("candidate", "published-t4", "baseline: is null, but candidate is set; name two runs, or none"),
    ("benchmark.processes", 0, "expected a whole number from 1 to 100"),
    ("runs", "laptop", "runs: is the text 'laptop', expected a list, like [laptop]"),
    ("runs", ["nobody"], "runs: no run 'nobody'"),
    ("runs", ["published-t4"], "board.published: true shows what the study published"),
    ("board.max_ms", 0, "expected a number above 0"),
    ("board.min_ap", 73, "expected a number from 0 to 1"),
    ("board.price_per_hour", "cheap", "expected a number, 0 or more, or one for each run, or null"),
    ("board.price_per_hour", 1, "board.currency: is null, but board.price_per_hour is set"),
    ("board.published", "perhaps", "is the text 'perhaps', expected true or false"),
    ("notice", False, "notice: is false, expected text or null"),
    ("notice", "", "notice: is empty, expected text or null"),
    ("dataset", "coco", "dataset: is the text 'coco', expected a group of keys"),
    ("dataset.kind", "folders", "(did you mean 'folder'?)"),
    ("dataset.name", "a/b", "dataset.name: is the text 'a/b'"),
    ("dataset.name", "downloads", "dataset.name: data/downloads/ has another use"),
    ("dataset.expected_person_images", 0, "expected a whole number, 1 or more or null"),
    ("dataset.max_images", "few", "dataset.max_images: is the text 'few', expected a whole number"),
    ("dataset.unreadable", "ignore", "expected one of error, skip"),
    ("dataset.images", "here", "dataset.images: is set, but kind is coco; say kind: folder"),
    ("dataset.annotations", 3, "expected text or null"),
    ("models.detector.config", "mmpose::../x.py", "expected a .py file, or mmpose::<path"),
    ("models.detector.config", "torch::x.py", "expected a .py file, or mmpose::<path"),
    ("models.detector.config", "no/such.py", "models.detector.config: no file 'no/such.py'"),
    (
        "models.detector.config",
        None,
        "models.detector: config is null; expected config and checkpoint,",
    ),
    ("models.pose.checkpoint", "no.pth", "models.pose.checkpoint: no file 'no.pth'"),
    ("models.pose.onnx", "a.pt", "models.pose.onnx: is the text 'a.pt', expected a file that ends in .onnx"),
    ("models.pose.input_size", 256, "models.pose.input_size: is the number 256, expected a list, like [256]"),
    ("models.pose.input_size", [256], "models.pose.input_size: has 1 entries, expected 2"),
    (
        "models.pose.input_size",
        [192, 250],
        "input_size[1]: is 250, expected a multiple of 32, like 224 or 256",
    ),
    ("pipeline.nms_thr", 1.5, "pipeline.nms_thr: is the number 1.5, expected a number from 0 to 1"),
    ("pipeline.score_thr", float("nan"), "pipeline.score_thr: is nan, expected an ordinary number"),
    ("pipeline.person_thr", 0.05, "pipeline.person_thr: is 0.05, expected score_thr (0.1) or more"),
    ("pipeline.bbox_thr", 0.05, "pipeline.bbox_thr: is 0.05, expected score_thr (0.1) or more"),
    ("pipeline.max_persons", 0, "expected a whole number, 1 or more"),
    ("robustness.runtime", "onnx", "(did you mean 'onnxruntime'?)"),
    ("robustness.device", "gpu", "robustness.device: is the text 'gpu', expected one of auto, cpu, cuda"),
    ("benchmark.warmup", -1, "benchmark.warmup: is the number -1, expected a whole number, 0 or more"),
    ("benchmark.runs", 0, "benchmark.runs: is the number 0, expected a whole number, 1 or more"),
    ("video.input", "no.mp4", "video.input: no file 'no.mp4'"),
    (
        "video.input",
        "frames/%04d.png",
        "several pictures, expected one video file; make one: ffmpeg -framerate 10 -i",
    ),
    ("video.input", "tests", "ffmpeg -framerate 10 -pattern_type glob -i 'tests/*.jpg' -c:v libx264"),
    ("video.input", "a{b}.mp4", "expected a file without braces in its name"),
    ("video.output", "out.avi", "video.output: is the text 'out.avi', expected a file without braces"),
    ("video.output", "out.mp4", "video.output: is set, but video.input is null; say which video"),
    ("video.runtime", "onnx", "one of pytorch, onnxruntime, tensorrt, null (did you mean 'onnxruntime'?)"),
    ("pipeline.detect_every", 0, "pipeline.detect_every: is the number 0, expected a whole number from 1"),
    ("detect_every.clip", "no.mp4", "detect_every.clip: no file 'no.mp4'"),
    ("detect_every.annotations", "a.json", "detect_every.annotations: is set, but detect_every.clip is null"),
    ("detect_every.intervals", [2, 5], "detect_every.intervals: is [2, 5], expected 1 among them"),
    ("detect_every.artifacts", ["onnx_cpu"], "detect_every.artifacts[0]: is the text 'onnx_cpu', expected"),
    (
        "readme",
        "README.md",
        "readme: a run writes no README any more; take the key out",
    ),
    ("benchmark.wramup", 3, "benchmark.wramup: unknown key (did you mean 'warmup'?)"),
    (
        "benchmark.zzz",
        3,
        "benchmark.zzz: unknown key; known here: image, boxes, warmup, max_warmup, runs, tries, processes",
    ),
    (
        "benchmarks",
        "onnx_full_cpu",
        "benchmarks: is the text 'onnx_full_cpu', expected a list, like [onnx_full_cpu]",
    ),
    ("benchmarks", [], "benchmarks: has 0 entries, expected at least 1"),
    ("benchmarks", ["onnx_ful_cpu"], "benchmarks[0]: is the text 'onnx_ful_cpu', expected one of"),
    ("benchmarks", ["onnx_ful_cpu"], "(did you mean 'onnx_full_cpu'?)"),
    ("conditions", ["clean", "nosie_heavy"], "(did you mean 'noise_heavy'?)"),
    ("conditions", ["clean", "occlusion", "clean"], "conditions: has clean more than once"),
    ("export.opset", 9, "export.opset: is the number 9, expected a whole number from 17 to 20"),
    ("parity.max_ap_diff", 0, "parity.max_ap_diff: is the number 0, expected a number above 0"),
    (
        "suites",
        ["coco-c"],
        "suites[0]: is the text 'coco-c', expected one of study, coco_c (did you mean 'coco_c'?)",
    ),
    ("coco_c.corruptions", ["fogg"], "(did you mean 'fog'?)"),
    ("coco_c.severities", [6], "coco_c.severities[0]: is the number 6, expected one of 1, 2, 3, 4, 5"),
    ("coco_c.severities", [], "coco_c.severities: has 0 entries, expected at least 1"),
    ("shards", 0, "shards: is the number 0, expected a whole number from 1 to 1000"),
    ("bootstrap.resamples", 5, "bootstrap.resamples: is the number 5, expected a whole number from 20"),
    ("pipeline.flip_test", "maybe", "pipeline.flip_test: is the text 'maybe', expected true or false"),
    ("grids.images", "a.jpg", "grids.images: is the text 'a.jpg', expected a list or null, like [a.jpg]"),
    ("grids.images", ["a.jpg", "a.jpg"], "grids.images: has a.jpg more than once"),
    ("grids", "a.jpg", "grids: is the text 'a.jpg', expected a group of keys"),
]


@pytest.mark.parametrize(("place", "value", "message"), FAULTS)
def test_fault_is_named(config, place, value, message):
    put(config, place, value)
    line = only_problem(config)
    assert line.startswith(place.rpartition(".")[0])
    assert message in line


def test_text_is_read_as_the_number_or_truth_that_it_stands_for(config):
    for place, text in (("pipeline.flip_test", "True"), ("board.published", "true"), ("board.max_ms", "33")):
        put(config, place, text)
    checked = check.check(config)
    assert checked["pipeline"]["flip_test"] is True and checked["board"]["published"] is True
    assert checked["board"]["max_ms"] == 33


def test_a_key_of_older_configs_that_asks_for_nothing_is_no_fault(config):
    assert check.check(config | {"readme": None}) == check.check(config)


@pytest.mark.parametrize(
    "place", ["seed", "benchmark", "benchmark.runs", "models.pose", "dataset.scenes.seed"]
)
def test_missing_key_is_named(config, place):
    group, _, key = place.rpartition(".")
    inner = config
    for name in filter(None, group.split(".")):
        inner = inner[name]
    del inner[key]
    assert only_problem(config) == f"{place}: is missing; config/config.yaml has the default"


def test_unknown_config_of_mmpose_suggests_one(config):
    pytest.importorskip("mmengine")
    put(config, "models.pose.config", config["models"]["pose"]["config"].replace("420e_coco", "420e_cocoo"))
    assert "(did you mean 'configs/body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco" in only_problem(
        config
    )


def test_all_problems_at_once(config):
    config["seed"] = -1
    config["extra"] = 1
    del config["notice"]
    config["conditions"] = ["cleen"]
    config["pipeline"]["person_thr"] = 0.0
    lines = problems(config)
    assert {line.partition(":")[0] for line in lines} == {
        "seed", "extra", "notice", "conditions[0]", "pipeline.person_thr",
    }  # fmt: skip


def test_one_line_per_value(config):
    config["models"]["pose"]["input_size"] = [192, 3]  # too small and no multiple of 32
    assert "models.pose.input_size[1]" in only_problem(config)


@pytest.mark.parametrize("config", [None, [], "text"])
def test_config_must_be_a_group(config):
    with pytest.raises(PoseGaugeError, match="expected keys and values"):
        check.check(config)


# --------------------------------------------------------------------------------------------- names


def test_run_name(config, monkeypatch):
    assert check.run_name({**config, "run": "mine"}) == "mine"
    # A set variable is taken, and monkeypatch puts the environment back as it was.
    monkeypatch.setenv("POSEGAUGE_RUN", "kept")
    assert check.run_name(config) == "kept"
    monkeypatch.delenv("POSEGAUGE_RUN")
    name = check.run_name(config)
    check.check({**config, "run": name})
    assert check.run_name(config) == name


@hypothesis_settings(deadline=None)  # a busy machine is no fault
@given(st.sampled_from([*BENCHMARKS, *STUDY_CONDITIONS]), st.data())
def test_nearest_finds_a_name_with_one_slip(name, data):
    """A name with one letter left out or doubled is still recognised, and an exact one always is."""
    names = list(BENCHMARKS) if name in BENCHMARKS else list(STUDY_CONDITIONS)
    assert nearest(name, names) == f" (did you mean '{name}'?)"
    place = data.draw(st.integers(0, len(name) - 1))
    for slip in (name[:place] + name[place + 1 :], name[:place] + name[place] + name[place:]):
        assert "did you mean" in nearest(slip, names)


@hypothesis_settings(deadline=None)  # a busy machine is no fault
@given(st.one_of(st.text(max_size=30), st.integers(), st.none()))
def test_nearest_takes_anything(name):
    answer = nearest(name, CONDITIONS)
    assert answer == "" or any(f"'{condition}'" in answer for condition in CONDITIONS)


@hypothesis_settings(deadline=None)  # a busy machine is no fault
@given(
    st.dictionaries(
        st.sampled_from(sorted(check.schema()["properties"])), st.none() | st.text() | st.integers()
    )
)
def test_any_values_pass_or_are_named(values):
    config = {**load("config/config.yaml"), **values}
    try:
        check.check(config)
    except PoseGaugeError as error:
        assert str(error).startswith("config: ")


def test_what_this_machine_lacks_is_told_with_all_other_faults(config):
    put(config, "seed", "many")
    put(config, "energy.source", "rapl")
    asked = []

    def lack(source):
        asked.append(source)
        return f"energy.source: is {source}, but there is none"

    with pytest.raises(PoseGaugeError) as raised:
        check.check(config, lacks={"energy.source": lack})
    assert "2 problems" in str(raised.value) and "is rapl, but there is none" in str(raised.value)
    # Not of a value that is none.
    put(config, "energy.source", "rappl")
    with pytest.raises(PoseGaugeError, match="did you mean 'rapl'"):
        check.check(config, lacks={"energy.source": lack})
    assert asked == ["rapl"]
