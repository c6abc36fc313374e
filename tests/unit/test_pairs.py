"""The published pairs: their configs, their checkpoints, and what their authors publish of them."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config

from posegauge.compare import published_pairs
from posegauge.compare.published import read_published
from posegauge.data.download import read_table
from posegauge.errors import PoseGaugeError
from posegauge.settings import check, timing_only

ROOT = Path(__file__).parents[2]
FACTS = published_pairs.read(ROOT / "config/published_pairs.yaml")
PAIRS = sorted(path.stem for path in (ROOT / "config/pairs").glob("*.yaml"))


def load(*files: str) -> dict:
    config = load_configfile(ROOT / "config/config.yaml")
    for file in files:
        update_config(config, load_configfile(ROOT / file))
    return config


def test_the_six_published_pairs_are_there():
    assert set(PAIRS) == set(FACTS["pairs"]) == {"nano-t", "nano-s", "nano-m", "nano-l", "m-m", "m-l"}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_is_what_was_published(pair, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = check.check(load(f"config/pairs/{pair}.yaml"))
    assert config["run"] == pair and config["dataset"]["kind"] == "coco"
    told = FACTS["pairs"][pair]
    models = config["models"]
    assert told["title"] == f"{models['detector']['name']} + {models['pose']['name']}"
    folder = Path(importlib.util.find_spec("mmpose").origin).parent / ".mim"
    for role, model in models.items():
        path = model["config"].removeprefix("mmpose::")
        assert (folder / path).is_file() and Path(path).stem == told[role]
    side = 320 if "_320-" in told["detector"] else 640
    assert models["detector"]["input_size"] == [side, side] and f"_{side}-" in told["detector"]


@pytest.mark.parametrize("pair", PAIRS)
def test_its_checkpoints_are_listed_with_the_hash_in_their_names(pair):
    table = read_table(ROOT / "config/downloads.tsv")
    for model in load(f"config/pairs/{pair}.yaml")["models"].values():
        row = table.loc[Path(model["checkpoint"]).name]
        (digits,) = re.findall(r"-([0-9a-f]{8})(?=[_.])", row["file"])
        assert row["sha256"] == digits and row["url"].endswith(row["file"])


@pytest.mark.parametrize("pair", PAIRS)
def test_it_is_timed_without_weights_or_scored_on_the_sample(pair, monkeypatch):
    monkeypatch.chdir(ROOT)
    timed = check.check(load(f"config/pairs/{pair}.yaml", "config/board.yaml"))
    assert timing_only.roles(timed) == ["detector", "pose"] and timed["dataset"]["kind"] == "scenes"
    assert all(name.endswith("_full_cpu") for name in timed["benchmarks"]) and timed["board"]["published"]
    gpu = check.check(load(f"config/pairs/{pair}.yaml", "config/board.yaml", "config/board-gpu.yaml"))
    assert set(timed["benchmarks"]) < set(gpu["benchmarks"]) and gpu["run"] == pair
    sample = check.check(load("config/sample.yaml", f"config/pairs/{pair}.yaml"))
    assert timing_only.roles(sample) == [] and sample["dataset"]["max_images"] == 100


def test_what_is_published_is_as_it_was_told():
    """Numbers of the table of MMPose's README, and of the rows that the board shows of them."""
    ap = {name: pair["ap"] for name, pair in FACTS["pairs"].items()}
    assert ap == {
        "nano-t": 0.644, "nano-s": 0.685, "nano-m": 0.732, "nano-l": 0.742, "m-m": 0.757, "m-l": 0.766,
    }  # fmt: skip
    study = read_published(ROOT / "config/published_t4.yaml")
    rows = published_pairs.rows(FACTS, study)
    pairs = [row for row in rows if row["interval"] == 5]
    assert len(pairs) == 10 and all("every 5th frame" in row["conditions"] for row in pairs)
    assert [row["ms"] for row in pairs if "i7" in row["machine"]] == [12.403, 16.658, 26.613, 36.311]
    assert [row["ms"] for row in pairs if "1660" in row["machine"]] == [
        2.467, 2.730, 4.312, 4.644, 6.923, 7.204
    ]  # fmt: skip
    t4 = {row["runtime"]: row["ms"] for row in rows if "T4" in row["machine"]}
    assert t4 == {"PyTorch FP32": 46.37, "ONNX Runtime FP32": 41.35, "TensorRT FP16": 18.43}
    assert all(row["source"] and row["conditions"] for row in rows)
    assert all(row["ap"] is None for row in rows if row["interval"] == 1), "the study published none"


def test_a_pair_is_found_by_both_configs_alone():
    found = published_pairs.find(
        FACTS, "rtmdet_m_640-8xb32_coco-person", "rtmpose-l_8xb256-420e_aic-coco-256x192"
    )
    assert found["ap"] == 0.766
    # The study's own pose network was trained on COCO alone.
    assert (
        published_pairs.find(FACTS, "rtmdet_m_640-8xb32_coco-person", "rtmpose-m_8xb256-420e_coco-256x192")
        is None
    )


def test_a_missing_key_is_named(tmp_path):
    facts = yaml.safe_load((ROOT / "config/published_pairs.yaml").read_text())
    del facts["conditions"], facts["pairs"]["m-m"]["ap"]
    (tmp_path / "pairs.yaml").write_text(yaml.safe_dump(facts))
    with pytest.raises(PoseGaugeError, match=r"pairs\.yaml: lacks conditions, pairs\.m-m\.ap"):
        published_pairs.read(tmp_path / "pairs.yaml")
