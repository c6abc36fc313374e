"""Findings on accuracy, from invented records: what is claimed, and what is not."""

import numpy as np
import pytest
from fake_results import RESAMPLES, fake_scores

from posegauge.report.findings import cause_findings, condition_findings
from posegauge.report.records import KEYPOINT_METRICS, clean_record
from posegauge.study import BOX_SOURCES, COCO_C_CONDITIONS, CONDITIONS, STUDY_CONDITIONS

NOTHING_ANNOTATED = dict.fromkeys((*KEYPOINT_METRICS, "box_ap", "mean_similarity", "ece"))


def findings(records) -> dict[str, str]:
    clean = clean_record(records)
    found = condition_findings(records, clean) | cause_findings(records, clean)
    return {name: text for name, text in found.items() if text}


def study(**changes) -> list[dict]:
    return [fake_scores(name, **changes) for name in STUDY_CONDITIONS]


def like_clean(name: str, **shifts) -> dict:
    """A condition with the scores of clean images, and on every resample `shifts` more: detected_ap=-0.1."""
    clean, record = fake_scores("clean"), fake_scores(name)
    record["scores"], record["replicates"] = clean["scores"], clean["replicates"]
    for key, shift in shifts.items():
        box_set, metric = key.split("_", 1)
        record["scores"][box_set][metric]["value"] += shift
        record["replicates"][f"{box_set}.{metric}"] = clean["replicates"][f"{box_set}.{metric}"] + shift
    return record


# ------------------------------------------------------------------------------------- each condition


def test_findings_of_the_study():
    found = findings(study())
    assert found["clean"].startswith(
        "Clean images (100 with persons): detection rate 95.0 % [91.3, 98.5], AP 0.740 [0.7"
    )
    assert "Motion Blur Heavy (-0.540 [-0.562, -0.516]) and Noise Heavy (-0.480 [" in found["worst"]
    assert found["holds"].startswith(
        "Degraded conditions that keep a detection rate above 90 %: 0 of 8; by their intervals 4 more may "
        "(Low Light Moderate, Low Light Severe, Overexposure and Occlusion)"
    )
    assert "Low Light Severe keeps 97 % of the rate but 68 % of AP" in found["disagree"]
    assert "Low Light Moderate keeps" not in found["disagree"]
    assert found["disagree"].endswith("; 2 more conditions do.")
    assert found["same"] == (
        "AP does not tell apart: 0 of 8 conditions from clean images; "
        "1 of 28 pairs of the study's conditions (Low Light Severe from Occlusion)."
    )
    for family in ("light", "blur", "noise", "occlusion"):
        assert "points [-" in found[f"family_{family}"]
        assert "not distinguishable" not in found[f"family_{family}"]
    assert "coco_c" not in found and "intervals" not in found and "unreadable" not in found


def test_no_difference_is_claimed_that_may_be_chance():
    record = like_clean("occlusion", detected_ap=-0.01)
    record["replicates"]["detected.ap"] += np.linspace(-0.05, 0.05, RESAMPLES)
    found = findings([fake_scores("clean"), record])
    assert found["worst"] == "No loss of AP against clean images can be told from 0."
    assert found["family_occlusion"].count("not distinguishable") == 2
    assert found["same"] == "AP does not tell apart: 1 of 1 conditions from clean images (Occlusion)."
    assert found["disagree"].startswith("Detection rate and AP agree")


def test_a_small_loss_on_every_resample_is_claimed():
    found = findings([fake_scores("clean"), like_clean("occlusion", detected_ap=-0.01)])
    assert found["worst"].endswith("Occlusion (-0.010 [-0.010, -0.010]).")
    assert "0 of 1 conditions from clean" in found["same"]


def test_without_intervals_figures_are_told_and_nothing_is_claimed():
    found = findings([fake_scores(name, images=6) for name in CONDITIONS])
    assert found["intervals"].endswith("none is claimed: no intervals: 6 images, a bootstrap needs 10.")
    assert found["worst"].startswith("The largest measured loss of AP")
    assert set(found) & {"same", "disagree", "accuracy_bottleneck", "confidence"} == set()
    assert all("[" not in text for text in found.values())
    assert "larger" not in found["loss_study"] and "lower" not in found["coco_c"]


