"""The target verify: values of a run as a reference, and the failure when one differs."""

import json

from conftest import DEMO_CONFIGS


def verify(demo, target: str = "verify", check: bool = True):
    return demo.snakemake(
        target, configs=DEMO_CONFIGS, options=("--config", "reference=own/reference.json"), check=check
    )


def test_a_run_is_checked_against_its_own_values_and_a_difference_fails(demo):
    verify(demo, "make_reference")
    path = demo.path / "own/reference.json"
    assert "values agree" in verify(demo).stdout
    reference = json.loads(path.read_text())
    reference["inputs"]["seed"] += 1
    reference["values"]["occlusion.annotated.ap"] -= 0.1
    path.write_text(json.dumps(reference))
    done = verify(demo, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert "2 of " in done.stdout and "values differ" in done.stdout
    for name in ("  seed: 2017, reference 2018", "  occlusion.annotated.ap: "):
        assert name in done.stdout
    folder = demo.run / "verify"
    assert json.loads((folder / "verify.json").read_text())["agrees"] is False
    assert "occlusion.annotated.ap" in (folder / "verify.md").read_text()


def test_without_a_reference_the_target_says_how(demo):
    done = demo.snakemake("verify", configs=DEMO_CONFIGS, check=False)
    assert done.returncode and "make verify" in done.stdout
