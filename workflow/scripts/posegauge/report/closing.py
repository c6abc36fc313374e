"""What a run says in few words: its first findings, at the end of its console and in the README.

Nothing heavy is imported here: the workflow reads this file when it ends.
"""

import textwrap
from pathlib import Path

from posegauge.store.files import read_json

FINDINGS = 3
# Those that say most: what cannot be, the fastest row, what harms most, what one may believe.
FIRST = ("doubt", "fastest_full", "worst", "protocols", "disagree", "floor", "bottleneck", "peers", "parity")


WIDTH = 100


def text(run) -> str:
    """Return the closing words on the finished run in the folder `run`."""
    run = Path(run)
    found = [
        textwrap.fill(finding["text"], WIDTH, initial_indent="  - ", subsequent_indent="    ")
        for finding in headline(read_json(run / "findings.json"))
    ]
    where = f"Results: {run}/ (tables/, figures/, grids/; {run}/readme.md shows them together)"
    return "\n".join(["", *(["Findings:", *found] if found else []), where])


def headline(findings: list[dict]) -> list[dict]:
    """Return FINDINGS of the findings ({"id", "text"}), those of FIRST before all others."""
    by_id = {finding["id"]: finding for finding in findings}
    chosen = [by_id[name] for name in FIRST if name in by_id]
    return [*chosen, *(finding for finding in findings if finding not in chosen)][:FINDINGS]
