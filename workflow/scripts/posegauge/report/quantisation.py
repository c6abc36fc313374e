"""What was tried in INT8 and BF16, as a table: see posegauge.measure.quantisation."""

from posegauge.report.markdown import DASH, machines, markdown_table
from posegauge.study import CALIBRATION_TITLES, RUNTIME_TITLES


def text(record: dict, title: str) -> str:
    """Return the Markdown of a record of measure.quantisation."""
    reference = record["reference"]
    parts = [
        markdown_table([_row(one, reference) for one in record["tries"]], ("Tried", "Runtime", "Kernels"))
    ]
    shared = record["calibration"]["scored"]
    parts.append(
        f"{title} · {'; '.join(machines([record]))} · threads: {record['provenance']['threads']} · "
        f"AP of FP32: {reference['ap']:.4f} on {record['images']} images, {reference['persons']} persons "
        f"with a pose · ranges set by {record['calibration']['images']} "
        f"{CALIBRATION_TITLES.get(record['calibration'].get('from'), 'images')}, "
        + (f"{shared} of them scored here, too" if shared else "none of them scored")
        + f" · pose network timed on {record['persons_timed']} persons. One network as tried, the other "
        "FP32 in ONNX Runtime; speed: medians of two sessions of the same runtime run in turn."
    )
    return "\n\n".join(parts) + "\n"


def _row(one: dict, reference: dict) -> dict:
    ran = one["status"] == "ok"
    share = one["ap"] / reference["ap"] if ran and reference["ap"] else None
    return {
        "Network": one["role"],
        "Tried": one["name"] if ran else f"{one['name']}: *{one['reason']}*",
        "Runtime": RUNTIME_TITLES[one["runtime"]],
        "Share of AP": DASH if share is None else f"{100 * share:.1f} %",
        "Persons": f"{one['persons']}" if ran else DASH,
        "FP32 (ms)": f"{one['fp32_ms']:.1f}" if ran else DASH,
        "Tried (ms)": f"{one['ms']:.1f}" if ran else DASH,
        "Speed": f"{one['fp32_ms'] / one['ms']:.2f}×" if ran else DASH,
        "Kernels": ", ".join(f"{count} {name}" for name, count in (one["instructions"] or {}).items())
        or DASH,
    }
