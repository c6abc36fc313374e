"""The figures of the scores, from invented records: what is drawn where, and that no text is hidden."""

import itertools

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pytest
from fake_results import fake_scores
from matplotlib.text import Text

from posegauge.report import calibration, coco_c, loss, pages, robustness, style
from posegauge.report.records import Run
from posegauge.study import COCO_C_CONDITIONS, COCO_C_CORRUPTIONS, CONDITIONS, STUDY_CONDITIONS

TITLE, NOTICE = (
    "RTMDet-nano (demo, synthetic) + RTMPose-t (demo, synthetic) on fakes",
    "An invented notice. " * 12,
)
NOTHING = dict.fromkeys(("detection_rate", "ap", "mean_confidence", "ece"))
UNKNOWN = {
    "detected": NOTHING,
    "clean": {"ap": None},
    "annotated": {"ap": None},
    "calibration": {"bins": [], "keypoints": 0},
}
SMALL = [f"coco_c_{name}_{severity}" for name in ("shot_noise", "jpeg_compression") for severity in (1, 4)]
CASES = {
    "all": [fake_scores(name, 2693) for name in CONDITIONS],
    "six": [fake_scores(name) for name in [*list(STUDY_CONDITIONS)[:6], *SMALL]],
    "without intervals": [fake_scores(name, 5) for name in ["clean", "occlusion", *SMALL]],
    "unknown": [fake_scores(name, **UNKNOWN) for name in ["clean", "occlusion", *SMALL]],
    "partly unknown": [
        fake_scores("clean"),
        fake_scores("noise_heavy", **UNKNOWN),
        fake_scores("coco_c_snow_2", **UNKNOWN),
        fake_scores("coco_c_snow_3"),
    ],
    "without clean": [fake_scores(name) for name in ["noise_heavy", "coco_c_snow_2"]],
    "clean alone": [fake_scores("clean")],
    "empty": [],
}


def plot(name: str, records: list[dict], path, *text) -> None:
    """Draw a figure as the workflow does."""
    run = Run({})
    run.scores = records
    pages.load(pages.FIGURES[name], "plot")(run, path, *text)


FIGURES = ("robustness", "loss", "calibration", "coco_c")


@pytest.fixture
def drawn(monkeypatch):
    """A function that draws a figure and returns it instead of saving it."""
    kept = []
    for module in (robustness, loss, calibration, coco_c, style):
        monkeypatch.setattr(module, "save", lambda figure, path: kept.append(figure))

    def draw(name, records):
        plot(name, records, None, TITLE, NOTICE)
        kept[-1].draw_without_rendering()
        return kept[-1]

    yield draw
    plt.close("all")


def texts_of(figure) -> list[Text]:
    """The texts that are seen; labels of ticks beyond the ends of an axis are not."""
    unseen = set()
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                inside = min(limits) - 1e-9 <= tick.get_loc() <= max(limits) + 1e-9
                unseen |= {tick.label2} | (set() if inside else {tick.label1})
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in unseen
    ]


def words_of(figure) -> str:
    return " ".join(" ".join(text.get_text() for text in texts_of(figure)).split())


def row_of(figure, title: str) -> list[str]:
    """The numbers at the right of the row with this title."""
    axes = figure.axes[0]
    y = [text.get_text() for text in axes.get_yticklabels()].index(title)
    numbers = [text for text in axes.texts if text.get_position()[1] == y]
    return [text.get_text() for text in sorted(numbers, key=lambda text: text.get_position()[0])]


