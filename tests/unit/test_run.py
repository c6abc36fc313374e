"""workflow/run.py: profiles called by name, of which one that does not exist is an error; the console."""

import importlib.util
import os
import shutil
import subprocess
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
    # Seen from here: a search path would be cut at a colon in the repository's own path.
    folder, _, rest = environment["PYTHONPATH"].partition(":")
    assert folder == "workflow/plugins"
    assert rest == "mine" and (Path(folder) / "snakemake_logger_plugin_console/__init__.py").is_file()
    assert run.with_console(["-n", "--", "all"], {})[0] == ["-n", "--logger", "console", "--", "all"]
    for asked in (["--logger", "rich"], ["--logger=rich"]):
        assert run.with_console(["all", *asked], {}) == (["all", *asked], {})


def test_without_a_home_that_can_be_written_caches_lie_in_the_project(run, monkeypatch, tmp_path):
    environment = {"HOME": str(tmp_path), "LANG": "C"}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run.with_home(environment) == environment
    for home in ("/proc/1/nowhere", "/dev/null"):
        monkeypatch.setenv("HOME", home)
        found = run.with_home({"HOME": home, "LANG": "C"})
        own = f"{os.getcwd()}/.snakemake/home"
        assert found == {"HOME": own, "XDG_CACHE_HOME": f"{own}/.cache", "LANG": "C"}
    assert run.with_home({"HOME": str(tmp_path), "XDG_CACHE_HOME": "/dev/null"})["HOME"].endswith("/home")


def test_a_home_that_nobody_knows_is_no_home(run, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: os.fspath(path))
    assert run.with_home({})["HOME"].endswith("/.snakemake/home")
    with pytest.raises(SystemExit, match="There is no profile"):
        run.find_profiles(["--profile=slrm"])


def test_a_folder_that_cannot_be_written_is_said_before_anything_else(run, monkeypatch):
    monkeypatch.setattr(run.disk, "problem", lambda folder: f"{folder}: may not be written")
    with pytest.raises(SystemExit) as stopped:
        run.main(["-n"])
    assert str(stopped.value) == ".snakemake: may not be written"


FINE = ["My Projects", "a b's", "a[b] (c)", "ünï 日本", "-dash", "a$HOME", 'a"b', "a;b & c", "a#b %c", "a\\b"]
# A venv refuses colons, Snakemake braces, and the start scripts of a venv quote a blank alone.
REFUSED = {
    "a:b": "a colon",
    "a{b}": "a brace",
    "a}": "a brace",
    'a b"c': "a space",
    "a $HOME": "a space",
    "` `": "a space",
}


@pytest.mark.parametrize("name", [*FINE, *REFUSED])
def test_make_works_in_a_folder_of_any_name_or_names_what_is_in_its_way(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "envs", folder / "envs")
    done = subprocess.run(["make", "-n", "demo"], cwd=folder, capture_output=True, text=True)
    if name in FINE:
        assert done.returncode == 0 and ".venv/bin/python workflow/run.py" in done.stdout
    else:
        assert done.returncode and f"The folder '{folder}' has {REFUSED[name]}" in done.stderr
        assert len(done.stderr.splitlines()) == 1
