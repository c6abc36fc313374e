"""Two runs beside each other: verdicts on invented samples, what may be compared, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_results import fake_parity
from fake_runs import NAMES, close, latency, samples, scores, write_run
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from posegauge.compare import compare, published, report
from posegauge.errors import PoseGaugeError
from posegauge.report.records import read_latency, read_scores
from posegauge.score import intervals as cs
from posegauge.store import runs as store_runs
from posegauge.store.files import read_json, sha256_file, sha256_json, write_json
from posegauge.store.runs import PUBLISHED
from posegauge.study import BENCHMARKS, STUDY_CONDITIONS

ROOT = Path(__file__).parents[2]
MEDIANS = (64.0, 23.0, 15.0)


def rows(factor: float = 1.0, seed: int = 0, **keys) -> list[dict]:
    """Records of NAMES with other noise for another seed."""
    return [
        latency(name, samples(median * factor, seed=10 * seed + number), **keys)
        for number, (name, median) in enumerate(zip(NAMES, MEDIANS, strict=True))
    ]


def compared(baseline, candidate) -> dict:
    """The comparison of two run folders, checked against its schema and shown in every form."""
    found = compare.compare(compare.read_run(baseline), compare.read_run(candidate))
    write_json(Path(candidate) / "compare.json", found, "compare.schema.yaml")
    (Path(candidate) / "compare.json").unlink()
    text, table = report.report(found), report.table(found)
    assert found["verdict"] in text.lower() and found["verdict"] in report.summary(found)
    assert len(table) >= len(found["rows"])
    return found


def verdicts(found: dict) -> dict[str, str]:
    return {row["benchmark"]: row["verdict"] for row in found["rows"]}


@pytest.fixture
def base(tmp_path):
    return write_run(tmp_path / "base", rows())


# ------------------------------------------------------------------------------------------ the verdicts


def test_a_run_beside_itself_is_the_same(base):
    found = compared(base, base)
    assert set(verdicts(found).values()) == {"same"}
    assert all(row["ratio"] == 1 and row["p_holm"] == 1 for row in found["rows"])
    assert {row["verdict"] for row in found["conditions"]} == {"same"}
    assert (found["verdict"], found["exit_code"], found["differences"]) == ("no regression", 0, [])
    assert found["geometric_mean"] == {"ratio": 1, "low": 1, "high": 1, "rows": len(NAMES)}


def test_the_same_program_run_again_is_neither_faster_nor_slower(base, tmp_path):
    again = write_run(tmp_path / "again", rows(1.02, seed=1))
    found = compared(base, again)
    assert set(verdicts(found).values()) == {"same"} and found["exit_code"] == 0
    drifted = write_run(tmp_path / "drifted", rows(1.06, seed=2))  # as another process may be
    assert set(verdicts(compared(base, drifted)).values()) == {"ambiguous"}


def test_one_thread_is_told_from_two(base, tmp_path):
    single = write_run(tmp_path / "single", rows(1.55, seed=1, threads=1))
    found = compared(base, single)
    assert set(verdicts(found).values()) == {"slower"}
    assert (found["verdict"], found["exit_code"]) == ("regression", 1)
    assert found["reasons"][0].startswith("PyTorch Full CPU: slower (1.5")
    (line,) = found["differences"]
    assert (line["key"], line["baseline"], line["candidate"], line["rows"]) == ("threads", "2", "1", [*NAMES])
    for row in found["rows"]:
        assert row["low"] < 1.55 < row["high"]
        assert all(ratio == pytest.approx(1.55, rel=0.03) for ratio in row["stages"].values())
    back = compared(single, base)
    assert set(verdicts(back).values()) == {"faster"} and back["exit_code"] == 0
    mean, other = found["geometric_mean"], back["geometric_mean"]
    assert mean["ratio"] == pytest.approx(1 / other["ratio"]) and mean["low"] == pytest.approx(
        1 / other["high"]
    )


def test_several_processes_find_what_one_cannot(tmp_path):
    def run(name, factor, processes, seed):
        times = samples(20 * factor, processes=processes, seed=seed, spread=0.01)
        return write_run(tmp_path / name, [latency("onnx_full_cpu", times, processes=processes)])

    many = compared(run("a", 1, 6, 1), run("b", 1.08, 6, 2))
    assert verdicts(many) == {"onnx_full_cpu": "slower"} and many["rows"][0]["notes"] == []
    one = compared(run("c", 1, 1, 1), run("d", 1.08, 1, 2))
    assert verdicts(one) == {"onnx_full_cpu": "ambiguous"}
    assert "one process" in one["rows"][0]["notes"][0]


def test_a_disturbed_process_makes_a_row_ambiguous():
    quiet = cs.split(samples(5.5, processes=5, seed=1), 5)
    disturbed = cs.split(samples(5.5, processes=5, seed=2), 5).copy()
    disturbed[3] *= 2.3
    found = cs.ratio(quiet, disturbed, (None, None))
    assert cs.latency_verdict(found, found["p"]) == "ambiguous"


@pytest.mark.parametrize(("processes", "spread"), [(1, 0.02), (5, 0.04)])
def test_false_alarms_are_rare(processes, spread):
    """Programs that differ in nothing but noise, neighbours alike and processes different."""
    false = 0
    for trial in range(60):
        runs = [
            cs.split(samples(20, 100, processes, seed=2 * trial + side, spread=spread), processes)
            for side in (0, 1)
        ]
        drawn = tuple(cs.resample(found, 200)["median"] for found in runs)
        found = cs.ratio(*runs, drawn)
        false += cs.latency_verdict(found, found["p"]) in ("faster", "slower")
    assert false <= 60 * cs.ALPHA * 2


def test_blocks_see_that_neighbours_are_alike():
    """Where a slow run follows a slow run, the interval must be wider than that of the same runs shuffled."""
    times = np.random.default_rng(0).normal(0, 0.02, 200)
    for run in range(1, 200):
        times[run] += 0.9 * times[run - 1]
    times += 10
    shuffled = np.random.default_rng(1).permutation(times)
    widths = [
        np.subtract(*reversed(list(cs.interval(cs.resample(x[None])["median"]).values())))
        for x in (times, shuffled)
    ]
    assert widths[0] > 1.5 * widths[1]


@hypothesis_settings(deadline=None, max_examples=40)
@given(
    st.floats(0.5, 2),
    st.integers(0, 1000),
    st.sampled_from([(1, 1), (1, 3), (4, 4)]),
    st.integers(1, 30),
)
def test_exchanging_the_runs_inverts_every_ratio(factor, seed, processes, runs):
    sides = [
        cs.split(samples(median, runs, count, seed + number, 0.02), count)
        for number, (median, count) in enumerate(zip((10, 10 * factor), processes, strict=True))
    ]
    drawn = [cs.resample(side, 100)["median"] for side in sides]
    there = cs.ratio(*sides, tuple(drawn))
    back = cs.ratio(*reversed(sides), tuple(reversed(drawn)))
    assert there["low"] <= there["ratio"] * (1 + 1e-9) and there["ratio"] <= there["high"] * (1 + 1e-9)
    for one, other in (("ratio", "ratio"), ("low", "high"), ("within_low", "within_high")):
        assert there[one] == pytest.approx(1 / back[other])
    assert there["p"] == pytest.approx(back["p"])
    words = {"faster": "slower", "slower": "faster", "same": "same", "ambiguous": "ambiguous"}
    assert cs.latency_verdict(back, back["p"]) == words[cs.latency_verdict(there, there["p"])]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_and_keeps_the_order(values):
    corrected = cs.holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, corrected, strict=True))
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)
    if values:
        assert min(corrected) == min(1, len(values) * min(values))


def test_a_busy_machine_makes_no_row_slower(base, tmp_path):
    """What ran beside a row, in any of its processes, may be all of the difference."""
    slow = rows(2.0)
    for record, load in zip(slow, (2.9, 3.1, 3.1), strict=True):
        (state,) = record["measured_under"]
        busy = state | {
            "host": state["host"] | {"after": state["host"]["after"] | {"load_average": [load] * 3}}
        }
        record["measured_under"] = [state, busy]
    found = compared(base, write_run(tmp_path / "busy", slow))
    assert list(verdicts(found).values()) == ["slower", "ambiguous", "ambiguous"]
    assert "busy: the machine was busy (load 3.1 on 2 cores)" in " ".join(found["rows"][1]["notes"])


def test_p99_is_withheld_below_662_samples(base, tmp_path):
    long = write_run(tmp_path / "long", [latency(NAMES[0], samples(64, runs=662))])
    row = compared(base, long)["rows"][0]
    assert row["baseline"]["p99"] is None and row["baseline"]["p99_low"] is None
    assert row["candidate"]["p99_low"] <= row["candidate"]["p99"] <= row["candidate"]["p99_high"]


# --------------------------------------------------------------------------------------------- the scores


def test_a_lower_ap_is_a_regression(base, tmp_path):
    worse = write_run(
        tmp_path / "worse", rows(), [scores("clean", detected={"ap": 0.7}), scores("occlusion")]
    )
    found = compared(base, worse)
    clean, occlusion = found["conditions"]
    assert clean["paired"] and clean["verdict"] == "lower" and occlusion["verdict"] == "same"
    ap = clean["scores"]["ap"]
    assert ap["difference"] == pytest.approx(-0.04) and ap["low"] < -0.04 < ap["high"] < 0
    assert (found["exit_code"], found["reasons"]) == (1, ["Clean (baseline): ap lower (-0.0400)"])
    assert found["only_in"] == {"baseline": ["noise_heavy"], "candidate": []}
    assert compared(worse, base)["conditions"][0]["verdict"] == "higher"


def test_a_difference_too_small_to_matter_is_the_same(base, tmp_path):
    near = write_run(tmp_path / "near", rows(), [scores("clean", detected={"ap": 0.739})])
    (clean,) = compared(base, near)["conditions"]
    assert clean["scores"]["ap"]["p_holm"] < 0.05 and clean["verdict"] == "same"


def test_other_resamples_are_compared_unpaired_and_said_so(base, tmp_path):
    interval = {"level": 0.95, "resamples": 200, "seed": 1, "note": None}
    other = write_run(tmp_path / "other", rows(), [scores("clean", interval=interval)])
    (clean,) = compared(base, other)["conditions"]
    assert clean["paired"] is False and clean["pairing"] == "unpaired: another seed (2017 / 1)"
    assert (
        clean["scores"]["ap"]["low"] < -0.01 < 0.01 < clean["scores"]["ap"]["high"]
    )  # pairing had made it 0
    assert clean["verdict"] == "ambiguous"


def test_few_images_give_differences_without_intervals(tmp_path):
    few = [
        write_run(tmp_path / name, rows(), [scores("clean", images=5, detected={"ap": ap})])
        for name, ap in (("a", 0.7), ("b", 0.6))
    ]
    (clean,) = compared(*few)["conditions"]
    assert clean["verdict"] == "ambiguous" and "5 images" in clean["pairing"]
    assert clean["scores"]["ap"]["low"] is None


# ----------------------------------------------------------------------------------------------- the gate


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": {"bbox_thr": 0.5}}, "pipeline.bbox_thr is 0.3 / 0.5"),
        ({"config": {"flip_test": True}}, "pipeline.flip_test is false / true"),
        (
            {"dataset": {"name": "others", "annotations_sha256": "0" * 64, "images": 9}},
            "other images: the annotations differ (invented / others)",
        ),
        (
            {"models": {"detector": {"checkpoint_sha256": "1" * 64, "input_size": [320, 320]}, "pose": {}}},
            "another detector: sha256 eeeeeeeeeeee / 111111111111",
        ),
    ],
)
def test_runs_of_something_else_are_not_comparable(base, tmp_path, changes, reason):
    found = compared(base, write_run(tmp_path / "other", rows(2.0), **changes))
    assert (found["verdict"], found["exit_code"]) == ("not comparable", 2)
    assert set(verdicts(found).values()) == {"not comparable"}
    assert all(reason in row["reasons"] for row in (*found["rows"], *found["conditions"]))
    assert f"all rows and conditions: {reason}" in found["reasons"]
    assert found["geometric_mean"] is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"image": {"file_name": "b.jpg", "width": 640, "height": 426}},
            "another image (fake.jpg / b.jpg)",
        ),
        ({"persons": 4}, "another number of persons in the image (3 / 4)"),
    ],
)
def test_one_row_of_other_work_is_not_comparable(base, tmp_path, change, reason):
    changed = rows()
    changed[2] |= change
    found = compared(base, write_run(tmp_path / "other", changed))
    assert verdicts(found) == dict(zip(NAMES, ("same", "same", "not comparable"), strict=True))
    assert found["rows"][2]["reasons"] == [reason] and found["exit_code"] == 2
    assert found["reasons"] == [f"ONNX Pose CPU: {reason}"]


def test_a_row_without_a_result_is_not_measured(base, tmp_path):
    changed = rows()
    changed[1] |= {"persons": 2, "latency_ms": [0.5] * 200}
    found = compared(base, write_run(tmp_path / "other", changed))
    assert verdicts(found)["onnx_full_cpu"] == "not measured"
    reason = "other: no result (finds 2 persons in the image, where PyTorch Full CPU finds 3)"
    assert found["rows"][1]["reasons"] == [reason]


def test_networks_given_as_onnx_are_vouched_for_by_their_bytes(base, tmp_path):
    model = {"input_size": [320, 320], "checkpoint_sha256": None, "onnx_sha256": "a" * 64}
    given = {"models": {"detector": model, "pose": model}, "parity": []}
    runs = [write_run(tmp_path / name, rows(), **given) for name in ("one", "two")]
    found = compared(*runs)
    assert set(verdicts(found).values()) == {"same"}
    assert {row["status"] for row in found["conditions"]} == {"comparable"}


def test_an_artifact_counts_by_parity_or_by_its_bytes(base, tmp_path):
    def other(name, parity, digest):
        changed = rows()
        for record in changed[1:]:  # those of ONNX Runtime
            files = {"detector": {"file": "x", "sha256": digest}, "pose": {"file": "x", "sha256": digest}}
            record["provenance"] |= {"artifacts": files}
        return compared(base, write_run(tmp_path / name, changed, [scores("clean")], [parity]))["rows"][1]

    name = "onnxruntime_cpu_fp32"
    same = other("passes", fake_parity(name), "7" * 64)
    assert same["status"] == "comparable" and not any("tier" in note for note in same["notes"])
    assert [same[side]["tier"] for side in ("baseline", "candidate")] == ["exact", "exact"]
    lower = other("lower", fake_parity(name, ["max_keypoint_p95_px"]), "7" * 64)
    assert lower["status"] == "comparable" and lower["candidate"]["tier"] == "99.9 %"
    assert "another tier: exact in base, 99.9 % in lower" in lower["notes"]
    fails = other("fails", fake_parity(name, ["max_ap_diff"]), "7" * 64)
    assert (
        fails["status"] == "not comparable"
        and "fails: onnxruntime_cpu_fp32 fails (95.81 % [" in fails["reasons"][0]
    )
    unknown = other("unknown", fake_parity(name, reason="no PyTorch"), "7" * 64)
    assert "another artifact (aaaaaaaaaaaa, dddddddddddd / 777777777777" in unknown["reasons"][0]


def test_a_row_that_did_not_run_says_so_and_decides_nothing(base, tmp_path):
    changed = rows()
    changed[0] = latency(NAMES[0]) | {
        "status": "not run", "reason": "no CUDA device", "latency_ms": [], "stages_ms": {}, "image": None,
        "persons": None,
    }  # fmt: skip
    found = compared(base, write_run(tmp_path / "other", changed))
    assert found["rows"][0]["reasons"] == ["other: not run (no CUDA device)"]
    assert verdicts(found)[NAMES[0]] == "not measured" and found["exit_code"] == 0


def test_conditions_of_other_images_are_not_comparable(base, tmp_path):
    found = compared(base, write_run(tmp_path / "other", rows(), [scores("clean", images=80)]))
    (clean,) = found["conditions"]
    assert clean["reasons"] == ["other images (100 / 80)"] and found["exit_code"] == 2


def test_what_differs_is_listed(base, tmp_path):
    machine = {"cpu": {"model": "Other 1", "usable_cores": 8}, "memory_bytes": 8 * 2**30}
    machine["gpus"] = [{"name": "NVIDIA T4", "driver_version": "535", "sm_clock_mhz": 1500}]
    other = rows(machine=machine)
    for record in other:
        record["provenance"]["versions"] = {"python": "3.11", "numpy": "2.0"}
    folder = write_run(tmp_path / "other", other, git_revision="def", config={"keypoint_thr": 0.3})
    found = compared(base, folder)
    told = {
        (line["group"], line["key"]): (line["baseline"], line["candidate"]) for line in found["differences"]
    }
    assert told[("machine", "cpu.model")] == ("Fake 3000", "Other 1")
    assert told[("machine", "gpus.0.driver_version")] == (None, "535")
    assert told[("machine", "gpus.0.sm_clock_mhz")] == (None, "1500")
    assert told[("versions", "numpy")] == ("1.26.4", "2.0")
    assert told[("config", "pipeline.keypoint_thr")] == ("0.2", "0.3")
    assert told[("revision", "git_revision")] == ("abc1234", "def")
    assert ("config", "run") not in told
    assert "Other 1" in report.report(found)


# ------------------------------------------------------------------------------------- the published run


@pytest.fixture
def told(tmp_path):
    """The published run's folder, as the rule writes it."""
    facts = published.read_published(ROOT / "config/published_t4.yaml")
    folder = tmp_path / PUBLISHED
    records = published.make_records(facts)
    for name, record in records.items():
        write_json(folder / name, record, published.SCHEMA)
    hashes = {name: sha256_file(folder / name) for name in records}
    write_json(folder / "run.json", published.make_run_record(facts, hashes), published.SCHEMA)
    return folder


