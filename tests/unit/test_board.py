"""The board: the front, the budget, the cost, what each change is worth, and what is refused."""

import shutil

import numpy as np
import pytest
from fake_board import FACTS, GPU, PAIRS, ROWS, SETTINGS, read, write_pair
from fake_results import MACHINE, fake_parity
from fake_runs import close
from hypothesis import given
from hypothesis import strategies as st

from posegauge.compare import board, board_findings, board_report, changes, every, history
from posegauge.compare.front import answer, cost_per_million, on_front
from posegauge.errors import PoseGaugeError
from posegauge.store.files import read_json, write_json


def worth_of(rows):
    """What each change is worth."""
    return changes.changes(rows, every.table(list(dict.fromkeys(row.run for row in rows))))


def by_name(rows) -> dict:
    return {(row.shown["run"], row.shown["benchmark"]): row.shown for row in rows}


# ----------------------------------------------------------------------------------------------- the front

POINT = st.tuples(st.integers(1, 6).map(float), st.integers(0, 6).map(lambda ap: ap / 10))


def beats(one: dict, other: dict) -> bool:
    no_worse = one["ms_p50"] <= other["ms_p50"] and one["ap"] >= other["ap"]
    return no_worse and (one["ms_p50"], one["ap"]) != (other["ms_p50"], other["ap"])


@given(st.lists(POINT, max_size=12))
def test_what_no_row_beats_is_on_the_front_and_nothing_else(points):
    rows = [{"ms_p50": ms, "ap": ap} for ms, ap in points]
    assert on_front(rows) == [not any(beats(other, row) for other in rows) for row in rows]


def row(name: str, ms: float, p95: float, ap: float) -> dict:
    return {"name": name, "ms_p50": ms, "ms_p95": p95, "ap": ap}


ON_SALE = [
    row("tiny", 10, 12, 0.60),
    row("small", 20, 45, 0.68),
    row("medium", 30, 33, 0.72),
    row("large", 60, 66, 0.75),
]


@pytest.mark.parametrize(
    ("max_ms", "min_ap", "expected"),
    [
        # The most accurate in time, and by how much the next better one is late: at P95, not P50.
        (33, None, {"best": "medium", "better": "large", "misses_ms": 33}),
        (32, None, {"best": "tiny", "better": "medium", "misses_ms": 1}),
        (100, None, {"best": "large"}),
        # The fastest that is accurate enough, and what the next faster lacks.
        (None, 0.7, {"best": "medium", "faster": "small", "misses_ap": 0.02}),
        (None, 0.5, {"best": "tiny"}),
        (
            50,
            0.7,
            {"best": "medium", "better": "large", "misses_ms": 16, "faster": "small", "misses_ap": 0.02},
        ),
        # Nothing fits: what is closest on either side.
        (20, 0.7, {"in_time": "tiny", "misses_ap": 0.1, "accurate": "medium", "misses_ms": 13}),
        (5, None, {"accurate": "tiny", "misses_ms": 7}),
        (None, 0.9, {"in_time": "large", "misses_ap": 0.15}),
        (5, 0.9, {}),
    ],
)
def test_the_best_row_for_a_budget_and_what_holds_it_back(max_ms, min_ap, expected):
    found = answer(ON_SALE, max_ms, min_ap)
    shown = {key: value["name"] if isinstance(value, dict) else value for key, value in found.items()}
    wanted = dict.fromkeys(found) | expected
    for key, value in wanted.items():
        assert shown[key] == (pytest.approx(value) if isinstance(value, float | int) else value), key


def test_a_million_frames_cost_what_the_hours_cost():
    # 10 ms a frame are 10,000 s a million, 2.78 hours.
    assert cost_per_million(0.36, 10.0) == pytest.approx(1.0)
    assert cost_per_million(0.0, 10.0) == 0 and cost_per_million(None, 10.0) is None


# ------------------------------------------------------------------------------------------------- the rows