def test_with_many_conditions_the_sentences_stay_short():
    found = findings([fake_scores(name) for name in CONDITIONS])
    worst = (
        "COCO-C (75 conditions, against clean images): the largest losses of AP are JPEG Compression 5 (-0."
    )
    assert found["coco_c"].startswith(worst) and found["coco_c"].count("[") == 3
    assert "AP is lower in 74, and not distinguishable in 1." in found["coco_c"]
    for name, text in found.items():
        assert len(text) < 700, name


def test_findings_with_nothing_annotated():
    changes = {source: dict.fromkeys(KEYPOINT_METRICS) for source in BOX_SOURCES}
    changes |= {"detected": NOTHING_ANNOTATED, "original": {"ap": None}}
    found = findings(study(**changes))
    assert "AP" not in found["family_blur"] and "detection rate" in found["worst"]
    assert set(found) & {"disagree", "mpc", "loss_study", "calibration", "confidence", "same"} == set()
    assert "of AP none that can be told" in found["protocols"]


def test_findings_with_nobody_found():
    nobody = {"detection_rate": 0.0, "mean_confidence": None, "ap": 0.0, "mean_similarity": None, "ece": None}
    found = findings([fake_scores("clean"), fake_scores("noise_heavy", detected=nobody)])
    assert "Noise Heavy detection rate 0.0 % (-95.0 points" in found["family_noise"]
    assert "disagree" in found and "Noise Heavy keeps 0 %" not in found["disagree"]
    assert "0 of 1" in found["holds"] and "confidence" not in found
    assert "0 of 8" in findings(study(detected=nobody))["holds"]


def test_findings_without_clean():
    found = findings([fake_scores("occlusion"), fake_scores("coco_c_fog_3")])
    assert "not evaluated" in found["clean"]
    assert (
        found["family_occlusion"] == "Occlusion: detection rate 90.0 % [86.4, 93.3], AP 0.500 [0.481, 0.518]."
    )
    assert "rPC" not in found["mpc"].split(". ")[1]
    assert set(found) & {"worst", "disagree", "loss_study", "calibration"} == set()


def test_findings_of_clean_alone():
    assert set(findings([fake_scores("clean")])) == {"clean", "calibration", "protocols"}


def test_unreadable_images_are_counted():
    found = findings([fake_scores("clean", unreadable=["a.jpg", "b.jpg"])])
    assert found["unreadable"] == "Images that could not be read: 2."


def test_a_detector_that_finds_next_to_nobody_is_told_of():
    assert "doubt" not in findings([fake_scores("clean")])
    for rate, said in ((0.0, "in none of 100 clean images"), (0.04, "in 4 of 100 clean images")):
        found = findings([fake_scores("clean", detected={"detection_rate": rate}), fake_scores("occlusion")])
        assert said in found["doubt"] and "models.detector.pixels" in found["doubt"]
    # Of another condition that is no news.
    hidden = fake_scores("occlusion", detected={"detection_rate": 0.0})
    assert "doubt" not in findings([fake_scores("clean"), hidden])


def test_mpc_is_told_by_suite():
    found = findings([fake_scores("clean"), fake_scores("occlusion"), fake_scores("coco_c_fog_3")])
    assert "The study's conditions: mPC 0.500 [" in found["mpc"] and "COCO-C: mPC 0.518 [" in found["mpc"]
    assert "rPC 67.6 % [" in found["mpc"]


# ---------------------------------------------------------------------------------- where the loss is


@pytest.mark.parametrize(
    ("shifts", "verdict", "counts"),
    [
        (
            {"detected_ap": -0.3, "clean_ap": -0.1},
            "yes, its loss of AP is larger by 0.100",
            "1 of 1 conditions",
        ),
        (
            {"detected_ap": -0.3, "clean_ap": -0.3},
            "no, the pose network's loss of AP is larger by 0.300",
            "in 1, undecided",
        ),
        ({"detected_ap": -0.2, "clean_ap": -0.1}, "undecided", ", undecided in 1."),
    ],
)
def test_whose_loss_it_is_follows_the_data(shifts, verdict, counts):
    record = like_clean("occlusion", **shifts)
    found = findings([fake_scores("clean"), record])
    assert f"The study's conditions: {verdict}" in found["accuracy_bottleneck"]
    assert counts in found["loss_study"]
    share = (shifts["clean_ap"] - shifts["detected_ap"]) / -shifts["detected_ap"]
    assert f"{100 * share:.1f} % [{100 * share:.1f}, {100 * share:.1f}] of it" in found["loss_study"]


