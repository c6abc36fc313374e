"""Pages of the HTML report: tables, findings, and what the run was made with.

Each page is one file with its style inside, since a report must open without a network.
"""

import html

from markdown_it import MarkdownIt

from posegauge.report.markdown import DASH, cell, markdown
from posegauge.store.machine import describe

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #111; background: #fff; margin: 1.5rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem; text-align: left; vertical-align: top; }
thead th { border-bottom: 2px solid #888; position: sticky; top: 0; background: #fff; }
td:first-child { font-weight: 600; }
blockquote { border-left: 4px solid #e69f00; margin: 0 0 1rem; padding: .1rem 1rem; background: #fdf6e7; }
li { margin: .4rem 0; max-width: 60rem; }
p { max-width: 60rem; }
code { font-size: .92em; overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; }
"""


def page(title: str, text: str, notice: str | None = None) -> str:
    """Return Markdown `text` as an HTML page; the notice goes on top unless the text has it."""
    if notice and notice not in text:
        text = f"> {notice}\n\n{text}"
    body = MarkdownIt("commonmark").enable("table").render(f"# {title}\n\n{text}")
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}</body></html>\n'


def findings_text(findings: list[dict]) -> str:
    """Return the findings ([{"id", "text"}]) as a Markdown list."""
    return "\n".join(f"- {finding['text']}" for finding in findings) or "Nothing was measured."


def provenance_text(run: dict) -> str:
    """Return what run.json says of machine, networks, data, versions, files and how to make them again."""
    networks = [
        {
            "Network": cell(f"{role}: {model['name']}"),
            "Source": cell(model["source"]),
            "ONNX (sha256)": f"`{model['onnx_sha256']}`",
            "Checkpoint (sha256)": f"`{model['checkpoint_sha256']}`"
            if model.get("checkpoint_sha256")
            else DASH,
        }
        for role, model in run["models"].items()
    ]
    again = {
        "Command": f"`{run['reproduce']}`",
        "Config": ", ".join(f"`{name}`" for name in run["config_files"]),
        "Config (sha256)": f"`{run['config_sha256']}`",
        "Revision": f"`{run['git_revision']}`" if run["git_revision"] else DASH,
    }
    parts = [
        "## Machine",
        f"{describe(run['machine'])}. Each table names the machine that measured it.",
        _pairs(_flat(run["machine"])),
        "## Networks",
        _table(networks),
        "## Data",
        _pairs(_flat(run["dataset"])),
        "## Versions",
        _pairs(run["versions"]),
        "## To make it again",
        _pairs(again),
        "## Files",
        f"<details><summary>sha256 of {len(run['files'])} result files</summary>",
        _pairs({f"`{name}`": f"`{digest}`" for name, digest in run["files"].items()}),
        "</details>",
    ]
    return "\n\n".join(parts)


def _table(rows: list[dict]) -> str:
    return markdown(rows, dict.fromkeys(rows[0], "left"))


def _pairs(values: dict) -> str:
    rows = [{"": key, " ": DASH if value is None else cell(str(value))} for key, value in values.items()]
    return _table(rows) if rows else "None."


def _flat(value, key: str = "") -> dict:
    """Return nested groups as one, {"cpu model": ...}; a list of plain values is one value."""
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        pairs = ((str(number + 1), item) for number, item in enumerate(value))
    else:
        text = (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
        return {key.replace("_", " "): text}
    return {
        name: inner for part, item in pairs for name, inner in _flat(item, f"{key} {part}".strip()).items()
    }
