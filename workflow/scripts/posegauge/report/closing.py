"""The last words of a finished run: what it found, and where its results are."""

import textwrap
from pathlib import Path

from posegauge.store.files import read_json

FINDINGS = 3


WIDTH = 100


def text(run) -> str:
    """Return the closing words on the finished run in the folder `run`."""
    run = Path(run)
    found = [
        textwrap.fill(told, WIDTH, initial_indent="  - ", subsequent_indent="    ") for told in headline(run)
    ]
    where = f"Results: {run}/ (tables/, figures/, grids/; {run}/readme.md shows them together)"
    return "\n".join(["", *(["Findings:", *found] if found else []), where])


def headline(run) -> list[str]:
    """Return the findings to close with: the first ones that the run wrote."""
    return [finding["text"] for finding in read_json(Path(run) / "findings.json")[:FINDINGS]]
