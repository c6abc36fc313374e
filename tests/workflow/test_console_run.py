"""What a person reads who starts the workflow through workflow/run.py, as `make` does."""

import re
import subprocess

import pytest

SMALL = ("config/demo.yaml", "tests/config/small.yaml")
TWO = ("render_clip", "filter_person_images")


@pytest.fixture(scope="module")
def repository(session_workspace):
    workspace = session_workspace("console")

    def run(*words, configs=()):
        """Run some words through run.py; returns (exit status, standard output, standard error)."""
        done = subprocess.run(
            [workspace.python, "workflow/run.py", "--cores", "2", *words, "--configfile", *SMALL, *configs],
            cwd=workspace.path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    workspace.console = run
    return workspace


def test_jobs_then_nothing_to_do_then_snakemakes_own(repository):
    log = repository.path / "data/scenes-demo/logs/render_scenes.log"
    status, output, errors = repository.console(*TWO)
    assert (status, output) == (0, "")
    told = errors.splitlines()
    assert told[0].startswith("Using workflow specific profile") and told[1] == "3 jobs to run."
    assert re.fullmatch(r"All 3 jobs done in [\d.]+ s\.", told[-1])
    lines = [re.fullmatch(r"\d\d:\d\d:\d\d +(\d+) %  (begin|done) +(.+)", line) for line in told[2:-1]]
    assert all(lines), errors
    assert sorted(line[2] for line in lines) == ["begin"] * 3 + ["done"] * 3
    assert [int(line[1]) for line in lines if line[2] == "done"] == [33, 66, 100]
    assert any(re.match(r"Draw a synthetic video: [\d.]+ s", line[3]) for line in lines)
    assert "scenes: 48 done in" in log.read_text() and "48 done in" not in errors
    # Nothing was printed outside of the jobs' own logs.
    assert not list((repository.path / ".snakemake/log").glob("*.jobs.log"))

    status, _, errors = repository.console(*TWO)
    assert status == 0 and errors.splitlines()[1:] == [
        "Nothing to be done (all requested files are present and up to date)."
    ]
    status, output, _ = repository.console("-n", "--forceall", *TWO)
    assert (
        status == 0
        and re.search(r"^render_clip +1$", output, re.M)
        and re.search(r"^total +3$", output, re.M)
    )
    assert "This was a dry-run" in output and re.search(r"^Job \d+: Draw a synthetic video$", output, re.M)
    status, _, errors = repository.console("render_clip", "--verbose", "--forcerun", "render_clip")
    assert status == 0 and "SNAKEMAKE\n=====" in errors and "Finished jobid: " in errors


def test_a_failed_job_is_clear_and_the_others_go_on(repository):
    damaged = repository.path / "data/scenes-demo/annotations.json"
    damaged.write_text("[")
    status, _, errors = repository.console("draw_corruptions", "render_clip", "--forcerun", *TWO)
    assert status == 1
    told = errors.splitlines()
    (at,) = (number for number, line in enumerate(told) if "FAILED" in line)
    assert "FAILED List the images with persons of scenes-demo, after " in told[at]
    assert told[at + 1].strip().startswith("Error: data/scenes-demo/annotations.json")
    assert "rule: filter_person_images" in errors
    assert re.search(r"^ +log:  \S+filter_person_images\.log$", errors, re.M)
    # The clip does not need the images.
    assert re.search(r"done +Draw a synthetic video", errors)
    assert "\n1 job of 3 failed, 1 done, 1 not run because it needs what failed.\n" in errors
    for noise in ("Traceback", "RuleException", "CalledProcessError", "WorkflowError", "Warning", "Complete"):
        assert noise not in errors, noise
    assert errors.count("Error: ") == 1
