"""workflow/run.py: profiles called by name, of which one that does not exist is an error; the console."""

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROFILES = sorted(path.parent.name for path in (ROOT / "workflow/profiles").glob("*/profile.yaml"))


@pytest.fixture
def run(monkeypatch):
    """The module, in the repository's folder."""
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("run", ROOT / "workflow/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("option", ["--profile", "--workflow-profile"])
def test_names_become_folders(run, option):
    assert {"slurm", "workstation"} <= set(PROFILES)
    for name in PROFILES:
        folder = f"workflow/profiles/{name}"
        assert run.find_profiles([f"{option}={name}", "all"]) == [f"{option}={folder}", "all"]
        assert run.find_profiles(["-n", option, name, "-q"]) == ["-n", option, folder, "-q"]


def test_paths_and_other_words_stay(run, tmp_path):
    words = [
        f"--profile={tmp_path}",
        "--workflow-profile",
        "none",
        "slurm",
        "--configfile",
        "config/demo.yaml",
    ]
    assert run.find_profiles(words) == words


@pytest.mark.parametrize("words", [["--profile=slrm"], ["--workflow-profile", "slrm"], ["--profile="]])
def test_a_profile_that_does_not_exist_is_an_error_that_names_the_others(run, words):
    with pytest.raises(SystemExit) as stopped:
        run.find_profiles(["all", *words])
    assert "There is no profile" in str(stopped.value) and ", ".join(PROFILES) in str(stopped.value)


@pytest.mark.parametrize("name", PROFILES)
def test_no_profile_leaves_the_place_of_the_jobs_open(name):
    profile = yaml.safe_load((ROOT / f"workflow/profiles/{name}/profile.yaml").read_text(encoding="utf-8"))
    # Cores of this machine are for jobs on it; the workflow takes their absence for a cluster.
    assert ("cores" in profile) != ("executor" in profile)


def test_the_console_is_our_own_unless_another_is_asked_for(run):
    words, environment = run.with_console(["all", "--configfile", "a.yaml"], {"PYTHONPATH": "mine"})
    # `--logger` takes what follows it, and --configfile what goes before.
    assert words == ["all", "--configfile", "a.yaml", "--logger", "console"]
    folder, _, rest = environment["PYTHONPATH"].partition(":")
    assert rest == "mine" and (Path(folder) / "snakemake_logger_plugin_console/__init__.py").is_file()
    assert run.with_console(["-n", "--", "all"], {})[0] == ["-n", "--logger", "console", "--", "all"]
    for asked in (["--logger", "rich"], ["--logger=rich"]):
        assert run.with_console(["all", *asked], {}) == (["all", *asked], {})
