"""Accuracy tiers: of shares of AP and of records, and what tables and sentences make of them."""

import numpy as np
import pytest
from fake_results import fake_latency, fake_parity
from hypothesis import given
from hypothesis import strategies as st

from posegauge.measure import parity
from posegauge.report.findings import key_findings
from posegauge.report.latency import benchmark_markdown, benchmark_table
from posegauge.report.parity import (
    counts,
    parity_markdown,
    parity_table,
    row_verdict,
    share_text,
    tier_columns,
)
from posegauge.score import tiers
from posegauge.score.tiers import Verdict
from posegauge.score.truth import Truth

INT8 = "openvino_cpu_int8"
PIXELS = ("max_keypoint_p95_px", "max_box_p95_px")
UNKNOWN = dict.fromkeys(("value", "low", "high"))
NAMES = ("pytorch_full_cpu", "onnx_full_cpu", "openvino_int8_full_cpu")


def with_share(value, low=None, high=None, failed=PIXELS, **changes) -> dict:
    """An invented record of INT8 that is off in pixels and keeps this share of an AP of .6."""
    theirs = {"value": 0.6, "low": 0.55, "high": 0.65}
    share = {"value": value, "low": low, "high": high}
    aps = {"ap_source": theirs, "ap_artifact": theirs | {"value": 0.6 * value}, "ap_share": share}
    return fake_parity(INT8, failed, **aps, **changes)


@pytest.mark.parametrize(
    ("share", "tier"),
    [
        (1.02, "99.9 %"), (1.0, "99.9 %"), (0.999, "99.9 %"), (0.9989999, "99 %"), (0.99, "99 %"),
        (0.9899999, "fails"), (0.5, "fails"), (0.0, "fails"),
    ],
)  # fmt: skip
def test_the_tier_of_a_share(share, tier):
    assert tiers.of_share(share) == tier


@given(ap=st.floats(0.001, 1), bound=st.sampled_from([0.999, 0.99]))
def test_a_bound_is_met_whatever_the_rounding(ap, bound):
    assert tiers.of_share(bound * ap / ap) == tiers.of_share(bound)


@given(shares=st.tuples(st.floats(0, 2), st.floats(0, 2)))
def test_a_larger_share_is_never_a_lower_tier(shares):
    less, more = sorted(shares)
    assert tiers.rank(tiers.of_share(more)) <= tiers.rank(tiers.of_share(less))


@given(shares=st.lists(st.floats(0.97, 1.02), min_size=3, max_size=3))
def test_an_interval_reaches_into_the_tiers_of_all_that_is_in_it(shares):
    low, value, high = sorted(shares)
    verdict = Verdict(tiers.of_share(value), value, low, high)
    inside = {tiers.of_share(share) for share in np.linspace(low, high, 4000)}
    assert inside <= {verdict.tier, *verdict.others}
    assert verdict.told == (tiers.of_share(low) == tiers.of_share(high))


@pytest.mark.parametrize(
    ("record", "tier", "note"),
    [
        (fake_parity(INT8), "exact", None),
        (with_share(0.98, 0.97, 0.985, failed=()), "exact", None),
        (fake_parity(INT8, reason="no CUDA device"), "not checked", "no CUDA device"),
        (
            with_share(0.9946, 0.9911, 0.9981),
            "99 %",
            "99.46 % [99.11, 99.81] of its source's AP, keypoints P95 4.2 px, boxes P95 7.25 px",
        ),
        (
            with_share(1.0049, 0.981, 1.02, failed=("max_ap_diff",), images=38),
            "99.9 %",
            "100.49 % [98.10, 102.00] of its source's AP; "
            "38 images are too few to tell it from 99 % and fails",
        ),
        (
            with_share(0.988, 0.97, 0.9995, failed=("max_ap_diff",)),
            "fails",
            "98.80 % [97.00, 99.95] of its source's AP; "
            "200 images are too few to tell it from 99.9 % and 99 %",
        ),
        (
            with_share(0.9989999, failed=("max_box_p95_px",), images=4),
            "99 %",
            "99.89 % of its source's AP, boxes P95 7.25 px; "
            "with fewer than 10 images no tier can be told for sure",
        ),
        (
            fake_parity(INT8, PIXELS, ap_source=dict.fromkeys(UNKNOWN, 0.0), ap_share=None),
            "fails",
            "its source has an AP of 0 on these images, so no tier can be told; "
            "keypoints P95 4.2 px, boxes P95 7.25 px",
        ),
        (
            fake_parity(INT8, ("max_box_p95_px",), ap_source=UNKNOWN, ap_share=None),
            "fails",
            "its source has no AP on these images, so no tier can be told; boxes P95 7.25 px",
        ),
    ],
)  # fmt: skip
def test_the_tier_of_a_record_and_what_is_off(record, tier, note):
    columns = tier_columns(record)
    assert (columns["tier"], columns["tier_note"]) == (tier, note)
    assert row_verdict(columns) == tiers.of_record(record)


def test_a_record_from_before_shares_were_recorded_has_one_without_an_interval():
    record = with_share(0.995)
    del record["ap_share"]
    assert tiers.of_record(record) == Verdict("99 %", pytest.approx(0.995))
    assert tier_columns(record)["tier_note"].endswith("; without an interval no tier can be told for sure")


@given(st.floats(0, 1.5))
def test_a_share_is_never_shown_as_a_better_tier(share):
    shown = float(share_text(Verdict("99 %", share)).split(" %")[0]) / 100
    assert tiers.rank(tiers.of_share(shown)) >= tiers.rank(tiers.of_share(share))
    assert share - 1.1e-4 < shown < share + 1e-8


