"""Joules per frame of the latency rows: columns, table, Markdown and sentence."""

import pandas as pd

from posegauge.report.markdown import DEVICE_TITLES, cell, machines, markdown, page
from posegauge.report.parity import tiers_note, titled
from posegauge.report.verdicts import row_tier

SOURCE_TITLES = {"rapl": "RAPL", "nvml": "NVML", "tegrastats": "tegrastats"}

ENERGY_COLUMNS = (
    "benchmark", "title", "pipeline", "runtime", "device", "precision", "status", "reason", "tier",
    "joules_per_frame", "joules_per_frame_total", "joules_per_frame_error", "idle_watts", "busy_watts",
    "energy_frames", "energy_seconds", "idle_seconds", "power_source", "power_domains", "energy_without",
    "energy_reason",
)  # fmt: skip


NUMBERS = (
    "joules_per_frame", "joules_per_frame_total", "joules_per_frame_error", "idle_watts", "busy_watts",
    "energy_seconds", "idle_seconds",
)  # fmt: skip


# Idle watts of two rows that are told as unlike, as a ratio.
UNLIKE_IDLE = 1.2


NOT_MEASURED = "the record is from before energy was measured"


def energy_columns(record: dict) -> dict:
    """Return the columns of ENERGY_COLUMNS from joules_per_frame on, over all processes of a latency record.

    joules_per_frame: what the row draws more than the machine does idle, by frame; joules_per_frame_total:
    all of it. joules_per_frame_error: how far the first may be off because the sources move in steps.
    Without joules there is energy_reason alone; a row that is no result has neither.
    """
    if record["status"] != "ok":
        return {}
    found = [state.get("energy") or {"reason": NOT_MEASURED} for state in record.get("measured_under") or []]
    reasons = [one["reason"] for one in found or [{"reason": NOT_MEASURED}] if one["reason"]]
    if reasons:
        return {"energy_reason": reasons[0]}
    frames = sum(one["busy"]["frames"] for one in found)
    seconds = sum(one["busy"]["seconds"] for one in found)
    total = sum(_joules(one["busy"]) for one in found)
    idle = sum(_watts(one["idle"]) * one["busy"]["seconds"] for one in found)
    first = found[0]
    return {
        "joules_per_frame": (total - idle) / frames,
        "joules_per_frame_total": total / frames,
        "joules_per_frame_error": sum(map(_error, found)) / frames,
        "idle_watts": idle / seconds,
        "busy_watts": total / seconds,
        "energy_frames": frames,
        "energy_seconds": seconds,
        "idle_seconds": first["idle"]["seconds"],
        "power_source": " + ".join(SOURCE_TITLES[source["source"]] for source in first["sources"]),
        "power_domains": ", ".join(first["busy"]["joules"]),
        "energy_without": first["without"],
    }


def _joules(part: dict) -> float:
    return sum(part["joules"].values())


def _watts(part: dict) -> float:
    return _joules(part) / part["seconds"]


def _error(one: dict) -> float:
    """Return the joules that a process may be off: a source's last step missed at an end of each count."""
    step = max(source["update_s"] for source in one["sources"])
    busy, idle = one["busy"], one["idle"]
    return step * (_watts(busy) + _watts(idle) * busy["seconds"] / idle["seconds"])


def energy_table(records: list[dict], parity=()) -> pd.DataFrame:
    """Return one row per latency record, see ENERGY_COLUMNS and energy_columns. parity: of read_parity."""
    parity = {record["artifact"]: record for record in parity}
    rows = [
        {key: record[key] for key in ENERGY_COLUMNS[:8]}
        | {"tier": row_tier(record, parity)["tier"]}
        | energy_columns(record)
        for record in records
    ]
    table = pd.DataFrame(rows, columns=list(ENERGY_COLUMNS))
    return table.astype({"energy_frames": "Int64"} | dict.fromkeys(NUMBERS, "float64"))