def test_the_published_run_stands_beside_a_run_without_a_verdict(told, tmp_path):
    mine = write_run(tmp_path / "mine", rows(), [scores("clean"), scores("occlusion")])
    found = compared(told, mine)
    assert (found["verdict"], found["exit_code"]) == ("not comparable", 2)
    assert found["baseline"]["kind"] == "published" and "Tesla T4" in found["baseline"]["machine"]
    row = found["rows"][0]
    assert row["baseline"] == {"kind": "published", "mean": 875.46, "p95": 906.04, "p99": 944.22}
    assert row["ratio_of_means"] == pytest.approx(row["candidate"]["mean"] / 875.46)
    assert "no raw samples were kept; Flip test, as above" in row["reasons"][0] and "ratio" not in row
    assert "another image (fake.jpg)" in row["reasons"][1]
    clean = found["conditions"][0]
    mine_rate = scores("clean")["scores"]["original"]["detection_rate"]["value"]
    assert clean["set"] == "original" and "ap" not in clean["scores"]
    rate = clean["scores"]["detection_rate"]
    assert (rate["baseline"], rate["candidate"]) == (0.952, mine_rate)
    assert "counts as detected" in clean["reasons"][0]
    text = report.report(found)
    assert "**published, not measured here**" in text and "875.5" in text and "No row is comparable" in text
    assert compared(mine, told)["exit_code"] == 2


