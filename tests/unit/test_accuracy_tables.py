"""The tables of the scores and their Markdown, from invented records."""

import numpy as np
import pandas as pd
import pytest
from fake_results import RESAMPLES, fake_scores, write_scores
from hypothesis import given
from hypothesis import strategies as st

from posegauge.errors import PoseGaugeError
from posegauge.report import accuracy, loss, markdown, protocols
from posegauge.report import robustness as pages
from posegauge.report.coco_c import suites_markdown, suites_table
from posegauge.report.records import KEYPOINT_METRICS, ROBUSTNESS_METRICS, read_scores, robustness_table
from posegauge.score import estimate
from posegauge.score.estimate import Estimate
from posegauge.store import files
from posegauge.study import BOX_SOURCES, CONDITIONS, STUDY_CONDITIONS, SUITES

COCO_C = [f"coco_c_{name}_{severity}" for name in ("gaussian_noise", "fog") for severity in (1, 3, 5)]
NAMES = [*STUDY_CONDITIONS, *COCO_C]
NOTHING_ANNOTATED = dict.fromkeys(KEYPOINT_METRICS)
NOBODY_FOUND = {
    "detection_rate": 0.0, "mean_confidence": None, "persons_per_image": 0.0,
    **dict.fromkeys(KEYPOINT_METRICS, 0.0), "box_ap": 0.0, "person_recall": 0.0,
    "false_positives_per_image": 0.0, "missed_person_rate": 1.0, "mean_similarity": None, "ece": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return [fake_scores(name) for name in NAMES]


def of(table: pd.DataFrame, condition: str) -> dict:
    return table[table["condition"] == condition].iloc[0].to_dict()


def shifted(name: str, shift: float) -> dict:
    """A condition whose AP is that of clean images plus `shift`, on every resample."""
    clean, record = fake_scores("clean"), fake_scores(name)
    for box_set in BOX_SOURCES:
        value = clean["scores"][box_set]["ap"]["value"] + shift
        record["scores"][box_set]["ap"]["value"] = value
        record["replicates"][f"{box_set}.ap"] = clean["replicates"][f"{box_set}.ap"] + shift
    return record


# ------------------------------------------------------------------------------------------- the files


def test_records_come_in_the_order_of_the_study_with_their_replicates(tmp_path, records):
    found = read_scores(write_scores(tmp_path, records[::-1]))
    assert [record["condition"] for record in found] == NAMES
    for record, given_record in zip(found, records, strict=True):
        assert set(record["replicates"]) == set(given_record["replicates"])
        assert (record["replicates"]["clean.ap"] == given_record["replicates"]["clean.ap"]).all()


def test_with_few_images_there_are_no_replicates(tmp_path):
    (record,) = read_scores(write_scores(tmp_path, [fake_scores("clean", images=9)]))
    assert record["replicates"] == {}


@pytest.mark.parametrize("changes", [{"kind": "latency"}, {"images": None}, {"severity": 6}, {"scores": {}}])
def test_a_record_that_does_not_fit_is_refused(tmp_path, changes):
    (path,) = write_scores(tmp_path, [fake_scores("clean")])
    files.write_json(path, files.read_json(path) | changes)
    with pytest.raises(PoseGaugeError, match=r"clean\.json: does not fit"):
        read_scores([path])


def test_an_unknown_condition_is_named(tmp_path):
    (path,) = write_scores(tmp_path, [fake_scores("clean")])
    files.write_json(path, files.read_json(path) | {"condition": "coco_c_fogg_3"})
    with pytest.raises(PoseGaugeError, match=r"clean\.json.*coco_c_fogg_3.*did you mean 'coco_c_fog_3'"):
        read_scores([path])


def test_only_scores_of_the_same_images_are_compared(tmp_path):
    paths = write_scores(tmp_path, [fake_scores("clean"), fake_scores("occlusion", images=99)])
    with pytest.raises(
        PoseGaugeError, match=r"occlusion\.json: was scored on other images than .*clean\.json"
    ):
        read_scores(paths)


def test_only_images_in_the_same_order_are_paired(tmp_path):
    paths = write_scores(tmp_path, [fake_scores("clean"), fake_scores("occlusion")])
    replicates = dict(np.load(tmp_path / "occlusion.npz"))
    np.savez(tmp_path / "occlusion.npz", **replicates | {"images": replicates["images"][::-1]})
    with pytest.raises(PoseGaugeError, match=r"occlusion\.json: was scored on other images"):
        read_scores(paths)


def test_only_the_same_resamples_are_paired(tmp_path):
    other = fake_scores("occlusion")
    other["interval"] |= {"seed": 1}
    with pytest.raises(PoseGaugeError, match=r"occlusion\.json: was scored on other resamples"):
        read_scores(write_scores(tmp_path, [fake_scores("clean"), other]))


def _remove(path):
    path.unlink()


def _damage(path):
    path.write_bytes(b"no archive")


def _other_images(path):
    np.savez(path, **dict(np.load(path)) | {"images": np.arange(5)})


def _without_images(path):
    np.savez(path, **{key: array for key, array in np.load(path).items() if key != "images"})


def _fewer(path):
    np.savez(path, **dict(np.load(path)) | {"detected.ap": np.ones(3)})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_remove, "no such file"),
        (_damage, "holds no replicates"),
        (_without_images, "holds no replicates"),
        (_other_images, "is of other images"),
        (_fewer, rf"detected\.ap has shape \(3,\), expected \({RESAMPLES},\)"),
    ],
)
def test_bad_replicates_are_named(tmp_path, spoil, message):
    paths = write_scores(tmp_path, [fake_scores("clean")])
    spoil(tmp_path / "clean.npz")
    with pytest.raises(PoseGaugeError, match=rf"clean\.npz: {message}"):
        read_scores(paths)