def whiskers_of(figure) -> list[tuple]:
    """(y, low, high) of the whiskers."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "|"]
    return [(line.get_ydata()[0], *line.get_xdata()) for line in lines]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_picture_of_one_width(tmp_path, name, case):
    plot(name, CASES[case], tmp_path / "a.png", TITLE, NOTICE)
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image.shape[1] == 1440 and image.shape[0] > 300
    assert image.std() > 5


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_runs_into_another_or_over_the_edge(drawn, name, case):
    figure = drawn(name, CASES[case])
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure)]
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0, text
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height, text
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart, (one, two)


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_data_give_the_same_bytes(tmp_path, name):
    for file in ("a.png", "b.png"):
        plot(name, CASES["six"], tmp_path / file)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


# --------------------------------------------------------------------------------------------- robustness


def test_robustness_tells_numbers_and_intervals(drawn):
    figure = drawn("robustness", CASES["six"])
    assert row_of(figure, "Motion Blur Light") == ["80.0 %", "0.450", "0.500"]
    rates = CASES["six"][1]["scores"]["detected"]["detection_rate"]
    assert (1 - 0.18, rates["low"], rates["high"]) in whiskers_of(figure)
    confidence = CASES["six"][1]["scores"]["detected"]["mean_confidence"]
    assert (1, confidence["low"], confidence["high"]) in whiskers_of(figure)
    assert len(whiskers_of(figure)) == 3 * 6
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        CONDITIONS[name].title for name in list(STUDY_CONDITIONS)[:6]
    ]


def test_an_ap_that_cannot_be_told_from_clean_is_marked(drawn):
    records = [fake_scores("clean"), fake_scores("overexposure"), fake_scores("occlusion")]
    clean, alike, _ = records
    alike["replicates"]["detected.ap"] = clean["replicates"]["detected.ap"] + np.linspace(-0.01, 0.01, 200)
    figure = drawn("robustness", records)
    assert row_of(figure, "Overexposure")[1] == "≈0.630"
    assert row_of(figure, "Clean (baseline)")[1] == "0.740"
    assert row_of(figure, "Occlusion")[1] == "0.500"
    assert "≈: AP cannot be told from" in words_of(figure)
    assert "≈" not in words_of(drawn("robustness", [clean, records[2]]))


def test_without_intervals_there_are_neither_whiskers_nor_marks(drawn):
    for name in ("robustness", "loss"):
        figure = drawn(name, CASES["without intervals"])
        assert whiskers_of(figure) == []
        assert "95 %" not in words_of(figure) and "≈" not in words_of(figure)
    assert "ECE 0.090, n = 150" in words_of(drawn("calibration", CASES["without intervals"]))


def test_unknown_scores_are_dashes_without_a_bar(drawn):
    figure = drawn("robustness", CASES["unknown"])
    assert row_of(figure, "Occlusion") == ["–", "–", "–"]
    assert not figure.axes[0].patches


def test_a_confidence_above_1_is_seen(drawn):
    figure = drawn("robustness", [fake_scores("clean", detected={"mean_confidence": 1.4})])
    assert figure.axes[0].get_xlim()[1] > 1.4


# --------------------------------------------------------------------------------------------------- loss


def loss_records(detected: float, clean: float) -> list[dict]:
    """Clean with an AP of .74, and a condition with these APs by box source."""
    aps = {"detected": {"ap": detected}, "clean": {"ap": clean}, "annotated": {"ap": 0.8}}
    return [fake_scores("clean"), fake_scores("occlusion", **aps)]


def spans_of(figure, y: int) -> list[tuple]:
    """(left, right, height) of the bars of a row, in the order of drawing."""
    bars = [
        patch for patch in figure.axes[0].patches if abs(patch.get_y() + patch.get_height() / 2 - y) < 0.4
    ]
    found = [(bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()) for bar in bars]
    return [(round(min(a, b), 6), round(max(a, b), 6), round(height, 6)) for a, b, height in found]


def test_the_losses_are_stacked_up_to_the_clean_ap(drawn):
    figure = drawn("loss", loss_records(0.5, 0.6))
    assert spans_of(figure, 1) == [(0, 0.5, 0.62), (0.5, 0.6, 0.62), (0.6, 0.74, 0.62)]
    assert row_of(figure, "Occlusion") == ["0.500", "0.100", "0.140"]
    assert row_of(figure, "Clean (baseline)") == ["0.740", "", ""]
    assert spans_of(figure, 0) == [(0, 0.74, 0.62)]
    assert "hatched" not in words_of(figure)


@pytest.mark.parametrize(
    ("detected", "clean", "spans"),
    [
        (0.55, 0.5, [(0, 0.55), (0.5, 0.55), (0.5, 0.74)]),
        (0.6, 0.78, [(0, 0.6), (0.6, 0.78), (0.74, 0.78)]),
        (0.8, 0.77, [(0, 0.8), (0.77, 0.8), (0.74, 0.77)]),
    ],
)
def test_a_gain_is_hatched_and_leads_back(drawn, detected, clean, spans):
    figure = drawn("loss", loss_records(detected, clean))
    assert [span[:2] for span in spans_of(figure, 1)] == spans
    losses = (clean - detected, 0.74 - clean)
    hatched = [bool(patch.get_hatch()) for patch in figure.axes[0].patches][-2:]
    assert hatched == [loss < 0 for loss in losses]
    assert "hatched: a gain" in words_of(figure)
    assert row_of(figure, "Occlusion")[1:] == [f"{loss:.3f}" for loss in losses]


def test_the_whisker_of_a_loss_stands_at_its_end(drawn):
    records = loss_records(0.5, 0.6)
    row = loss.loss_table(records).set_index("condition").loc["occlusion"]
    (_, low, high), (_, pose_low, pose_high) = whiskers_of(drawn("loss", records))
    assert (low, high) == pytest.approx((0.5 + row.detector_loss_low, 0.5 + row.detector_loss_high))
    assert (pose_low, pose_high) == pytest.approx((0.6 + row.pose_loss_low, 0.6 + row.pose_loss_high))


def test_without_clean_there_is_no_loss(drawn):
    figure = drawn("loss", CASES["without clean"])
    assert row_of(figure, "Noise Heavy") == ["0.260", "–", "–"]
    assert len(spans_of(figure, 0)) == 1 and "dotted" not in words_of(figure)


# -------------------------------------------------------------------------------------------- calibration


def test_calibration_has_a_panel_per_condition_of_the_study(drawn):
    figure = drawn("calibration", CASES["all"])
    assert len(figure.axes) == len(STUDY_CONDITIONS)
    ece = CASES["all"][0]["scores"]["detected"]["ece"]
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert (
        words == f"Clean (baseline) ECE {ece['value']:.3f} [{ece['low']:.3f}, {ece['high']:.3f}], n = 80,790"
    )
    dots = figure.axes[0].collections[-1].get_offsets()
    bins = CASES["all"][0]["calibration"]["bins"]
    assert np.allclose(dots, [(entry["mean_score"], entry["mean_similarity"]) for entry in bins])


def test_the_area_of_a_dot_is_its_count_and_scores_may_pass_1(drawn):
    bins = [
        {"score_low": 0, "score_high": 1, "count": count, "mean_score": score, "mean_similarity": 0.5}
        for count, score in ((10, 0.4), (100, 1.3), (0, None))
    ]
    records = [fake_scores("clean", calibration={"bins": bins, "keypoints": 110}), fake_scores("occlusion")]
    one, two = drawn("calibration", records).axes
    assert one.get_xlim() == two.get_xlim() and one.get_xlim()[1] > 1.3
    small, large = one.collections[-1].get_sizes()
    assert small < large and len(one.collections[-1].get_offsets()) == 2


def test_a_condition_without_persons_says_so(drawn):
    figure = drawn("calibration", CASES["partly unknown"])
    assert "no keypoint to score" in words_of(figure) and "ECE –" in words_of(figure)


# ------------------------------------------------------------------------------------------------- COCO-C


def test_the_groups_hold_every_corruption_once():
    members = [name for group in coco_c.COCO_C_GROUPS.values() for name in group]
    assert members == list(COCO_C_CORRUPTIONS)


def test_the_heat_map_has_a_cell_per_condition(drawn):
    figure = drawn("coco_c", CASES["all"])
    cells = [patch for patch in figure.axes[0].patches if patch.get_width() < 1]
    assert len(cells) == len(COCO_C_CONDITIONS)
    words = words_of(figure)
    places = [words.index(word) for word in ("Noise", "Blur", "Weather", "Digital", "JPEG Compression")]
    assert places == sorted(places)
    mpc = coco_c.suites_table(CASES["all"]).set_index(["suite", "box_source"]).loc["coco_c", "detected"]
    assert f"(mPC) {mpc.mpc:.3f} [{mpc.mpc_low:.3f}, {mpc.mpc_high:.3f}]" in words


def test_a_cell_tells_ap_and_its_share_and_is_lighter_when_less_is_left(drawn):
    records = [
        fake_scores("clean", detected={"ap": 0.8}),
        fake_scores("coco_c_fog_1", detected={"ap": 0.6}, corruption_ms_mean=10.0),
        fake_scores("coco_c_fog_5", detected={"ap": 0.2}, corruption_ms_mean=30.0),
    ]
    figure = drawn("coco_c", records)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[texts.index("Fog") + 1 :] == [
        *("0.600", "75 %", "0.200", "25 %"),
        *("0.400", "50 %", "20"),
        *("mean AP", "of clean", "ms"),
    ]
    one, two = (patch.get_facecolor() for patch in figure.axes[0].patches if patch.get_width() < 1)
    assert sum(one[:3]) < sum(two[:3])


def test_an_unknown_cell_makes_the_mean_unknown(drawn):
    figure = drawn("coco_c", CASES["partly unknown"])
    texts = [text.get_text() for text in figure.axes[0].texts]
    row = texts[texts.index("Snow") + 1 : texts.index("mean AP")]
    assert row[0] == "–" and row[-3:] == ["–", "–", "4"]


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_to_show_is_said(drawn, name):
    said = {"coco_c": "COCO-C is not part of this run"}.get(name, "No image condition is configured")
    assert said in words_of(drawn(name, []))
    assert "not part of this run" in words_of(drawn("coco_c", CASES["clean alone"]))