def test_published_files_are_never_taken_for_measured_ones(told):
    for file in told.rglob("*.json"):
        record = read_json(file)
        assert (record["kind"], record["status"]) == ("published", "published")
    assert len(list(told.glob("latency/*.json"))) == 8
    assert {file.stem for file in told.glob("robustness/*.json")} == set(STUDY_CONDITIONS)
    with pytest.raises(PoseGaugeError, match=r"does not fit latency\.schema\.yaml"):
        read_latency(told.glob("latency/*.json"))
    with pytest.raises(PoseGaugeError, match=r"does not fit robustness\.schema\.yaml"):
        read_scores(told.glob("robustness/*.json"))


def test_a_measured_record_in_the_published_run_is_refused(told):
    write_json(told / "latency" / "onnx_full_cpu.json", latency("onnx_full_cpu"))
    record = read_json(told / "run.json")
    record["files"]["latency/onnx_full_cpu.json"] = sha256_file(told / "latency" / "onnx_full_cpu.json")
    write_json(told / "run.json", record)
    with pytest.raises(PoseGaugeError, match=r"onnx_full_cpu\.json: does not fit published\.schema\.yaml"):
        compare.read_run(told)


# --------------------------------------------------------------------------------------------- bad input


def refused(folder) -> str:
    with pytest.raises(PoseGaugeError) as caught:
        compare.read_run(folder)
    return str(caught.value)