# ------------------------------------------------------------------------------------------- estimates

figures = st.floats(-5, 5, allow_subnormal=False)


@given(figures, figures, st.lists(figures, min_size=3, max_size=20))
def test_a_difference_by_a_constant_has_no_width(value, shift, replicates):
    one = Estimate(value, np.array(replicates))
    other = Estimate(value + shift, np.array(replicates) + shift)
    bounds = (other - one).interval()
    assert list(bounds.values()) == pytest.approx([shift] * 3, abs=1e-12)


@given(st.lists(st.tuples(figures, figures, figures), min_size=1, max_size=6))
def test_the_mean_is_that_of_each_replicate(rows):
    found = estimate.mean(Estimate(row[0], np.array(row)) for row in rows)
    assert found.value == pytest.approx(np.mean([row[0] for row in rows]), abs=1e-12)
    assert found.replicates == pytest.approx(np.mean(rows, axis=0), abs=1e-12)


def test_what_is_computed_from_the_unknown_is_unknown():
    known, unknown = Estimate(0.5, np.full(3, 0.5)), Estimate(None)
    for figure in (known - unknown, unknown / known, known / Estimate(0.0), estimate.mean([known, unknown])):
        assert figure.interval() == {"value": None, "low": None, "high": None}
        assert figure.side() is None


def test_a_value_without_replicates_has_no_interval():
    figure = Estimate(0.5) - Estimate(0.25, np.full(3, 0.25))
    assert figure.interval() == {"value": 0.25, "low": None, "high": None}
    assert figure.side() is None


def test_resamples_in_which_the_divisor_is_zero_do_not_count():
    shares = Estimate(0.5, np.array([1.0, 1, 1, 1])) / Estimate(1.0, np.array([2.0, 0, 2, 2]))
    assert shares.interval() == {"value": 0.5, "low": 0.5, "high": 0.5}


@pytest.mark.parametrize(
    ("replicates", "side"), [([-2, -1], -1), ([1, 2], 1), ([-1, 1], 0), ([0, 0], 0), ([0, 0, 1], 0)]
)
def test_the_side_of_zero(replicates, side):
    assert Estimate(1.0, np.array(replicates, float)).side() == side


# ------------------------------------------------------------------------------------------ robustness


def test_robustness_has_a_row_per_condition(records):
    table = robustness_table(records)
    assert list(table.condition) == NAMES
    row, scores = of(table, "noise_heavy"), records[NAMES.index("noise_heavy")]["scores"]["detected"]
    for metric in ROBUSTNESS_METRICS:
        assert [row[metric], row[f"{metric}_low"], row[f"{metric}_high"]] == list(scores[metric].values())
    assert row["images_detected"] == 67 and row["unreadable"] == 0
    assert table.severity.isna().tolist() == [True] * 9 + [False] * 6


