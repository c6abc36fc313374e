"""The command in run.json: what must be typed to make the run again."""

import shlex

import yaml

from posegauge.store import provenance


def test_the_command_names_config_files_and_what_was_given_beside_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / "config/config.yaml", tmp_path / "config/demo.yaml", "/elsewhere/my.yaml"]
    overrides = provenance.override_files(files)
    assert overrides == ["config/demo.yaml", "my.yaml"], "no path of this machine"
    given = {"run": "one", "threads": 1, "benchmark": {"runs": 20}, "baseline": "a"}
    words = shlex.split(provenance.command(overrides, given))
    place = words.index("--config")
    assert words[:place] == ["snakemake", "--cores", "all", "--configfile", *overrides]
    # Snakemake reads each value as YAML. What is compared is no part of a run.
    read = {
        key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words[place + 1 :])
    }
    assert read == {"run": "one", "threads": 1, "benchmark": {"runs": 20}}


def test_without_any_it_is_the_plain_command():
    assert provenance.command([], {}) == "snakemake --cores all"


def test_all_that_computes_has_its_version_recorded():
    assert {"torch", "onnxruntime", "numpy", "opencv-python", "av"} <= set(provenance.PACKAGES)
