"""Slurm for the tests: started where it is installed, installed where that is asked for and can be done."""

import os

import one_node
import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/slurm/" in item.path.as_posix():
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def slurm():
    """A running Slurm of one node.

    SLURM_TESTS says what to do where it is missing: "install" it or fail, "try" to install it, else skip.
    Without the variable the tests are skipped: a test run must not install system packages unasked.
    """
    wish = os.environ.get("SLURM_TESTS", "")
    if packages := one_node.missing():
        lacking = f"Slurm is not installed: {', '.join(packages)} missing"
        if wish not in ("install", "try"):
            pytest.skip(f"{lacking} (make test-slurm installs it)")
        if reason := one_node.why_not_installable() or one_node.install():
            (pytest.fail if wish == "install" else pytest.skip)(f"{lacking}, and {reason}")
    with one_node.OneNode() as node:
        yield node