def test_an_unfinished_run_is_refused(base):
    (base / "run.json").unlink()
    message = refused(base)
    assert "is no finished run: run.json is missing" in message and "latency" in message


def test_a_missing_file_is_named(base):
    (base / "latency" / "onnx_full_cpu.json").unlink()
    (base / "robustness" / "clean.npz").unlink()
    message = refused(base)
    assert (
        "is incomplete: latency/onnx_full_cpu.json, robustness/clean.npz of run.json are missing" in message
    )


@pytest.mark.parametrize(
    "name", ["latency/onnx_full_cpu.json", "robustness/clean.npz", "parity/onnxruntime_cpu_fp32.json"]
)
def test_an_edited_file_is_named(base, name):
    (base / name).write_bytes((base / name).read_bytes() + b" ")
    message = refused(base)
    assert f"{name} changed after the run ended" in message and "sha256" in message


def test_an_edited_config_is_named(base):
    record = read_json(base / "run.json")
    record["config"]["pipeline"]["bbox_thr"] = 0.5
    write_json(base / "run.json", record)
    with pytest.raises(PoseGaugeError, match="config changed after the run ended"):
        compare.read_run(base)


def test_another_schema_version_is_named(base):
    record = read_json(base / "run.json")
    write_json(base / "run.json", record | {"schema_version": 7})
    assert "run.json: is of schema version 7, this program reads 1" in refused(base)
    file = base / "robustness" / "clean.json"
    write_json(file, read_json(file) | {"schema_version": 1})
    close(base)
    assert "clean.json: is of schema version 1, this program reads 2" in refused(base)


