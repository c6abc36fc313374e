"""The head of all records, and how what cannot run becomes a status with its reason."""

import logging

import pytest

from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.store.record import attempt, make_record


def test_what_runs_is_ok():
    with attempt("a row") as outcome:
        value = 3
    assert outcome.ok and outcome.fields() == {"status": "ok", "reason": None} and value == 3


def test_what_this_machine_cannot_run_says_why(caplog):
    caplog.set_level(logging.WARNING, "posegauge")
    with attempt("a row") as outcome:
        raise Unavailable("no CUDA device")
    assert not outcome.ok
    assert outcome.fields() == {"status": "not run", "reason": "no CUDA device"}
    assert "a row: not run: no CUDA device" in caplog.text


@pytest.mark.parametrize("error", [PoseGaugeError, RuntimeError, KeyboardInterrupt])
def test_a_fault_is_no_reason(error):
    with pytest.raises(error), attempt("a row"):
        raise error("a fault")


def test_a_record_has_its_head_first_and_its_provenance_last():
    with attempt("a row") as outcome:
        raise Unavailable("no CUDA device")
    record = make_record("latency", {"machine": {}}, outcome, runs=0)
    assert list(record) == ["schema_version", "kind", "status", "reason", "runs", "provenance"]
    assert record["reason"] == "no CUDA device"
    assert list(make_record("peers", {}, ways=[])) == ["schema_version", "kind", "ways", "provenance"]