def energy_markdown(
    table: pd.DataFrame, records: list[dict], title: str = "", notice: str | None = None
) -> str:
    """Return the rows with joules for people, and why the others have none."""
    measured = table[table["joules_per_frame"].notna()]
    columns = {"Configuration": "left", "Pipeline": "left", "Device": "left", "J / frame": "right"}
    columns |= {"with idle": "right", "Idle (W)": "right", "Busy (W)": "right", "Counted": "left"}
    rows = [
        {
            "Configuration": cell(titled(row)),
            "Pipeline": row["pipeline"],
            "Device": DEVICE_TITLES[row["device"]],
            "J / frame": f"{row['joules_per_frame']:.3g} ± {row['joules_per_frame_error']:.2g}",
            "with idle": f"{row['joules_per_frame_total']:.3g}",
            "Idle (W)": cell(row["idle_watts"], 1),
            "Busy (W)": cell(row["busy_watts"], 1),
            "Counted": cell(f"{row['power_source']}: {row['power_domains']}"),
        }
        for row in measured.to_dict("records")
    ]
    ran = [record for record in records if record["status"] == "ok"]
    told = [
        f"Not measurable here: {cell(reason)} ({', '.join(part['title'])})."
        for reason, part in table[table["energy_reason"].notna()].groupby("energy_reason", sort=False)
    ]
    told += [
        f"Without {cell(what)}: {', '.join(part['title'])}."
        for what, part in measured[measured["energy_without"].notna()].groupby("energy_without", sort=False)
    ]
    if not rows:
        return page([*(told or ["No row ran."])], notice)
    explained = (
        "J / frame: what was drawn during the timed runs, less what was drawn idle before the networks were "
        "loaded, by run; ±: what the steps of the source may hide. The sources count the whole processor or "
        "device, other programs too."
    )
    line = " · ".join(filter(None, (title, f"Machine: {'; '.join(machines(ran)) or 'not recorded'}")))
    parts = [markdown(rows, columns), line, explained, _idle_note(measured), tiers_note(measured), *told]
    return page(parts, notice)


def _idle_note(measured: pd.DataFrame) -> str:
    """Say where the rows began from unlike idle states, as of a GPU that still holds its clocks."""
    apart = [
        f"{part['idle_watts'].min():.0f} to {part['idle_watts'].max():.0f} W ({domains})"
        for domains, part in measured.groupby("power_domains", sort=False)
        if part["idle_watts"].max() > UNLIKE_IDLE * part["idle_watts"].min()
    ]
    if not apart:
        return ""
    return (
        f"Idle differed between rows: {', '.join(apart)}, since a device keeps its clocks for a while after "
        "work. So compare the rows by the joules with idle."
    )


def energy_finding(ran: list[dict]) -> str | None:
    """Return which detect+pose row needs the fewest joules per frame, idle included; None if no row has any.

    What a row draws over idle depends on how idle the device was just before. ran: the detect+pose rows of
    the latency table that count.
    """
    known = [row for row in ran if not pd.isna(row["joules_per_frame"])]
    # Those of which a part is not counted would win by it.
    known = [row for row in known if pd.isna(row["energy_without"])] or known
    if not known:
        return None
    best, most = (pick(known, key=_per_frame) for pick in (min, max))
    joules = (
        f"{_per_frame(best):.3g} J per frame with idle, {best['joules_per_frame']:.3g} J over it "
        f"({best['power_source']})"
    )
    if len(known) == 1:
        return f"{best['title']} needs {joules}."
    return (
        f"{best['title']} needs the least energy of {len(known)} detect+pose rows: {joules}; the most, "
        f"{most['title']}, {_per_frame(most):.3g} J."
    )


def _per_frame(row: dict) -> float:
    return row["joules_per_frame_total"]


# ------------------------------------------------------------------- what report/pages.py asks for


def table(run) -> pd.DataFrame:
    """Return the table of energy. run: records.Run."""
    return energy_table(run.latency, run.parity)


def text(table: pd.DataFrame, run, title: str = "", notice: str | None = None) -> str:
    """Return the table of `table` as Markdown, with what explains it."""
    return energy_markdown(table, run.latency, title, notice)
