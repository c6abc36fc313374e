"""Python 3.11, 3.12 and 3.13 make the same pictures and predict the same, where two of them are set up."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from conftest import ROOT

PROGRAM = Path(__file__).with_name("what_a_python_makes.py")


def version_of(python) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


@cache
def others() -> dict[str, str]:
    """Return {version: path} of the Pythons of other versions in environments beside .venv."""
    found = {version_of(path): str(path) for path in sorted(ROOT.glob(".venv*/bin/python"))}
    return {
        version: path for version, path in found.items() if version and version != version_of(sys.executable)
    }


def test_all_pythons_make_the_same_pictures_and_predictions(request):
    if not others():
        pytest.skip("one environment only: make setup VENV=.venv-3.13 PYTHON=python3.13 makes one more")
    demo_onnx = request.getfixturevalue("demo_onnx")

    def made_by(python) -> dict:
        words = [python, str(PROGRAM), demo_onnx["detector"], demo_onnx["pose"]]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    here = made_by(sys.executable)
    assert sum(bool(boxes) for boxes, *_ in here["found"].values()) > 10
    for version, python in others().items():
        there = made_by(python)
        differ = [name for name in here["made"] if there["made"][name] != here["made"][name]]
        assert not differ, f"Python {version} makes other bytes of {differ}"
        differ = [name for name in here["found"] if there["found"][name] != here["found"][name]]
        assert not differ, f"Python {version} predicts otherwise in {differ}"