def test_changes_are_against_clean_and_paired():
    table = robustness_table([fake_scores("clean"), shifted("occlusion", -0.2)])
    row = of(table, "occlusion")
    assert [row[f"ap_change{end}"] for end in ("", "_low", "_high")] == pytest.approx([-0.2] * 3)
    assert row["ap_high"] - row["ap_low"] > 0.03, "the AP itself is not that sure"
    assert row["ap_distinguishable"] is True
    assert np.isnan(of(table, "clean")["ap_change"]) and of(table, "clean")["ap_distinguishable"] is None


def test_conditions_that_ap_cannot_tell_apart():
    alike = fake_scores("low_light_moderate", detected={"ap": 0.739})
    records = [
        fake_scores("clean"),
        alike,
        *(fake_scores(name) for name in ("low_light_severe", "occlusion")),
    ]
    records += [fake_scores("coco_c_gaussian_noise_1"), shifted("coco_c_fog_1", 0.0)]
    table = robustness_table(records)
    same = dict(zip(table.condition, table.ap_same_as, strict=True))
    assert same["low_light_severe"] == "occlusion" and same["occlusion"] == "low_light_severe"
    assert same["clean"] == "low_light_moderate", "COCO-C is another suite"
    assert same["coco_c_fog_1"] == "clean;coco_c_gaussian_noise_1"
    assert of(table, "low_light_moderate")["ap_distinguishable"] is False


def test_without_clean_there_are_no_changes():
    table = robustness_table([fake_scores("occlusion")])
    assert table.ap_change.isna().all() and table.ap_distinguishable.tolist() == [None]


# ------------------------------------------------------------------------------------ the other tables


def test_protocols_are_those_of_the_study_and_clean(records):
    table = protocols.protocols_table(records)
    assert list(table.condition) == list(STUDY_CONDITIONS)
    assert list(protocols.protocols_table([fake_scores("clean"), fake_scores(COCO_C[0])]).condition) == [
        "clean"
    ]
    row = of(table, "noise_heavy")
    for metric in protocols.PROTOCOL_METRICS:
        study, corrected = row[f"original_{metric}"], row[f"corrected_{metric}"]
        assert row[f"difference_{metric}"] == pytest.approx(corrected - study)
        assert row[f"difference_{metric}_low"] <= corrected - study <= row[f"difference_{metric}_high"]
    assert row["fallback_images"] == 4


def test_accuracy_has_a_row_per_box_source(records):
    table = accuracy.accuracy_table(records)
    assert len(table) == 3 * len(NAMES)
    rows = table[table.condition == "occlusion"].set_index("box_source")
    assert list(rows.index) == list(BOX_SOURCES)
    assert rows.ap.notna().all() and rows.ar_low.notna().all()
    assert rows.ece.isna().tolist() == [False, True, True], "only detected boxes have persons to count"


def test_losses_sum_exactly(records):
    table = loss.loss_table(records)
    assert list(table.condition) == NAMES
    parts, gaps = table.detector_loss + table.pose_loss, table.ap_annotated - table.ap_detected
    assert parts.tolist() == pytest.approx(table.total_loss.tolist(), abs=1e-15)
    assert gaps.tolist() == pytest.approx(table.annotated_gap.tolist(), abs=1e-15)
    clean = of(table, "clean")
    assert [clean[f"{name}{end}"] for name in loss.LOSSES for end in ("", "_low", "_high")] == [0] * 12
    means = loss.suite_loss_table(records)
    assert list(means.condition) == ["mean", "mean"] and list(means.suite) == list(SUITES)
    parts = means.detector_loss + means.pose_loss
    assert parts.tolist() == pytest.approx(means.total_loss.tolist(), abs=1e-15)


def test_losses_are_told_apart():
    blind = shifted("occlusion", 0.0)
    lost = fake_scores("clean")["scores"]["detected"]["ap"]["value"] - 0.3
    blind["scores"]["detected"]["ap"]["value"] = lost
    blind["replicates"]["detected.ap"] = blind["replicates"]["clean.ap"] - 0.3
    row = of(loss.loss_table([fake_scores("clean"), blind]), "occlusion")
    assert [row["detector_loss"], row["detector_loss_low"]] == pytest.approx([0.3, 0.3]), "no box, no pose"
    assert [row["pose_loss"], row["pose_loss_high"]] == pytest.approx([0, 0], abs=1e-12)


