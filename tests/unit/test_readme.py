"""The page of a run: its parts, what is folded, facts; and the published numbers."""

import re
from pathlib import Path

import pytest
from fake_results import fake_latency, fake_parity, fake_scores

from posegauge.compare.published import published_markdown, read_published
from posegauge.errors import PoseGaugeError
from posegauge.report import pages, readme
from posegauge.report.latency import benchmark_table
from posegauge.report.protocols import protocols_table, protocols_text
from posegauge.report.records import Run
from posegauge.store import files
from posegauge.study import STUDY_BENCHMARKS, STUDY_CONDITIONS

PUBLISHED = Path(__file__).resolve().parents[2] / "config" / "published_t4.yaml"


PIPELINE = {
    "score_thr": 0.1,
    "bbox_thr": 0.25,
    "nms_thr": 0.7,
    "max_persons": 50,
    "person_thr": 0.55,
    "keypoint_thr": 0.2,
    "flip_test": False,
}


def make_section(**changes) -> str:
    records = [fake_latency(name) for name in STUDY_BENCHMARKS]
    parts = {
        "shown": pages.PAGES,
        "tables": {name: f"| table of {name} |\n| --- |\n" for name in pages.TABLES},
        "findings": [{"id": "a", "text": "First finding."}, {"id": "b", "text": "Second <finding>."}],
        "links": {name: f"pictures/{name}.png" for name in (*pages.FIGURES, *pages.GRIDS)},
        "facts": readme.make_facts(records, "Fakes", 7, "make fakes"),
        "pipeline": PIPELINE,
        "notice": "All of it is invented.",
    }
    return readme.section(**(parts | changes))