def test_timed_rows_have_the_published_ap_of_their_pair_and_say_so(tmp_path):
    rows = read(write_pair(tmp_path / "a", "nano-m"))
    shown = by_name(rows)["a", "onnx_full_cpu"]
    assert (shown["ap"], shown["ap_kind"], shown["tier"]) == (0.732, board.PUBLISHED, "not checked")
    assert "not measured here" in shown["ap_note"] and shown["ap_low"] is None
    assert shown["ms_p50_low"] < shown["ms_p50"] < shown["ms_p50_high"]
    record = read_json(tmp_path / "a/latency/onnx_full_cpu.json")
    assert shown["ms_p95"] == pytest.approx(np.percentile(record["latency_ms"], 95))
    assert [row.shown["benchmark"] for row in rows] == list(ROWS), "rows of the pose network alone are none"


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({"flip_test": True}, {}),
        ({}, {"detector": {"config": "mmpose::demo/mmdetection_cfg/rtmdet_tiny_8xb32-300e_coco.py"}}),
    ],
)
def test_networks_that_are_not_published_have_no_ap(tmp_path, config, settings):
    folder = write_pair(tmp_path / "a", "nano-m", config=config)
    about = read_json(folder / "run.json")
    for role, changed in settings.items():
        about["config"]["models"][role] |= changed
    close(folder, config, {"models": about["config"]["models"]}, models=about["models"])
    shown = by_name(read(folder))["a", "onnx_full_cpu"]
    assert shown["ap"] is None and shown["ap_kind"] == board.UNKNOWN and not shown["front"]
    assert "no pair of these networks is published" in shown["ap_note"]


def test_a_published_ap_is_not_that_of_int8(tmp_path):
    parity = [fake_parity("onnxruntime_cpu_int8", reason="random weights")]
    rows = read(write_pair(tmp_path / "a", rows={"onnx_int8_full_cpu": 0.3}, parity=parity))
    assert rows[0].shown["ap"] is None and "not that of INT8" in rows[0].shown["ap_note"]


def test_pairs_without_an_ap_do_not_hide_that_of_the_others(tmp_path):
    rows = {**ROWS, "openvino_bf16_full_cpu": 0.3}
    folders = [write_pair(tmp_path / pair, pair, rows=rows, seed=1) for pair in ("nano-m", "m-m")]
    found = {line["factor"]: line for line in worth_of(read(*folders)).to_dict("records")}
    detector = found["detector"]
    assert detector["pairs"] == len(rows) and detector["ap_kind"] == board.PUBLISHED
    assert detector["ap_change"] == pytest.approx(0.732 - 0.757)
    assert np.isnan(found["precision"]["ap_change"])


def kept(artifact: str, share: float) -> dict:
    """A parity record of an artifact that is not exact and keeps a share of AP."""
    record = fake_parity(artifact, ["max_keypoint_p95_px"])
    value = share * record["ap_source"]["value"]
    ends = {"value": share, "low": share - 0.002, "high": share + 0.002}
    return record | {"ap_artifact": record["ap_artifact"] | {"value": value}, "ap_share": ends}


def test_a_row_has_the_share_of_ap_that_its_artifact_keeps(tmp_path):
    parity = [
        fake_parity("onnxruntime_cpu_fp32"),
        kept("openvino_cpu_fp32", 0.994),
        kept("onnxruntime_cpu_int8", 0.9),
    ]
    rows = {**ROWS, "onnx_int8_full_cpu": 0.2}
    found = read(write_pair(tmp_path / "a", "nano-m", ap=0.7, rows=rows, parity=parity))
    own = {name: shown for (_, name), shown in by_name(found).items()}
    assert [own[name]["tier"] for name in rows] == ["source", "exact", "99 %", "fails"]
    assert own["pytorch_full_cpu"]["ap"] == own["onnx_full_cpu"]["ap"] == 0.7, "exact: the share is noise"
    assert own["openvino_full_cpu"]["ap"] == pytest.approx(0.7 * 0.994)
    low = own["pytorch_full_cpu"]["ap_low"]
    assert own["openvino_full_cpu"]["ap_low"] == pytest.approx(low * 0.994)
    assert own["onnx_int8_full_cpu"]["ap"] == pytest.approx(0.63), "shown, and on no front"
    parity[2] = kept("onnxruntime_cpu_int8", 1.02)
    again = by_name(read(write_pair(tmp_path / "b", "nano-m", ap=0.7, rows=rows, parity=parity)))
    (more,) = [shown for (_, name), shown in again.items() if name == "onnx_int8_full_cpu"]
    assert more["ap"] == 0.7 and more["tier"] == "99.9 %", "more than its source's is chance"
    assert {name for name, shown in own.items() if shown["front"]} == {"openvino_full_cpu", "onnx_full_cpu"}
    text = board_report.rows_text(found, SETTINGS)
    assert "99 % (99.40 % [99.20, 99.60] of AP)" in text and "fails (90.00 % [89.80, 90.20] of AP)" in text


