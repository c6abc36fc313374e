"""The results as one Markdown section: for results/<run>/readme.md, and for a README between markers."""

import os
import shutil
from pathlib import Path

import pandas as pd
import yaml

from posebench import results
from posebench.errors import PoseBenchError
from posebench.study import BENCHMARKS, CONDITIONS
from posebench.tables import DASH, cell, machines, markdown, percent, speedup_text

PICTURES = {  # name -> alternative text
    "latency": "Latency of every benchmark row: all samples, median and 95th percentile",
    "robustness": "Detection rate, keypoint AP and mean confidence by image condition",
    "conditions": "One scene in every image condition, with the persons found",
    "images": "More images in every image condition, with the persons found",
}
PUBLISHED_BLOCK = "published"
HASH_DIGITS = 12


# ------------------------------------------------------------------------------------------- the section


def section(
    tables: dict[str, str],
    findings: list[dict],
    links: dict[str, str],
    facts: dict[str, str],
    notice: str | None = None,
    published: str | None = None,
    level: int = 3,
) -> str:
    """Return the section as Markdown.

    tables: "benchmark" and "robustness" as Markdown. findings: [{"id", "text"}]. links: where each of
    PICTURES lies, seen from the file the section is for. facts: how it was made (make_facts). published: the
    published numbers, if they belong here. level: level of the headings.
    """
    mark = "#" * level
    told = [f"- {cell(finding['text'])}" for finding in findings] or ["- Nothing was measured."]
    parts = [
        f"> **Note:** {notice}" if notice else "",
        f"{mark} Latency",
        tables["benchmark"].strip(),
        _picture("latency", links),
        f"{mark} Robustness",
        tables["robustness"].strip(),
        _picture("robustness", links),
        f"{mark} Key findings",
        "\n".join(told),
        f"{mark} What the conditions look like",
        _picture("conditions", links),
        "<details>\n<summary>More images in every condition</summary>",
        _picture("images", links),
        "</details>",
        f"{mark} Beside the published numbers\n\n{published.strip()}" if published else "",
        f"{mark} How these numbers were made",
        markdown([{"": key, " ": text} for key, text in facts.items()], {"": "left", " ": "left"}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _picture(name: str, links: dict[str, str]) -> str:
    return f"![{PICTURES[name]}]({links[name]})"


def _distinct(values) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))


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
    hashes = _distinct(str(source.get("config_sha256") or "")[:HASH_DIGITS] for source in sources)
    revisions = _distinct(_short_revision(source.get("git_revision")) for source in sources)
    facts = {
        "Machine": "; ".join(machines(records)),
        "Data": f"{dataset}, seed {seed}",
        "Networks (sha256)": ", ".join(artifacts),
        "Versions": ", ".join(f"{name} {' / '.join(_distinct(found))}" for name, found in versions.items()),
        "Config (sha256)": ", ".join(hashes),
        "Revision": ", ".join(revisions),
        "Command": f"`{command}`",
    }
    return {key: cell(text) if text else DASH for key, text in facts.items()}


def _short_revision(revision: str | None) -> str:
    name, dash, state = (revision or "").partition("-")
    return f"{name[:HASH_DIGITS]}{dash}{state}"


# ---------------------------------------------------------------------------------- the published numbers


def read_published(path) -> dict:
    """Read config/published_t4.yaml; PoseBenchError names a row that is not in the study."""
    published = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    for kind, registry in (("benchmark", BENCHMARKS), ("robustness", CONDITIONS)):
        unknown = set(published[kind]) - set(registry)
        if unknown:
            raise PoseBenchError(f"{path}: {kind}: not rows of the study: {', '.join(sorted(unknown))}")
    return published


def published_markdown(
    published: dict, benchmark: pd.DataFrame | None = None, robustness: pd.DataFrame | None = None
) -> str:
    """Return the published numbers with what is wrong with each; with the two tables, beside this run's.

    published: as read by read_published. benchmark, robustness: tables of posebench.tables.
    """
    ours = {
        "benchmark": _by_name(benchmark, "benchmark", _our_latency),
        "robustness": _by_name(robustness, "condition", _our_scores),
    }
    beside = benchmark is not None or robustness is not None
    columns = ["Published row", "Published value", *(["This run"] if beside else []), "What is wrong with it"]
    parts = [
        f"Source: {published['source']}. Measured there on: {published['machine']}; {published['runs']}; "
        f"{published['images']:,} images. None of the published values was measured by this workflow."
    ]
    for kind, registry, told in (
        ("benchmark", BENCHMARKS, _published_latency),
        ("robustness", CONDITIONS, _published_scores),
    ):
        rows = []
        for name, entry in registry.items():
            row = published[kind].get(name)
            if row:
                values = [told(row, published["images"])]
                values += [ours[kind].get(name, DASH)] if beside else []
                rows.append(dict(zip(columns, [entry.title, *values, cell(row["fault"])], strict=True)))
        parts.append(markdown(rows, dict.fromkeys(columns, "left")))
        parts.append(f"In all rows: {' '.join(published['faults'][kind])}")
    return "\n\n".join(parts) + "\n"