@pytest.mark.parametrize("name", ["../latency/x.json", "/etc/passwd", "latency/../../x.json"])
def test_files_outside_the_run_are_refused(base, name):
    record = read_json(base / "run.json")
    record["files"][name] = "0" * 64
    write_json(base / "run.json", record)
    assert "does not lie inside the run's folder" in refused(base)


def test_a_damaged_run_json_is_named(base):
    (base / "run.json").write_text("[]")
    assert "run.json: expected an object" in refused(base)
    (base / "run.json").write_text("{")
    assert "run.json: not valid JSON" in refused(base)


def test_runs_without_a_common_row_are_refused(tmp_path):
    one, other = (write_run(tmp_path / name, [latency(name)]) for name in NAMES[:2])
    with pytest.raises(
        PoseGaugeError, match="no benchmark row in common: pytorch_full_cpu has pytorch_full_cpu;"
    ):
        compared(one, other)


def test_samples_must_divide_among_their_processes(tmp_path):
    bad = write_run(tmp_path / "bad", [latency(NAMES[0], samples(64, runs=7), processes=2)])
    with pytest.raises(PoseGaugeError, match="7 samples are not the same number from each of 2 processes"):
        compared(bad, bad)


def test_runs_are_found_by_name_or_path(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    shutil.copytree(base, tmp_path / "results" / "laptop")
    assert store_runs.find("laptop") == Path("results/laptop")
    assert store_runs.find(str(base)) == base
    assert store_runs.find("results/laptop") == Path("results/laptop")
    assert store_runs.find(store_runs.PUBLISHED) == Path("results") / store_runs.PUBLISHED
    with pytest.raises(PoseGaugeError, match=r"no run 'labtop'.*\(did you mean 'laptop'\?\).*published-t4"):
        store_runs.find("labtop")
    before = store_runs.state(base)
    (base / "latency" / "onnx_full_cpu.json").write_text("{}")
    assert store_runs.state(base) != before


@given(st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text))
def test_a_label_is_always_a_plain_file_name(text):
    label = store_runs.label(f"results/{text}")
    assert label and Path(label).name == label and not label.startswith(".")


