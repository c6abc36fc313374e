"""The board in words: its table, the answer to the budget, which change is worth what, and the page."""

import base64
from pathlib import Path

import pandas as pd

from posegauge.compare import board, board_figure, board_findings, changes, every, history, published_pairs
from posegauge.compare.board import MEASURED, PUBLISHED, SAME, Row, network
from posegauge.compare.changes import FACTORS
from posegauge.report import html
from posegauge.report.markdown import DASH, cell, listed, markdown, page, ratio_text, spread
from posegauge.report.parity import row_verdict, share_text
from posegauge.report.readme import bullets, picture
from posegauge.store.files import atomic_path, sha256_file, write_json, write_text
from posegauge.store.machine import describe
from posegauge.study import ROLES

# What stands in the board's folder, beside board.json.
FILES = (
    "board.md", "board.html", "findings.json", "tables/board.csv", "tables/changes.csv", "tables/history.csv",
    "tables/intervals.csv",
    "figures/board.png", "figures/history.png",
)  # fmt: skip
TITLE = "The board: what to deploy"
ALT = "AP against milliseconds per frame of every row, with the Pareto front"
HISTORY_ALT = "The same rows over several runs, with 95 % intervals"


def ap_text(shown: dict) -> str:
    """Return '0.732 (published)', or '0.701 [0.650, 0.748]' of a measured one."""
    if shown["ap"] is None or pd.isna(shown["ap"]):
        return DASH
    if shown["ap_kind"] == PUBLISHED:
        return f"{shown['ap']:.3f} (published)"
    known = not (shown["ap_low"] is None or pd.isna(shown["ap_low"]))
    return f"{shown['ap']:.3f}" + (f" [{shown['ap_low']:.3f}, {shown['ap_high']:.3f}]" if known else "")


# ----------------------------------------------------------------------------------------------- the tables


def rows_text(rows: list[Row], settings: dict) -> str:
    """Return the rows that ran as a Markdown table, fastest first, with what explains it."""
    ran = sorted((row.shown for row in rows if _stands(row)), key=_time)
    several = len({row["machine"] for row in ran}) > 1
    columns = {"Networks": "left", "Row": "left"} | ({"Machine": "left"} if several else {})
    columns |= {"P50 (ms)": "right", "P95 (ms)": "right", "AP": "right", "Tier": "left", "Front": "left"}
    columns |= {"J / frame": "right", "Cost / million": "right", "Run": "left"}
    lines = []
    for row in ran:
        cost = row["cost_per_million"]
        energy = row["joules_per_frame"]
        lines.append(
            {
                "Networks": cell(f"{row['detector']} + {row['pose']}"),
                "Row": cell(row["title"]),
                "Machine": cell(row["machine"]),
                "P50 (ms)": f"{cell(row['ms_p50'])} [{cell(row['ms_p50_low'])}, {cell(row['ms_p50_high'])}]",
                "P95 (ms)": cell(row["ms_p95"]),
                "AP": ap_text(row),
                "Tier": _tier_text(row),
                "Front": "●" if row["front"] else "○" if row["front_of_machine"] else "",
                "J / frame": cell(energy) if energy is not None else DASH,
                "Cost / million": f"{cost:.2f} {row['currency']}" if cost is not None else DASH,
                "Run": cell(row["run"]),
            }
        )
    return "\n\n".join(filter(None, [markdown(lines, columns), *_notes(rows, ran, settings)]))


def _stands(row: Row) -> bool:
    return row.shown["status"] == "ok" and row.shown["measured_again_in"] is None


def _tier_text(row: dict) -> str:
    """Return 'exact', or '99 %? (99.12 % [98.20, 100.03] of AP)', in doubt where the images are too few."""
    verdict = row_verdict(row)
    share = "" if verdict.share is None or row["tier"] in SAME else f" ({share_text(verdict)} of AP)"
    return cell(f"{row['tier']}{'' if verdict.told else '?'}{share}")


