"""The results as one Markdown section where only times were measured: the models have random weights."""

from posegauge.report.markdown import cell, markdown
from posegauge.report.readme_parts import bullets, folded, latency_parts, without_repeats

TABLES = ("benchmark", "machine", "peers", "batches", "parity")  # in order


PICTURES = ("latency", "peers", "batches")


def section(
    tables: dict[str, str],
    findings: list[dict],
    links: dict[str, str],
    facts: dict[str, str],
    notice: str | None = None,
    level: int = 3,
) -> str:
    """Return the section as Markdown; arguments as those of readme.section, of TABLES and PICTURES only."""
    mark = "#" * level
    tables = without_repeats({name: tables[name] for name in TABLES})
    parts = [
        *latency_parts(tables, links, notice, mark),
        f"{mark} In words",
        bullets(cell(finding["text"]) for finding in findings) or "Nothing was measured.",
        folded("Raw outputs of every artifact against PyTorch", tables["parity"]),
        f"{mark} How these numbers were made",
        markdown([{"": key, " ": text} for key, text in facts.items()], {"": "left", " ": "left"}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def detector_fact(latency: list[dict], score_thr: float) -> dict[str, str]:
    """Return what NMS had to do in the measured image, as readme.make_facts does; nothing if no row says."""
    found = [record["provenance"].get("detector") for record in latency]
    told = dict.fromkeys(f"{work['candidates']}, of which NMS keeps {work['kept']}" for work in found if work)
    return {f"Boxes with a score above {score_thr:g}": cell("; ".join(told))} if told else {}