# --------------------------------------------------------------------------------------- files and figure


def test_the_table_has_every_number_and_the_mean_last(base, tmp_path):
    found = compared(base, write_run(tmp_path / "other", rows(1.5, seed=3)))
    table = report.table(found)
    assert list(table["kind"].unique()) == ["latency", "score", "geometric mean"]
    assert table.iloc[-1]["ratio"] == found["geometric_mean"]["ratio"]
    first, row = table.iloc[0], found["rows"][0]
    assert (first["name"], first["ratio"], first["verdict"]) == (NAMES[0], row["ratio"], "slower")
    assert first["candidate_p95_high"] == row["candidate"]["p95_high"]
    assert first["stage_pose_ratio"] == row["stages"]["pose"]


def test_a_change_of_tier_is_said_in_every_form(base, tmp_path):
    lower = fake_parity("onnxruntime_cpu_fp32", ["max_keypoint_p95_px"])
    found = compared(base, write_run(tmp_path / "lower", rows(), parity=[lower]))
    assert found["verdict"] == "no regression"
    text = report.report(found)
    assert "same · exact / 99.9 % |" in text and "another tier: exact in base, 99.9 % in lower." in text
    assert text.count("same · ") == 2, "PyTorch's row is the source in both"
    assert report.summary(found).count("· exact / 99.9 %") == 2
    table = report.table(found).set_index("name")
    assert table.loc[list(NAMES), "candidate_tier"].tolist() == ["source", "99.9 %", "99.9 %"]
    report.plot(found, tmp_path / "a.png")


def test_the_figure_is_drawn_also_when_nothing_is_comparable(base, told, tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    report.plot(compared(base, base), paths[0])
    report.plot(compared(told, base), paths[1])
    report.plot(compared(base, base), paths[2])
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert paths[0].read_bytes() == paths[2].read_bytes() != paths[1].read_bytes()


def test_foreign_text_cannot_break_the_tables(base, tmp_path):
    machine = {"cpu": {"model": "a | b\n<script>", "usable_cores": 2}, "memory_bytes": 2**30, "gpus": []}
    text = report.report(compared(base, write_run(tmp_path / "other", rows(machine=machine))))
    assert "<script>" not in text and "a \\| b" in text


def test_the_study_covers_what_was_published():
    facts = published.read_published(ROOT / "config/published_t4.yaml")
    records = published.make_records(facts)
    assert {record["of"] for record in records.values()} == {"latency", "robustness"}
    for record in records.values():
        name = record.get("benchmark") or record["condition"]
        assert name in BENCHMARKS or name in STUDY_CONDITIONS
        json.dumps(record)
    assert sha256_json(records) == sha256_json(published.make_records(facts))