def test_no_share_of_a_loss_that_may_be_none():
    found = findings([fake_scores("clean"), like_clean("occlusion")])
    assert "of it" not in found["loss_study"] and "mean loss of AP 0.000" in found["loss_study"]


def test_what_perfect_boxes_would_give_is_told_of_clean_images():
    found = findings(study())
    assert found["accuracy_bottleneck"].endswith(
        "On clean images annotated boxes change AP by +0.020 [+0.010, +0.032]."
    )


# ----------------------------------------------------------------------------------------- confidence


def test_confidence_misleads_where_it_keeps_more_than_similarity():
    found = findings([fake_scores("clean"), like_clean("occlusion", detected_mean_similarity=-0.4)])
    text = found["confidence"]
    assert (
        text.startswith("Confidence misleads in 1 of 1 conditions") and "Occlusion (100 % and 55 %)" in text
    )
    assert "In 1 it does not fall, though similarity does (Occlusion)." in text
    fallen = {"detected_mean_similarity": -0.4, "detected_mean_confidence": -0.3}
    found = findings([fake_scores("clean"), like_clean("occlusion", **fallen)])
    assert found["confidence"].endswith("in none of 1 conditions.")


def test_calibration_is_that_of_the_same_keypoints():
    found = findings([fake_scores("clean"), like_clean("occlusion", detected_ece=0.2)])
    # The mean of the invented bins, which is not mean_confidence.
    assert (
        "Keypoint scores on clean images: mean 0.500, similarity to the annotations 0.888 ["
        in found["calibration"]
    )
    assert "ECE is larger in 1 of 1 conditions, most in Occlusion (+0.200" in found["calibration"]


def test_calibration_without_keypoints_is_left_out():
    nobody = {"mean_similarity": None, "ece": None}
    empty = {"bins": [], "keypoints": 0}
    assert "calibration" not in findings([fake_scores("clean", detected=nobody, calibration=empty)])


# ------------------------------------------------------------------------------------------ protocols


def test_protocols_with_the_same_order():
    text = findings(study())["protocols"]
    assert "36 times in 9 conditions." in text
    assert "of detection rate -3.0 points [" in text and "of AP +0.020 [" in text
    assert "Ranked by detection rate every condition keeps its place." in text
    assert "above 90 %: 4 by the study's, 3 by the corrected one." in text


def test_a_changed_conclusion_is_told():
    # The fall-back hides how few persons are left under heavy noise.
    hidden = fake_scores("noise_heavy", original={"detection_rate": 1.0, "fallback_rate": 0.33})
    text = findings([fake_scores("clean"), hidden, fake_scores("occlusion")])["protocols"]
    assert "41 times in 3 conditions, most in Noise Heavy (33 of 100)." in text
    assert "of detection rate -33.0 points [" in text and "in Noise Heavy" in text
    assert "3 of 3 change place (Clean (baseline) from 2 to 1, Noise Heavy from 1 to 3 and Occl" in text
    assert "with both intervals clear of 0: 1." in text, "of the two that turn round one is clear of 0"


def test_protocols_that_agree():
    same = fake_scores("clean")
    same["scores"]["original"] = {key: same["scores"]["detected"][key] for key in ("detection_rate", "ap")}
    same["replicates"] |= {
        f"original.{key}": same["replicates"][f"detected.{key}"] for key in ("detection_rate", "ap")
    }
    same["counts"]["original"]["fallback_images"] = 0
    text = findings([same])["protocols"]
    assert "0 times in 1 condition." in text
    assert "of detection rate none that can be told from 0, of AP none" in text


def test_coco_c_has_no_protocols():
    assert "protocols" not in findings([fake_scores(name) for name in list(COCO_C_CONDITIONS)[:3]])