def test_a_failing_row_is_shown_and_on_no_front(tmp_path):
    parity = [fake_parity("onnxruntime_cpu_fp32", ["max_ap_diff"]), fake_parity("openvino_cpu_fp32")]
    rows = read(write_pair(tmp_path / "a", ap=0.7, parity=parity), max_ms=1000)
    shown = by_name(rows)
    assert shown["a", "onnx_full_cpu"]["tier"] == "fails" and not shown["a", "onnx_full_cpu"]["front"]
    assert shown["a", "openvino_full_cpu"]["front"]
    worth = worth_of(rows)
    assert len(worth) == 1 and worth.iloc[0]["to"] == "OpenVINO", "no change is told by a row that fails"


def test_measured_and_published_ap_have_a_front_each(tmp_path):
    scored = write_pair(tmp_path / "scored", "nano-t", ap=0.9)
    timed = write_pair(tmp_path / "timed", "m-l")
    shown = by_name(read(scored, timed))
    assert shown["timed", "openvino_full_cpu"]["front"], "not beaten by what was scored on other images"
    assert shown["scored", "openvino_full_cpu"]["front"]


def test_each_machine_has_its_front(tmp_path):
    slow = write_pair(tmp_path / "slow", "nano-t", ap=0.6)
    fast = write_pair(tmp_path / "fast", "nano-t", ap=0.6, factor=0.5, machine=GPU)
    shown = by_name(read(slow, fast))
    assert shown["fast", "openvino_full_cpu"]["front"] and not shown["slow", "openvino_full_cpu"]["front"]
    assert shown["slow", "openvino_full_cpu"]["front_of_machine"]


def test_energy_and_its_reason_are_those_of_the_row(tmp_path, monkeypatch):
    original = board.benchmark_table

    def table(records, parity):
        found = original(records, parity)
        measured = found["benchmark"] == "onnx_full_cpu"
        found["joules_per_frame"] = np.where(measured, 1.5, np.nan)
        found["power_source"] = np.where(measured, "RAPL", None)
        found["energy_without"] = np.where(measured, "memory", None)
        found["energy_reason"] = np.where(measured, None, "no counter may be read")
        return found

    monkeypatch.setattr(board, "benchmark_table", table)
    rows = read(write_pair(tmp_path / "a"))
    shown = by_name(rows)
    row = shown["a", "onnx_full_cpu"]
    assert (row["joules_per_frame"], row["energy_reason"]) == (1.5, None)
    assert shown["a", "pytorch_full_cpu"]["joules_per_frame"] is None
    text = board_report.rows_text(rows, SETTINGS)
    assert "Energy not known: no counter may be read (`a`)." in text and "from RAPL (`a`)." in text
    assert "Power not counted: memory (`a`)." in text
    assert "Cost not known: board.price_per_hour has no price (`a`)." in text


def test_cost_is_the_price_of_the_machine(tmp_path):
    one = write_pair(tmp_path / "one")
    other = write_pair(tmp_path / "other", machine=GPU)
    rows = read(one, other, price_per_hour={"one": 0.36}, currency="EUR")
    shown = by_name(rows)
    mean = shown["one", "onnx_full_cpu"]["ms_mean"]
    assert shown["one", "onnx_full_cpu"]["cost_per_million"] == pytest.approx(mean / 10)
    assert shown["one", "onnx_full_cpu"]["currency"] == "EUR"
    assert shown["other", "onnx_full_cpu"]["cost_per_million"] is None
    assert "no price (`other`)" in board_report.rows_text(rows, SETTINGS)
    with pytest.raises(
        PoseGaugeError, match=r"is one number, but the runs are of 2 machines .*\{one: 1, other: 1\}"
    ):
        read(one, other, price_per_hour=0.36, currency="EUR")


# -------------------------------------------------------------------------------------------------- refusals


def refused(*folders) -> str:
    with pytest.raises(PoseGaugeError) as caught:
        read(*folders)
    return str(caught.value)


def test_every_bad_run_is_named_at_once(tmp_path):
    good, edited, old, open_ = (write_pair(tmp_path / name) for name in ("good", "edited", "old", "open"))
    file = edited / "latency/onnx_full_cpu.json"
    file.write_text(file.read_text() + " ")
    write_json(old / "run.json", read_json(old / "run.json") | {"schema_version": 7})
    (open_ / "run.json").unlink()
    message = refused(good, edited, old, open_)
    assert message.count("\n  - ") == 3
    assert "latency/onnx_full_cpu.json changed after the run ended" in message
    assert "is of schema version 7, this program reads 1" in message
    assert "is no finished run: run.json is missing" in message