def _by_name(table: pd.DataFrame | None, key: str, told) -> dict[str, str]:
    return {} if table is None else {row[key]: told(row) for row in table.to_dict("records")}


def _published_latency(row: dict, _images: int) -> str:
    return f"{row['latency_ms_mean']:.2f} ms, {row['fps']:.2f} FPS, {row['speedup']:.2f}×"


def _published_scores(row: dict, images: int) -> str:
    rate = f"{percent(row['detection_rate'])} ({row['images_detected']} / {images})"
    return f"{rate}, confidence {row['mean_confidence']:.3f}, {row['fps']:.2f} FPS"


def _our_latency(row: dict) -> str:
    if row["status"] != "ok":
        return f"*not run: {cell(row['reason'])}*"
    return f"{row['latency_ms_mean']:.2f} ms, {row['fps']:.2f} FPS, {speedup_text(row)}"


def _our_scores(row: dict) -> str:
    rate = f"{percent(row['detection_rate'])} ({row['images_detected']} / {row['images']})"
    return f"{rate}, confidence {cell(row['mean_confidence'], 3)}, AP {cell(row['ap'], 3)}"


# --------------------------------------------------------------------------------------------- the README


def markers(block: str) -> tuple[str, str]:
    """Return the two lines between which a block stands."""
    return f"<!-- generated:begin {block} -->", f"<!-- generated:end {block} -->"


def splice(text: str, block: str, content: str, file) -> str:
    """Return `text` with what stands between the markers of `block` replaced by `content`.

    Nothing outside the markers changes. PoseBenchError names `file` and the marker that is missing, doubled
    or in the wrong order.
    """
    begin, end = markers(block)
    for marker in (begin, end):
        count = text.count(marker)
        if count != 1:
            found = "is missing" if count == 0 else f"stands {count} times"
            hint = f"write '{begin}' and '{end}' once each, or set readme: null in the config"
            raise PoseBenchError(f"{file}: the marker '{marker}' {found}; {hint}")
    first, last = text.index(begin) + len(begin), text.index(end)
    if last < first:
        raise PoseBenchError(f"{file}: the marker '{end}' stands before '{begin}'; exchange them")
    newline = "\r\n" if text[first : first + 2] == "\r\n" else "\n"
    body = content.strip("\n").replace("\n", newline)
    return f"{text[:first]}{newline}{body}{newline}{text[last:]}"


def read_readme(file) -> str:
    """Read a README without changing its line ends; PoseBenchError when it is missing or not UTF-8."""
    try:
        return Path(file).read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise PoseBenchError(f"{file}: no such file; change readme.file in the config") from error
    except UnicodeDecodeError as error:
        raise PoseBenchError(f"{file}: not UTF-8 text ({error})") from error


def _spliced(text: str, file, block: str, content: str, published: str) -> str:
    """Return the README `text` with its block filled, and that of the published numbers if it has one."""
    text = splice(text, block, content, file)
    if any(marker in text for marker in markers(PUBLISHED_BLOCK)):
        text = splice(text, PUBLISHED_BLOCK, published, file)
    return text


def check_markers(file, block: str) -> None:
    """Raise PoseBenchError unless the README `file` has the markers it needs once each, in order."""
    _spliced(read_readme(file), file, block, "", "")


def update(file, block: str, content: str, published: str) -> bool:
    """Splice `content` into the README `file`; return whether the file changed.

    Where the README also has markers for the block "published", `published` goes there.
    """
    before = read_readme(file)
    after = _spliced(before, file, block, content, published)
    if after == before:
        return False
    results.write_text(Path(file).resolve(), after)  # resolve: a link stays a link
    return True


def copy_pictures(pictures: dict, file, block: str) -> dict[str, str]:
    """Copy pictures (name -> path) to report/readme/<block>/ beside the README `file`; return its links.

    results/ is not in git, so the README of a clone could not show the originals.
    """
    folder = Path("report") / "readme" / block
    links = {}
    for name, picture in pictures.items():
        link = folder / Path(picture).name
        target = Path(file).resolve().parent / link
        content = Path(picture).read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            with results.atomic_path(target) as temporary:
                shutil.copyfile(picture, temporary)
        links[name] = link.as_posix()
    return links


def relative_links(pictures: dict, file) -> dict[str, str]:
    """Return the links (name -> path) from the file `file` to pictures."""
    folder = Path(file).parent
    return {name: Path(os.path.relpath(picture, folder)).as_posix() for name, picture in pictures.items()}