@pytest.mark.parametrize("tier", tiers.TIERS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_which_rows_count(tier, precision):
    expected = tier != "fails" and (precision, tier) != ("int8", "not checked")
    assert counts({"tier": tier, "precision": precision}) is expected


def table_of(share_record: dict, persons: int = 3):
    records = [fake_latency(name) for name in NAMES]
    records[2] |= {"latency_ms": [100.0] * 200, "persons": persons}
    found = benchmark_table(records, [fake_parity("onnxruntime_cpu_fp32"), share_record])
    return found.set_index("benchmark", drop=False), records


def test_int8_that_keeps_99_percent_has_its_speedup_and_is_the_fastest_with_its_tier():
    table, records = table_of(with_share(0.9946, 0.9911, 0.9981))
    row = table.loc["openvino_int8_full_cpu"]
    assert (row.tier, row.ap_share, row.ap_share_low, row.ap_share_high) == ("99 %", 0.9946, 0.9911, 0.9981)
    text = benchmark_markdown(table, records)
    assert f"| {row.speedup:.2f}× · 99 % (vs PyTorch Full CPU) |" in text
    assert "1.44× · exact (vs PyTorch Full CPU) |" in text and "question mark" not in text
    assert "OpenVINO INT8 Full CPU: 99.46 % [99.11, 99.81] of its source's AP, keypoints P95 4.2 px" in text
    found = {finding["id"]: finding["text"] for finding in key_findings(table, [])}
    assert found["fastest_full"].startswith(
        "OpenVINO INT8 Full CPU is the fastest of 3 detect+pose rows: 100.00"
    )
    assert (
        f"{row.speedup:.2f}× the speed of PyTorch Full CPU, 99 % tier. Of those that are exact ONNX"
        in (found["fastest_full"])
    )


def test_a_tier_that_cannot_be_told_has_a_question_mark():
    table, records = table_of(with_share(0.9946, 0.98, 1.01))
    text = benchmark_markdown(table, records)
    assert "× · 99 %? (vs PyTorch Full CPU) |" in text and "A tier with a question mark" in text
    found = {finding["id"]: finding["text"] for finding in key_findings(table, [])}
    assert "99 % tier (too few images to tell)." in found["fastest_full"]


def test_int8_that_fails_is_named_nowhere_as_fast():
    table, records = table_of(with_share(0.985, 0.98, 0.9895))
    assert table.speedup.isna()["openvino_int8_full_cpu"]
    assert "| fails: 98.50 % [98.00, 98.95] of its source's AP, keypoints" in benchmark_markdown(
        table, records
    )
    found = {finding["id"]: finding["text"] for finding in key_findings(table, [])}
    assert found["fastest_full"].startswith("ONNX Full CPU is the fastest of 2")


def test_the_parity_table_and_finding_show_tiers_best_first():
    records = [with_share(0.985, 0.98, 0.989), fake_parity("onnxruntime_cpu_fp32")]
    records += [
        with_share(0.9946, 0.9911, 0.9981) | {"artifact": "onnxruntime_cpu_int8", "runtime": "onnxruntime"}
    ]
    table = parity_table(records)
    assert table.tier.tolist() == ["fails", "exact", "99 %"] and table.passes.tolist() == [False, True, False]
    text = parity_markdown(table, records)
    assert "| 99.46 % [99.11, 99.81] | 4.20 / 80.50 | 7.25 / 0.30 |" in text
    assert "| 99 %: keypoints P95 4.2 px, boxes P95 7.25 px |" in text and "| exact |" in text
    empty = benchmark_table([])
    (found,) = (finding["text"] for finding in key_findings(empty, [], records))
    told = [found.index(words) for words in ("1 of 3 compared", "keeps the 99 % tier", "INT8 fails (98.50 %")]
    assert told == sorted(told)


def test_the_share_of_ap_is_paired_image_by_image():
    """Twelve images with a person each; of one the artifact finds none: its share is 11 of 12, paired."""
    image_ids = list(range(1, 13))
    points = [x for k in range(17) for x in (10.0 + 5 * k, 20.0 + 3 * k, 2)]

    def result(image):
        scored = [value if place % 3 < 2 else 0.9 for place, value in enumerate(points)]
        box = [5.0, 15.0, 100.0, 60.0]
        return {"image_id": image, "category_id": 1, "keypoints": scored, "score": 0.9, "bbox": box}

    person = {"category_id": 1, "bbox": [5, 15, 100, 60], "area": 6000, "iscrowd": 0, "keypoints": points}
    truth = Truth(
        {
            "images": [{"id": image, "width": 200, "height": 100} for image in image_ids],
            "annotations": [person | {"image_id": image, "num_keypoints": 17} for image in image_ids],
            "categories": [{"id": 1, "name": "person"}],
        }
    )
    found = parity.Comparison(image_ids=image_ids)
    found.source_results = [result(image) for image in image_ids]
    found.artifact_results = found.source_results[1:]
    scores = parity.accuracy(truth, found, seed=3, resamples=400)
    assert scores["ap_source"]["value"] == pytest.approx(1)
    share = scores["ap_share"]
    assert share["value"] == scores["ap_artifact"]["value"] == pytest.approx(11 / 12, abs=0.01)
    assert share["low"] == pytest.approx(scores["ap_artifact"]["low"]) and share["high"] == pytest.approx(1)
    found.artifact_results = found.source_results
    assert parity.accuracy(truth, found, 3, 400)["ap_share"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    found.source_results = []
    assert parity.accuracy(truth, found, 3, 400)["ap_share"]["value"] is None, "of an AP of 0"