def _notes(rows: list[Row], ran: list[dict], settings: dict) -> list[str]:
    """Return the paragraphs below the table."""
    persons = sorted({row["persons"] for row in ran})
    notes = [
        f"Each row is detection and pose, alone on its machine, {' or '.join(map(str, persons))} persons in "
        "the image. P50: median with a 95 % interval, which holds how processes differ. ●: on the Pareto "
        "front: no row is as fast and as accurate and better in one; ○: on that of its machine alone. Rows "
        "that fail are on none, and measured and published AP have a front each.",
    ]
    kinds = {row["ap_kind"] for row in ran}
    if MEASURED in kinds:
        notes.append(
            "AP: keypoint AP of the run on its clean images with a 95 % interval. A row whose artifact is "
            "neither the source nor exact has it times the share that the artifact keeps in parity."
        )
    for reason, found in _grouped(ran, "ap_note").items():
        notes.append(f"AP of {_runs(found)}: {cell(reason)}.")
    if again := [row.shown for row in rows if row.shown["measured_again_in"]]:
        notes.append(f"Rows that a later run has, too, stand in the history alone ({_runs(again)}).")
    for reason, found in _grouped(ran, "tier_note").items():
        titles = listed(dict.fromkeys(row["title"] for row in found), 12)
        notes.append(f"{found[0]['tier'].capitalize()}: {titles} ({_runs(found)}): {cell(reason)}.")
    for reason, found in _grouped(ran, "energy_reason").items():
        notes.append(f"Energy not known: {cell(reason)} ({_runs(found)}).")
    for source, found in _grouped(ran, "power_source").items():
        notes.append(f"Power, idle subtracted, from {cell(source)} ({_runs(found)}).")
    for without, found in _grouped(ran, "energy_without").items():
        notes.append(f"Power not counted: {cell(without)} ({_runs(found)}).")
    if unpaid := [row for row in ran if row["price_per_hour"] is None]:
        notes.append(f"Cost not known: board.price_per_hour has no price ({_runs(unpaid)}).")
    if paid := [row for row in ran if row["price_per_hour"] is not None]:
        prices = dict.fromkeys(
            f"{row['price_per_hour']:g} {row['currency']} an hour for {row['machine']}" for row in paid
        )
        told = cell("; ".join(prices))
        notes.append(f"Cost: of a million frames, one after the other, on a machine for itself; {told}.")
    missing = [row.shown for row in rows if row.shown["status"] != "ok"]
    for reason, found in _grouped(missing, "reason").items():
        titles = listed(dict.fromkeys(row["title"] for row in found), 12)
        notes.append(f"{found[0]['status'].capitalize()}: {cell(reason)} ({titles}; {_runs(found)}).")
    return notes


def _grouped(rows: list[dict], key: str) -> dict[str, list[dict]]:
    groups: dict = {}
    for row in rows:
        if row[key]:
            groups.setdefault(row[key], []).append(row)
    return groups


def _runs(rows: list[dict]) -> str:
    return listed(dict.fromkeys(f"`{row['run']}`" for row in rows), 12)


def _time(shown: dict) -> float:
    return shown["ms_p50"]


def changes_text(table: pd.DataFrame) -> str:
    """Return which change is worth what as a Markdown table; table: of changes.changes."""
    if table.empty:
        return "No two rows differ in one thing alone."
    columns = {"Change": "left", "From": "left", "To": "left", "Time": "right", "AP": "right"}
    columns |= {"Pairs of rows": "right", "Ranges that meet": "right"}
    lines = []
    for row in table.to_dict("records"):
        lines.append(
            {
                "Change": FACTORS[row["factor"]],
                "From": cell(row["from"]),
                "To": cell(row["to"]),
                "Time": ratio_text(row["ratio"], row["low"], row["high"]),
                "AP": _change(row),
                "Pairs of rows": str(row["pairs"]),
                "Ranges that meet": f"{row['overlapping']} of {row['pairs']}",
            }
        )
    told = (
        "Time: the median with the second / with the first, geometric mean over pairs of rows that differ in "
        "nothing else, with a 95 % interval. AP: the mean difference over the same pairs, where known. "
        "Ranges that meet: pairs whose samples from P5 to P95 overlap, so that single frames may turn round."
    )
    return f"{markdown(lines, columns)}\n\n{told}"


def _change(row: dict) -> str:
    if row["ap_change"] is None or pd.isna(row["ap_change"]):
        return DASH
    return spread(row, "ap_change", signed=True) + (" (published)" if row["ap_kind"] == PUBLISHED else "")


def published_text(published: list[dict]) -> str:
    """Return the published rows as a Markdown table, with their conditions; empty without any."""
    if not published:
        return ""
    columns = dict.fromkeys(("Networks", "Machine", "Runtime"), "left")
    columns |= {"ms": "right", "AP": "right", "Detector": "left", "Conditions": "left"}
    numbers = {
        text: number for number, text in enumerate(dict.fromkeys(row["conditions"] for row in published), 1)
    }
    lines = [
        {
            "Networks": cell(row["title"]),
            "Machine": cell(row["machine"]),
            "Runtime": cell(row["runtime"]),
            "ms": cell(row["ms"]),
            "AP": cell(row["ap"], 3),
            "Detector": "every frame" if row["interval"] == 1 else f"every {row['interval']}th frame",
            "Conditions": f"({numbers[row['conditions']]})",
        }
        for row in published
    ]
    told = [f"({number}) {text}." for text, number in numbers.items()]
    sources = listed(dict.fromkeys(row["source"] for row in published))
    return (
        f"{markdown(lines, columns)}\n\nNone of these was measured by this workflow, and none is like for "
        f"like; they are on no front and in no finding. Sources: {sources}. Conditions: {' '.join(told)}"
    )