def part_of(text: str, heading: str) -> str:
    """What stands under a heading."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_section_has_all_parts_in_order():
    text = make_section(published="| published |\n")
    places = [
        text.index(part)
        for part in (
            "> **Note:** All of it is invented.",
            "## Latency",
            "| table of benchmark |",
            "(pictures/latency.png)",
            "| table of machine |",
            "## Energy",
            "| table of energy |",
            "## Cameras",
            "| table of cameras |",
            "(pictures/cameras.png)",
            "| table of batches |",
            "## Two protocols",
            "| table of protocols |",
            "## Robustness",
            "| table of robustness |",
            "(pictures/robustness.png)",
            "| table of accuracy |",
            "## Where the loss comes from",
            "(pictures/loss.png)",
            "| table of loss |",
            "## COCO-C",
            "| table of suites |",
            "(pictures/coco_c.png)",
            "## Calibration",
            "(pictures/calibration.png)",
            "## Parity",
            "| table of parity |",
            "## Key findings",
            "- First finding.\n- Second &lt;finding>.",
            "(pictures/conditions.png)",
            "(pictures/images.png)",
            "(pictures/corruptions.png)",
            "| published |",
            "## How these numbers were made",
        )
    ]
    assert places == sorted(places)
    assert "\n\n\n" not in text


def test_long_parts_are_folded_away():
    text = make_section()
    folded = re.findall(r"<details>\n<summary>.*?</summary>\n\n(.*?)\n\n</details>", text, re.DOTALL)
    assert [part.split("\n")[0] for part in folded] == [
        "| table of machine |",
        "| table of batches |",
        "| table of accuracy |",
        "| table of loss |",
        f"![{pages.GRIDS['images'].alt}](pictures/images.png)",
        f"![{pages.GRIDS['corruptions'].alt}](pictures/corruptions.png)",
    ]
    assert text.count("<details>") == text.count("</details>") == len(folded)


def test_a_note_is_not_told_twice():
    pages = {
        "one": "| a |\n| - |\n\nMachine: Fake.\n\nOnly here.\n",
        "two": "**Title**\n\n| a |\n| - |\n\nMachine: Fake.\n\n<details>\n\n</details>\n\n*Notice.*\n",
        "three": "*Notice.*\n",
    }
    assert readme.without_repeats(pages) == {
        "one": "| a |\n| - |\n\nMachine: Fake.\n\nOnly here.",
        "two": "**Title**\n\n| a |\n| - |\n\n<details>\n\n</details>\n\n*Notice.*",
        "three": "*Notice.*",  # a page of nothing else keeps it
    }


def test_a_finding_with_a_section_of_its_own_is_told_there_and_only_there():
    names = ("holds", "protocols", "loss_study", "accuracy_bottleneck", "mpc", "calibration", "confidence")
    text = make_section(findings=[{"id": name, "text": f"Told of {name}."} for name in names])
    for heading, told in {
        "Two protocols": ("protocols",),
        "Where the loss comes from": ("loss_study", "accuracy_bottleneck"),
        "COCO-C": ("mpc",),
        "Calibration": ("calibration", "confidence"),
        "Key findings": ("holds",),
    }.items():
        found = re.findall(r"^- Told of (\w+)\.$", part_of(text, heading), re.MULTILINE)
        assert tuple(found) == told, heading
    assert text.count("Told of") == len(names)


def test_the_protocols_are_told_with_the_thresholds_in_use():
    text = protocols_text(PIPELINE)
    rows = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| "))
    rows = {name.strip(): [cell.strip() for cell in cells.split(" | ")] for name, cells in rows.items()}
    assert rows["Boxes of the detector"] == [
        "score > 0.05, NMS at IoU 0.6, at most 100",
        "score > 0.1, NMS at IoU 0.7, at most 50",
    ]
    assert rows["Boxes that get a pose"] == [
        "score > 0.3, then a second NMS at IoU 0.3",
        "for AP all; on the clock score > 0.25",
    ]
    assert [text.split(":")[0] for text in rows["Pose network"]] == ["twice", "once, on the crop"]
    assert "0.5;" in rows["A person counts from"][0] and "0.55" in rows["A person counts from"][1]
    assert protocols_text(PIPELINE | {"flip_test": True}).count("twice: on the crop") == 2


def test_the_section_without_notice_findings_or_published_numbers():
    text = make_section(notice=None, findings=[])
    assert "Note" not in text and "Beside the published" not in text
    assert "Nothing was measured." in text
    assert text.startswith("## Latency")


def test_facts_come_from_the_provenance():
    records = [fake_latency("onnx_full_cpu"), fake_scores("clean"), fake_parity("onnxruntime_cpu_fp32")]
    records[0]["provenance"]["git_revision"] = "0123456789abcdef-dirty"
    records[1]["provenance"]["made_at"] = "2026-11-25T23:59:00Z"
    records[0]["provenance"]["made_at"] = "2026-11-26T00:01:00Z"
    facts = readme.make_facts(records, "Fakes", 7, "make fakes")
    assert facts["When"] == "2026-11-25 to 2026-11-26"
    assert facts["Machine"] == "Fake 3000, 2 cores, 8 GiB, no GPU"
    assert facts["Networks (sha256)"] == "`pose.onnx` (dddddddddddd)"
    assert facts["Versions"] == "python 3.11, numpy 1.26.4"
    assert facts["Revision"] == "0123456789ab-dirty"
    assert facts["Data"] == "Fakes, seed 7" and facts["Command"] == "`make fakes`"


def fake_throughput(**changes) -> dict:
    """An invented throughput.json: the original at 2 images per second, ONNX Runtime at 8, no PyTorch."""
    turn = {"condition": "noise_heavy", "inference_share": 0.5, "poses": 9}
    ways = {
        "original": {"title": "One after the other", "runtime": "pytorch", "wall_s": 5.0},
        "pytorch": {"title": "Sweep, PyTorch", "runtime": "pytorch", "wall_s": None},
        "onnxruntime": {"title": "Sweep, ONNX Runtime", "runtime": "onnxruntime", "wall_s": 1.25},
    }
    found = []
    for name, way in ways.items():
        wall_s = way.pop("wall_s")
        timed = [
            {**turn, "way": name, "round": number, "wall_s": wall_s, "inference_s": wall_s / 2}
            | {"images_per_s": 10 / wall_s}
            for number in (1, 2)
            if wall_s
        ]
        run = {"status": "ok" if timed else "not run", "reason": None if timed else "no PyTorch | model"}
        found.append({"way": name, **way, "sets": [], "turns": timed, **run})
    return {
        "schema_version": 1,
        "kind": "throughput",
        "device": "cpu",
        "threads": 2,
        "workers": 1,
        "images": 10,
        "rounds": 2,
        "ways": found,
        "ratios": [{"way": "onnxruntime", "condition": "noise_heavy", "ratio": 4.0, "low": 3.5, "high": 4.5}],
        "provenance": {},
        "provenance_pytorch": None,
        **changes,
    }


def test_the_speed_of_the_predictions_is_a_fact():
    (text,) = readme.throughput_fact(fake_throughput()).values()
    assert "10 images, 2 rounds" in text
    assert "One after the other: Noise Heavy 2.00 (50 %);" in text
    assert "Sweep, PyTorch: not run (no PyTorch \\| model);" in text
    assert text.endswith("Sweep, ONNX Runtime: Noise Heavy 8.00 (50 %), 4.00× [3.50, 4.50]")
    ratio = {"way": "onnxruntime", "condition": "noise_heavy", "ratio": 4.0, "low": None, "high": None}
    (text,) = readme.throughput_fact(fake_throughput(ratios=[ratio])).values()
    assert text.endswith("(50 %), 4.00×")
    assert readme.throughput_fact(None) == {}


def test_a_bad_file_of_throughput_is_named(tmp_path):
    files.write_json(tmp_path / "throughput.json", fake_throughput(images="many"))
    with pytest.raises(
        PoseGaugeError, match=r"throughput\.json: does not fit throughput\.schema\.yaml at images"
    ):
        _ = Run.of_folder(tmp_path).throughput


def test_without_scores_the_page_is_that_of_the_times():
    shown = pages.shown(["latency", "parity", "roofline", "peers", "batches", "cameras"])
    text = make_section(shown=shown, links={page.figure: "a.png" for page in shown if page.figure})
    assert "## Latency" in text and "## Parity" in text
    assert "Robustness" not in text and "What the conditions look like" not in text


def test_facts_of_nothing():
    facts = readme.make_facts([], "Fakes", 7, "make fakes")
    assert facts["Machine"] == facts["Versions"] == "–"


# ---------------------------------------------------------------------------------- the published numbers


def test_published_numbers_are_complete():
    published = read_published(PUBLISHED)
    assert set(STUDY_BENCHMARKS) - set(published["benchmark"]) == {"pytorch_pose_gpu", "pytorch_pose_cpu"}
    assert set(published["robustness"]) == set(STUDY_CONDITIONS)
    for row in published["benchmark"].values():
        assert row["fault"] and row["fps"] == pytest.approx(1000 / row["latency_ms_mean"], rel=0.005)
    for row in published["robustness"].values():
        assert row["fault"]
        assert row["detection_rate"] == pytest.approx(row["images_detected"] / published["images"], abs=6e-4)


def rows_of(text: str) -> dict[str, list[str]]:
    """The cells of the lines of all tables, by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_published_numbers_alone():
    alone = published_markdown(read_published(PUBLISHED))
    rows = rows_of(alone)
    assert rows["TensorRT Full FP16"][0] == "18.43 ms, 54.24 FPS, 2.52×"
    assert rows["Clean (baseline)"][0].startswith("95.2 % (2563 / 2693)")
    assert "None of the published values was measured by this workflow" in alone
    assert {len(cells) for cells in rows.values()} == {2}