def test_losses_without_clean_are_unknown():
    table = loss.loss_table([fake_scores("occlusion")])
    assert table.total_loss.isna().all() and table.annotated_gap.notna().all()
    assert loss.suite_loss_table([fake_scores("occlusion")]).empty


def test_mpc_is_the_mean_over_corruptions_of_the_mean_over_severities():
    aps = {"clean": 0.8, "coco_c_fog_1": 0.6, "coco_c_fog_3": 0.2, "coco_c_snow_5": 0.1}
    aps |= {"noise_moderate": 0.5, "noise_heavy": 0.3, "occlusion": 0.0}
    table = suites_table([fake_scores(name, detected={"ap": ap}) for name, ap in aps.items()])
    rows = table[table.box_source == "detected"].set_index("suite")
    assert rows.mpc["coco_c"] == pytest.approx((0.4 + 0.1) / 2)
    assert rows.mpc["study"] == pytest.approx((0.4 + 0.0) / 2)
    assert rows.rpc.tolist() == pytest.approx((rows.mpc / 0.8).tolist())
    assert (rows.rpc_low < rows.rpc).all() and (rows.rpc < rows.rpc_high).all()
    assert rows.conditions.tolist() == [3, 3]


def test_rpc_of_nothing_is_unknown():
    table = suites_table([fake_scores("clean", detected={"ap": 0.0}), fake_scores("occlusion")])
    row = table[table.box_source == "detected"].iloc[0]
    assert np.isnan(row.rpc) and row.clean_ap == 0 and row.mpc == 0.5


# --------------------------------------------------------------------------------------------- Markdown

PAGES = {
    "robustness": (robustness_table, pages.robustness_markdown),
    "protocols": (protocols.protocols_table, protocols.protocols_markdown),
    "accuracy": (accuracy.accuracy_table, accuracy.accuracy_markdown),
    "loss": (loss.loss_table, loss.loss_markdown),
    "suites": (suites_table, suites_markdown),
}


def page(name: str, records: list[dict], **texts) -> str:
    to_table, to_markdown = PAGES[name]
    return to_markdown(to_table(records), records, **texts)


def tables_in(text: str) -> list[dict[str, dict[str, str]]]:
    """The Markdown tables of a page: rows by the text of their first cell, each {heading: text}."""
    found, lines = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            lines.append([part.strip() for part in line[1:-1].split(" | ")])
        elif lines:
            heads, _, *rows = lines
            found.append({row[0]: dict(zip(heads, row, strict=True)) for row in rows})
            lines = []
    return found


@pytest.mark.parametrize("name", PAGES)
def test_pages_say_what_was_measured_and_end_with_the_notice(name, records):
    text = page(name, records, title="Fake-m on fakes", notice="All of it is invented.")
    assert "Fake-m on fakes · 100 images with persons · Machine: Fake 3000, 2 cores, 8 GiB, no GPU" in text
    assert f"95 % intervals from {RESAMPLES} bootstrap resamples" in text
    assert text.endswith("\n\n*All of it is invented.*\n")
    assert tables_in(text)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("case", ["few images", "nothing annotated", "nobody found", "only clean", "nothing"])
def test_pages_of_little(name, case):
    few = [fake_scores(condition, images=6) for condition in NAMES]
    changes = dict.fromkeys(BOX_SOURCES, NOTHING_ANNOTATED) | {"original": {"ap": None}}
    nothing = {"detection_rate": 0.0, "mean_confidence": None, "ap": 0.0}
    nobody = {"detected": NOBODY_FOUND, "original": nothing}
    cases = {
        "few images": few,
        "nothing annotated": [fake_scores(condition, **changes) for condition in NAMES],
        "nobody found": [fake_scores(condition, **nobody) for condition in NAMES],
        "only clean": [fake_scores("clean")],
        "nothing": [],
    }
    text = page(name, cases[case])
    assert "nan" not in text.lower() and "None" not in text and "<NA>" not in text
    if case == "few images":
        assert "No intervals: 6 images, a bootstrap needs 10." in text
        assert "[" not in text and "≈" not in text
    if case == "nothing" or (case, name) == ("only clean", "suites"):
        assert "is configured" in text and not tables_in(text)


@pytest.mark.parametrize("to_table", [pair[0] for pair in PAGES.values()])
def test_empty_tables_have_all_columns(to_table, records):
    assert list(to_table([]).columns) == list(to_table(records).columns)


