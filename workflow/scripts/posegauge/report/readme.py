"""A run as one Markdown page, results/<run>/readme.md: tables, figures, findings, and how they were made."""

import os
from pathlib import Path

from posegauge.report import pages
from posegauge.report.markdown import DASH, cell, machines, markdown, ratio_text
from posegauge.report.protocols import protocols_text
from posegauge.store import machine
from posegauge.study import STUDY_CONDITIONS

HASH_DIGITS = 12
GRIDS_HEADING = "## What the conditions look like"


def section(
    shown: list[pages.Page],
    tables: dict[str, str],
    findings: list[dict],
    links: dict[str, str],
    facts: dict[str, str],
    pipeline: dict,
    notice: str | None = None,
    published: str | None = None,
) -> str:
    """Return the page without its title, as Markdown.

    shown: of pages.shown. tables: their tables as Markdown. findings: [{"id", "text"}]. links: where the
    figures of the pages, and those of pages.GRIDS that there are, lie, seen from the page. facts: how it was
    made (make_facts). pipeline: that group of the config. published: the published numbers, if they belong
    here.
    """
    tables = without_repeats({page.table: tables[page.table] for page in shown if page.table})
    told = {finding["id"]: cell(finding["text"]) for finding in findings}
    placed = {name for page in shown for name in page.findings}
    parts = [f"> **Note:** {notice}" if notice else ""]
    for page in shown:
        parts.append(f"## {page.heading}" if page.heading else "")
        if page.module == "protocols":
            parts.append(protocols_text(pipeline))
        parts.append(bullets(told[name] for name in page.findings if name in told))
        if page.table and not page.folded:
            parts.append(tables[page.table])
        if page.figure:
            parts.append(picture(page.alt, links[page.figure]))
        if page.folded:
            parts.append(folded(page.folded, tables[page.table]))
    key = [text for name, text in told.items() if name not in placed] or ["Nothing was measured."]
    parts += ["## Key findings", bullets(key)]
    grids = [grid for name, grid in pages.GRIDS.items() if name in links]
    parts.append(GRIDS_HEADING if grids else "")
    for grid in grids:
        drawn = picture(grid.alt, links[grid.name])
        parts.append(folded(grid.folded, drawn) if grid.folded else drawn)
    parts += [
        f"## Beside the published numbers\n\n{published.strip()}" if published else "",
        "## How these numbers were made",
        markdown([{"": key, " ": text} for key, text in facts.items()], {"": "left", " ": "left"}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def without_repeats(texts: dict[str, str]) -> dict[str, str]:
    """Return the tables without the notes that an earlier one has; each would explain itself alone."""
    seen, kept = set(), {}
    for name, text in texts.items():
        parts = text.strip().split("\n\n")
        notes = {part for part in parts if not part.startswith(("|", "<", "**"))}
        new = [part for part in parts if part not in notes & seen]
        kept[name] = "\n\n".join(new or parts)
        seen |= notes
    return kept


def bullets(texts) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {text}" for text in texts)


def folded(summary: str, text: str) -> str:
    """Return text that is shown at a click on its summary."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def picture(alt: str, link: str) -> str:
    """Return a picture in Markdown."""
    return f"![{alt}]({link})"


def relative_links(pictures: dict, file) -> dict[str, str]:
    """Return the links (name -> path) from the file `file` to pictures."""
    folder = Path(file).parent
    return {name: Path(os.path.relpath(path, folder)).as_posix() for name, path in pictures.items()}


# ----------------------------------------------------------------------------------- how the page was made


def make_facts(records: list[dict], dataset: str, seed: int, command: str) -> dict[str, str]:
    """Return how the results were made, as text by heading, from the provenance in the records."""
    sources = [record["provenance"] for record in records]
    versions = {}
    for source in sources:
        for name, version in (source.get("versions") or {}).items():
            versions.setdefault(name, []).append(version)
    artifacts = _distinct(
        f"`{Path(used['file']).name}` ({str(used['sha256'])[:HASH_DIGITS]})"
        for source in sources
        for used in (source.get("artifacts") or {}).values()
    )
    revisions = _distinct(short_revision(source.get("git_revision")) for source in sources)
    facts = {
        "Machine": "; ".join(machines(records)),
        "When": when(sources),
        "Revision": ", ".join(revisions),
        "Data": f"{dataset}, seed {seed}",
        "Networks (sha256)": ", ".join(artifacts),
        "Versions": ", ".join(f"{name} {' / '.join(_distinct(found))}" for name, found in versions.items()),
        "Command": f"`{command}`",
    }
    facts = {key: cell(text) if text else DASH for key, text in facts.items()}
    if different := machine.difference(machine.compare(records)):
        facts["Warning"] = cell(f"{different}. Times of different machines cannot be compared")
    return facts


def when(sources: list[dict]) -> str:
    """Return the day of the first and the last record, '2026-11-26' or '2026-11-26 to 2026-11-27' (UTC)."""
    days = sorted(source["made_at"][:10] for source in sources if source.get("made_at"))
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""


def _distinct(values) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


def short_revision(revision: str | None) -> str:
    """Return a git revision with fewer digits, and whether files were changed: '7a74e4b01234-dirty'."""
    name, dash, state = (revision or "").partition("-")
    return f"{name[:HASH_DIGITS]}{dash}{state}"


def throughput_fact(record: dict | None) -> dict[str, str]:
    """Return how fast conditions are predicted, as make_facts does, from throughput.json."""
    if not record:
        return {}
    ways = [f"{way['title']}: {_way_speed(way, record)}" for way in record["ways"]]
    protocol = (
        f"images per second (share of inference), {record['images']} images, {record['rounds']} rounds; "
        "×: against the first way"
    )
    return {"Speed of the predictions": cell(f"{protocol}. {'; '.join(ways)}")}


def _way_speed(way: dict, record: dict) -> str:
    """Return 'Noise Heavy 4.10 (92 %), 1.62× [1.55, 1.70]' for each condition, or why the way was not run."""
    if way["status"] != "ok":
        return f"not run ({way['reason']})"
    told = []
    for condition in dict.fromkeys(turn["condition"] for turn in way["turns"]):
        turns = [turn for turn in way["turns"] if turn["condition"] == condition]
        wall_s, inference_s = (sum(turn[key] for turn in turns) for key in ("wall_s", "inference_s"))
        speed = record["images"] * len(turns) / wall_s
        text = f"{STUDY_CONDITIONS[condition].title} {speed:.2f} ({100 * inference_s / wall_s:.0f} %)"
        for ratio in record["ratios"]:
            if (ratio["way"], ratio["condition"]) == (way["way"], condition):
                text += f", {ratio_text(ratio['ratio'], ratio['low'], ratio['high'])}"
        told.append(text)
    return " and ".join(told)


def detector_fact(latency: list[dict], score_thr: float) -> dict[str, str]:
    """Return what NMS had to do in the measured image, as make_facts does; nothing if no row says."""
    found = [record["provenance"].get("detector") for record in latency]
    told = dict.fromkeys(f"{work['candidates']}, of which NMS keeps {work['kept']}" for work in found if work)
    return {f"Boxes with a score above {score_thr:g}": cell("; ".join(told))} if told else {}