# --------------------------------------------------------------------------------------------------- the page


def markdown_page(
    rows, worth, told: list[dict], published, settings, past: pd.DataFrame, films: pd.DataFrame, notice
) -> str:
    """Return board.md, without pictures that there are not; told: of findings."""
    parts = [f"# {TITLE}", f"> **Note:** {notice}" if notice else "", picture(ALT, "figures/board.png")]
    if budgets := [line["text"] for line in told if line["id"] == "budget"]:
        parts += ["## For the budget", bullets(map(cell, budgets))]
    parts += [
        "## Which change is worth what",
        bullets(cell(line["text"]) for line in told if line["id"] not in ("budget", "front")),
        changes_text(worth),
        "## Every row",
        bullets(cell(line["text"]) for line in told if line["id"] == "front"),
        rows_text(rows, settings),
    ]
    if not films.empty:
        parts += ["## The detector on every n-th frame", every.text(films)]
    if not past.empty:
        parts += ["## History", picture(HISTORY_ALT, "figures/history.png"), history.text(past)]
    if published:
        parts += ["## Published, not measured here", published_text(published)]
    parts += ["## How these numbers were made", _made(rows)]
    return page(parts, None)


def _made(rows: list[Row]) -> str:
    """Return which runs the board is of."""
    lines = []
    for run in dict.fromkeys(row.run for row in rows):
        ran = [row.shown for row in rows if row.run is run and row.shown["status"] == "ok"]
        days = sorted({(row["made_at"] or "")[:10] for row in ran} - {""})
        lines.append(
            {
                "Run": f"`{run.name}`",
                "Networks": cell(" + ".join(network(run, role)[0] for role in ROLES)),
                "Machine": cell("; ".join(dict.fromkeys(row["machine"] for row in ran))) or DASH,
                "Measured": " to ".join(dict.fromkeys((days[0], days[-1]))) if days else DASH,
                "Revision": cell((run.record.get("git_revision") or DASH)[:12]),
                "Command": f"`{cell(run.record.get('reproduce') or DASH)}`",
            }
        )
    return markdown(lines, dict.fromkeys(lines[0], "left"))


def html_page(text: str, pictures: dict[str, Path]) -> str:
    """Return board.md as one HTML file that opens without a network; pictures: by their links in the text."""
    body = text.removeprefix(f"# {TITLE}\n\n")
    for link, path in pictures.items():
        data = base64.b64encode(Path(path).read_bytes()).decode()
        body = body.replace(f"]({link})", f"](data:image/png;base64,{data})")
    return html.page(TITLE, body)


def write(folder, paths, pairs_file, study: dict, settings: dict) -> list[dict]:
    """Write the board into a folder: pages, tables, figures, findings.json, and board.json with their sha256.

    paths: the runs' folders. pairs_file: config/published_pairs.yaml. study: of published.read_published.
    settings: the group `board` of the config. Returns the findings. Raises what board.read raises.
    """
    folder = Path(folder)
    runs, rows, pairs = board.read(paths, pairs_file, settings)
    published = published_pairs.rows(pairs, study) if settings["published"] else []
    films, past = every.table(runs), history.table(rows)
    worth = changes.changes(rows, films)
    tables = {"board": board.table(rows), "changes": worth, "history": past, "intervals": films}
    for name, table in tables.items():
        with atomic_path(folder / "tables" / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    notice = " ".join(dict.fromkeys(filter(None, (run.record["notice"] for run in runs)))) or None
    pictures = {name: folder / name for name in ("figures/board.png", "figures/history.png")}
    board_figure.plot(rows, published, settings, pictures["figures/board.png"], notice)
    history.plot(rows, pictures["figures/history.png"])
    told = board_findings.findings(rows, worth, settings)
    write_json(folder / "findings.json", told)
    text = markdown_page(rows, worth, told, published, settings, past, films, notice)
    write_text(folder / "board.md", text)
    write_text(folder / "board.html", html_page(text, pictures))
    hashes = {name: sha256_file(folder / name) for name in FILES}
    write_json(folder / "board.json", record(runs, settings, notice, hashes), "board.schema.yaml")
    return told


def record(runs: list, settings: dict, notice: str | None, files: dict[str, str]) -> dict:
    """Return board.json; runs: of board.read, files: sha256 by path in the board's folder."""
    return {
        "schema_version": 1,
        "kind": "board",
        "board": settings,
        "notice": notice,
        "runs": [
            {
                "run": run.name,
                "machine": describe(run.record["machine"]),
                **{key: run.record.get(key) for key in ("git_revision", "config_sha256", "reproduce")},
            }
            for run in runs
        ],
        "files": files,
    }