def test_runs_of_other_data_have_no_common_board(tmp_path):
    one = write_pair(tmp_path / "one", ap=0.6)
    data = {"name": "others", "annotations_sha256": "0" * 64, "images": 9}
    message = refused(one, write_pair(tmp_path / "other", ap=0.7, dataset=data))
    assert "no common data set" in message and "others (000000000000): other" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"persons": 4},
            "other numbers of persons are timed (benchmark.boxes: annotated times the same for all)",
        ),
        ({"image": {"file_name": "b.jpg", "width": 1, "height": 1}}, "other images are timed"),
    ],
)
def test_rows_of_other_work_have_no_common_board(tmp_path, change, reason):
    one, other = write_pair(tmp_path / "one"), write_pair(tmp_path / "other", "m-m")
    for path in other.glob("latency/*.json"):
        write_json(path, read_json(path) | change)
    about = read_json(other / "run.json")
    close(other, None, {"models": about["config"]["models"]}, models=about["models"])
    message = refused(one, other)
    assert reason in message and "one" in message and "other" in message


def test_other_settings_are_refused_key_by_key(tmp_path):
    message = refused(write_pair(tmp_path / "one"), write_pair(tmp_path / "other", config={"bbox_thr": 0.5}))
    assert "pipeline.bbox_thr is 0.3 in one, 0.5 in other" in message


def test_two_folders_of_one_name_cannot_be_told_apart(tmp_path):
    one = write_pair(tmp_path / "run")
    shutil.copytree(one, tmp_path / "copy/run")
    assert "2 folders are named run: rename one" in refused(one, tmp_path / "copy/run")


def test_runs_without_a_row_of_both_networks_are_refused(tmp_path):
    assert "no detect+pose row ran" in refused(write_pair(tmp_path / "a", rows={"onnx_pose_cpu": 1.0}))


# ----------------------------------------------------------------------------------- what a change is worth


def test_a_change_is_told_by_rows_that_differ_in_it_alone(tmp_path):
    folders = [write_pair(tmp_path / pair, pair, seed=number) for number, pair in enumerate(PAIRS)]
    worth = worth_of(read(*folders))
    found = {(line["factor"], line["from"], line["to"]): line for line in worth.to_dict("records")}
    detector = found["detector", "RTMDet-m", "RTMDet-nano"]
    # With RTMPose-m and -l, in each of three runtimes.
    assert detector["pairs"] == 6 and detector["overlapping"] == 0
    assert detector["ratio"] == pytest.approx(((100 / 595) * (175 / 670)) ** 0.5, rel=0.02)
    assert detector["low"] < detector["ratio"] < detector["high"]
    assert detector["ap_change"] == pytest.approx((0.732 - 0.757 + 0.742 - 0.766) / 2)
    assert detector["ap_kind"] == board.PUBLISHED
    runtime = found["runtime", "PyTorch", "OpenVINO"]
    assert runtime["pairs"] == 6 and runtime["ratio"] == pytest.approx(0.5, rel=0.02)
    assert np.isnan(runtime["ap_change"]), "a published AP says nothing of a runtime"
    poses = {key for key in found if key[0] == "pose"}
    assert len(poses) == 6 and found["pose", "RTMPose-l", "RTMPose-m"]["pairs"] == 6
    assert found["pose", "RTMPose-l", "RTMPose-t"]["pairs"] == 3
    assert worth["ratio"].is_monotonic_increasing and (worth["ratio"] <= 1).all()
    assert not {"precision", "interval"} & set(worth["factor"])


def test_a_measured_change_of_ap_is_paired(tmp_path):
    one, other = (
        write_pair(tmp_path / "one", "nano-m", ap=0.7),
        write_pair(tmp_path / "other", "m-m", ap=0.74),
    )
    worth = worth_of(read(one, other))
    detector = worth[worth["factor"] == "detector"].iloc[0]
    assert detector["ap_change"] == pytest.approx(-0.04) and detector["ap_kind"] == board.MEASURED
    assert detector["ap_change_low"] < -0.04 < detector["ap_change_high"] < -0.03
    runtimes = worth[worth["factor"] == "runtime"]
    assert (runtimes["ap_change"] == 0).all() and (runtimes["ap_change_low"] == 0).all()