def test_published_numbers_beside_those_of_both_protocols():
    latency = benchmark_table([fake_latency("onnx_full_cpu"), fake_latency("onnx_full_gpu", False)])
    scores = [fake_scores("clean", original={"ap": None}), fake_scores("noise_heavy")]
    protocols = protocols_table(scores)
    rows = rows_of(published_markdown(read_published(PUBLISHED), latency, protocols))
    assert rows["Published row"] == [
        "Published value",
        "Study's protocol here",
        "Corrected here",
        "What is wrong with it",
    ]
    assert "no PyTorch row ran" in rows["ONNX Full CPU"][1]
    assert rows["ONNX Full GPU"][1] == "*not run: no CUDA device*"
    assert rows["TensorRT Full FP16"][1] == "–"
    assert rows["Clean (baseline)"][1:3] == [
        "98.0 %, confidence 0.580, AP –, fall-back images 4",
        "95.0 %, confidence 0.560, AP 0.740",
    ]
    assert rows["Noise Heavy"][1:3] == [
        "70.0 %, confidence 0.440, AP 0.240, fall-back images 4",
        "67.0 %, confidence 0.420, AP 0.260",
    ]
    assert rows["Occlusion"][1:3] == ["–", "–"]
    assert "seeded" in rows["Occlusion"][3]


def test_an_unknown_published_row_is_named(tmp_path):
    (tmp_path / "a.yaml").write_text("benchmark: {onnx_half_gpu: {}}\nrobustness: {}\n")
    with pytest.raises(PoseGaugeError, match=r"a\.yaml.*onnx_half_gpu"):
        read_published(tmp_path / "a.yaml")