def test_robustness_page(records):
    text = page("robustness", [*records[:-1], shifted(COCO_C[-1], 0.0)])
    study, grid, coco_c = tables_in(text)
    row = study["Low Light Severe"]
    assert row["Detection rate"] == "92.0 % [88.2, 95.3]" and row["AP"].startswith("0.500 [0.4")
    assert row["AP not distinguishable from"] == "Occlusion" and "≈" not in row["AP change"]
    assert study["Clean (baseline)"]["AP change"] == "baseline"
    assert coco_c["Fog 5"]["AP change"] == "0.000 [0.000, 0.000] ≈ clean"
    assert coco_c["Fog 5"]["AP not distinguishable from"].startswith("Clean (baseline)")
    assert grid["Fog"]["Severity 5"] == "0.740 ≈" and grid["Fog"]["Severity 3"] == "0.518"
    assert grid["Fog"]["Mean"] == f"{(0.666 + 0.518 + 0.74) / 3:.3f}" and grid["Fog"]["ms / image"] == "4.0"
    assert text.index("<details>") < text.index("| Gaussian Noise 1") < text.index("</details>")


def test_long_lists_of_alike_conditions_are_counted():
    noise = [fake_scores(name, detected={"ap": 0.4}) for name in STUDY_CONDITIONS]
    row = tables_in(page("robustness", noise))[0]["Occlusion"]
    told = "Clean (baseline), Motion Blur Light, Motion Blur Heavy and 5 more"
    assert row["AP not distinguishable from"] == told


def test_protocols_page(records):
    found, posed = tables_in(page("protocols", records))
    row = found["Noise Heavy"]
    assert row["Rate, original"].startswith("70.0 % [6") and row["Rate, corrected"].startswith("67.0 % [6")
    assert row["Fall-back images"] == "4"
    assert row["Rate, difference (points)"].startswith("-3.0 [-")
    assert posed["Noise Heavy"]["AP, difference"].startswith("+0.020 [+0.0")
    assert max(map(len, page("protocols", records).split("\n\n")[0].splitlines())) < 200, "fits on a page"


def test_loss_page_ends_with_the_means(records):
    table = pd.concat([loss.loss_table(records), loss.suite_loss_table(records)])
    (rows,) = tables_in(loss.loss_markdown(table, records))
    assert list(rows)[-2:] == ["Mean: The study's conditions", "Mean: COCO-C"]
    row = rows["Motion Blur Light"]
    assert row["Loss"].startswith("0.290 [") and row["Detector's"].startswith("0.174 [")
    assert row["Pose network's"].startswith("0.116 [") and row["Perfect boxes would give"].startswith(
        "+0.194"
    )
    assert rows["Clean (baseline)"]["Loss"] == "baseline"


def test_suites_page(records):
    text = page("suites", records)
    assert "rPC: mPC / AP on clean images" in text
    assert text.count("| COCO-C") == 3 and "| detected on the clean image " in text


def test_next_to_nobody_found_stands_beside_the_tables(records):
    nobody = [fake_scores("clean", detected={"detection_rate": 0.0}), *records[1:3]]
    for name in PAGES:
        assert "A person was found in none of 100 clean images" in page(name, nobody)
        assert "clean images, so" not in page(name, records)


def test_unreadable_images_are_named(records):
    broken = [fake_scores("clean", unreadable=["broken <1>.jpg"]), *records[1:3]]
    for name in PAGES:
        assert "left out of all figures: broken &lt;1>.jpg." in page(name, broken)
        assert "Unreadable" not in page(name, records)


@pytest.mark.parametrize(
    ("names", "told"),
    [(["a"], "a"), ("ab", "a and b"), ("abcd", "a, b, c and d"), ("abcde", "a, b, c and 2 more")],
)
def test_lists(names, told):
    assert markdown.listed(names) == told


def test_what_is_rounded_to_zero_has_no_sign():
    assert [markdown.number(value, signed=True) for value in (-0.0001, 0.0001, 0)] == ["0.000"] * 3
    assert (markdown.number(-0.0001), markdown.number(0.001, signed=True)) == ("0.000", "+0.001")
    assert markdown.number(None) == markdown.number(np.nan) == "–"


def test_every_condition_can_be_told():
    titles = {markdown.condition_title(name) for name in CONDITIONS}
    assert len(titles) == len(CONDITIONS)
    assert markdown.condition_title("coco_c_fog_3", "coco_c") == "Fog 3"