def test_threads_or_machines_apart_make_no_pair(tmp_path):
    one = write_pair(tmp_path / "one", "nano-m")
    other = write_pair(tmp_path / "other", "m-m", machine=GPU)
    assert set(worth_of(read(one, other))["factor"]) == {"runtime"}


def test_the_sentences_say_what_the_tables_say(tmp_path):
    folders = [write_pair(tmp_path / pair, pair) for pair in PAIRS]
    rows = read(*folders)
    settings = SETTINGS | {"max_ms": 70, "min_ap": 0.7}
    told = board_findings.findings(rows, worth_of(rows), settings)
    texts = {line["id"]: line["text"] for line in told}
    assert list(texts) == ["detector", "pose", "runtime", "without", "front", "budget"]
    assert texts["detector"].startswith("Detector: RTMDet-nano in place of RTMDet-m is 4.")
    assert "changes AP by -0.025 as published (6 pairs of rows" in texts["detector"]
    assert "what it does to AP is not known" in texts["runtime"]
    assert texts["without"] == "No two rows differ in this alone: precision and detection interval."
    assert "the front (published AP) has 6 of 18 rows" in texts["front"].lower().replace("ap", "AP")
    assert "RTMDet-nano + RTMPose-m, OpenVINO Full CPU" in texts["budget"]
    assert "And AP: RTMDet-nano + RTMPose-s" in texts["budget"]
    none = board_findings.budget(rows, SETTINGS | {"max_ms": 1})
    assert none[0].startswith(
        "For 1 ms per frame at P95 (published AP): nothing fits. Closest is RTMDet-nano"
    )


def film(n: int, ms: list, speedup: float, change: float | None) -> dict:
    """An invented row of a film: the detector on every n-th frame."""
    estimate = {"value": speedup, "low": 0.9 * speedup, "high": speedup / 0.9}
    ap = None if change is None else {"ap": {"value": 0.7 + change, "low": 0.6, "high": 0.8}}
    gap = change and {"value": change, "low": change - 0.03, "high": change + 0.04}
    return {"detect_every": n, "latency_ms": ms, "speedup": estimate, "scores": ap, "ap_change": gap}


def test_the_interval_is_told_by_films_against_every_frame(tmp_path):
    rows = read(write_pair(tmp_path / "a"), write_pair(tmp_path / "b", "nano-s"))
    for run, speedup, change in zip(
        dict.fromkeys(row.run for row in rows), (2.0, 8.0), (-0.02, -0.04), strict=True
    ):
        first = film(1, [[10.0, 10.0], [12.0, 10.0]], 1.0, 0.0) | {"ap_change": None}
        ours = {"way": "ours", "status": "ok", "rows": [first, film(5, [[10.0, 2.0]] * 2, speedup, change)]}
        peer = ours | {"way": "rtmlib"}
        head = {
            "artifact": "onnxruntime_cpu_fp32",
            "runtime": "onnxruntime",
            "device": "cpu",
            "precision": "fp32",
        }
        about = {
            "film": {"file_name": "walk.mp4", "title": "SYNTHETIC: drawn", "frames": 2},
            "provenance": {"machine": MACHINE},
        }
        run.detect_every = [{**head, **about, "ways": [ours, peer]}]
    runs = list(dict.fromkeys(row.run for row in rows))
    table = every.table(runs)
    assert list(table["detect_every"]) == [1, 5, 1, 5] and table["ms_mean"].tolist() == [10.5, 6.0] * 2
    (line,) = every.changes(table)
    assert (line["from"], line["to"], line["pairs"], line["overlapping"]) == (
        "every frame",
        "every 5th frame",
        2,
        2,
    )
    assert line["ratio"] == pytest.approx(1 / 4) and line["low"] < 0.25 < line["high"]
    # Two errors of a factor .9 on the logarithm, added up and halved.
    assert line["high"] / line["ratio"] == pytest.approx(0.9 ** -(2**0.5 / 2))
    assert line["ap_change"] == pytest.approx(-0.03)
    assert line["ap_change_low"] == pytest.approx(-0.03 - 0.03 * 2**0.5 / 2)
    told = {one["id"]: one["text"] for one in board_findings.findings(rows, worth_of(rows), SETTINGS)}
    assert told["interval"].startswith(
        "Detection interval: every 5th frame in place of every frame is 4.00× as fast"
    )
    assert "changes AP by -0.030 [" in told["interval"]
    # With few rounds there is no interval.
    for run in runs:
        for one in run.detect_every[0]["ways"][0]["rows"]:
            one["speedup"] |= {"low": None, "high": None}
    (line,) = every.changes(every.table(runs))
    assert line["ratio"] == pytest.approx(1 / 4) and np.isnan([line["low"], line["high"]]).all()
    few = {one["id"]: one["text"] for one in board_findings.findings(rows, worth_of(rows), SETTINGS)}
    assert "is 4.00× as fast and changes AP" in few["interval"]
    assert told["interval"].endswith("on the film walk.mp4, SYNTHETIC: drawn.")
    assert "| RTMDet-nano + RTMPose-t | ONNX Runtime, CPU, FP32 | every 5th frame | 6.00 |" in every.text(
        table
    )
    assert every.text(every.table([])) == "" and every.changes(every.table([])) == []
    assert [every.name_of(n) for n in (1, 2, 3, 11, 21)][1:] == [
        "every 2nd frame", "every 3rd frame", "every 11th frame", "every 21st frame",
    ]  # fmt: skip


