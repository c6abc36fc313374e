"""What all records share: the head, and how what a machine cannot run becomes a status with its reason."""

import contextlib
import logging
from dataclasses import asdict, dataclass

from posegauge.errors import Unavailable
from posegauge.store.files import SCHEMA_VERSION


@dataclass
class Outcome:
    """Whether something ran; `reason` says why not."""

    status: str = "ok"
    reason: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it ran."""
        return self.status == "ok"

    def fields(self) -> dict:
        """Return both as they stand in a record."""
        return asdict(self)


@contextlib.contextmanager
def attempt(what: str):
    """Give an Outcome. When the block raises Unavailable it ends there, and the outcome says so and why.

    what: the name for the log. Every other error goes on: only what this machine cannot do is no fault.
    """
    outcome = Outcome()
    try:
        yield outcome
    except Unavailable as error:
        outcome.status, outcome.reason = "not run", str(error)
        logging.getLogger("posegauge").warning("%s: not run: %s", what, error)


def make_record(kind: str, provenance: dict, outcome: Outcome | None = None, **fields) -> dict:
    """Return a record: the head, `fields`, and where they come from.

    Args:
        kind: what it holds, the name of its schema.
        provenance: see posegauge.store.provenance.collect.
        outcome: of the whole; None for a record of several parts, each of which has its own.
        fields: all else, as the schema says.
    """
    head = {"schema_version": SCHEMA_VERSION, "kind": kind} | (outcome.fields() if outcome else {})
    return {**head, **fields, "provenance": provenance}