def test_a_film_is_read_from_the_run_and_held_against_its_hash(tmp_path):
    folder = write_pair(tmp_path / "a")
    about = read_json(folder / "run.json")
    row = film(1, [[10.0, 11.0]], 1.0, None) | {"detected": [True, True], "lost": None, "persons": [1, 1]}
    record = {
        "schema_version": 1, "kind": "detect_every", "status": "ok", "reason": None,
        "artifact": "onnxruntime_cpu_fp32", "runtime": "onnxruntime", "device": "cpu", "precision": "fp32",
        "execution": "plain", "images_on": "host", "threads": 2,
        "film": {
            "file_name": "walk.mp4", "sha256": "a" * 64, "title": None, "width": 64, "height": 64,
            "frame_rate": 15.0, "frames": 2, "annotated_frames": 0, "annotated_persons": 0,
        },
        "tracking": {"max_margin": 0.4, "min_keypoints": 4, "same_person": 0.15}, "rounds": 1,
        "interval": {"level": 0.95, "resamples": 0, "seed": 1, "block_frames": 1, "note": "too few"},
        "ways": [{"way": "ours", "status": "ok", "reason": None, "rows": [row | {"ours": None}]}],
        "provenance": {"machine": MACHINE, "versions": {}},
    }  # fmt: skip
    path = folder / "detect_every/onnxruntime_cpu_fp32.json"
    write_json(path, record, "detect_every.schema.yaml")
    close(folder, None, {"models": about["config"]["models"]}, models=about["models"])
    runs = board.read([folder], FACTS, SETTINGS)[0]
    assert every.table(runs)["ms_mean"].tolist() == [10.5]
    path.write_text(path.read_text() + " ")
    assert "detect_every/onnxruntime_cpu_fp32.json changed after the run ended" in refused(folder)


# ----------------------------------------------------------------------------------------------- the history


def test_the_same_rows_of_one_machine_make_a_history(tmp_path):
    first = write_pair(tmp_path / "first", "nano-t", day=1)
    again = write_pair(tmp_path / "again", "nano-t", day=2, factor=1.2, seed=1)
    other = write_pair(tmp_path / "other", "nano-s", day=3)
    elsewhere = write_pair(tmp_path / "elsewhere", "nano-t", day=4, machine=GPU)
    rows = read(again, first, other, elsewhere)
    table = history.table(rows)
    assert list(table["run"]) == ["first", "again"] * 3 and set(table["benchmark"]) == set(ROWS)
    again_rows = table[table["run"] == "again"]
    assert again_rows["ratio"].to_numpy() == pytest.approx(1.2, rel=0.02)
    assert (again_rows["ratio_low"] < 1.2).all() and (again_rows["ratio_high"] > 1.2).all()
    assert (table[table["run"] == "first"]["ratio"] == 1).all()
    assert (table["ms_p50_low"] < table["ms_p50"]).all() and (table["ms_p50"] < table["ms_p50_high"]).all()
    shown = by_name(rows)
    assert shown["first", "onnx_full_cpu"]["measured_again_in"] == "again"
    assert not shown["first", "openvino_full_cpu"]["front"], "the later run stands for the row"
    assert shown["again", "openvino_full_cpu"]["front_of_machine"]
    assert history.table(read(first, other)).empty and history.text(history.table(read(first, other))) == ""
