"""The results as one Markdown section: for results/<run>/readme.md, and for a README between markers."""

import os
import shutil
from pathlib import Path

from posegauge.errors import PoseGaugeError
from posegauge.report import readme_parts
from posegauge.report.markdown import DASH, cell, machines, markdown
from posegauge.report.protocols import protocols_text
from posegauge.report.readme_parts import bullets, folded, latency_parts, picture, without_repeats
from posegauge.store import files, machine
from posegauge.store.files import read_records
from posegauge.study import STUDY_CONDITIONS

PICTURES = readme_parts.PICTURES  # all of them


# In the order in which they stand.
TABLES = (
    "benchmark", "machine", "peers", "batches",
    "protocols", "robustness", "accuracy", "loss", "suites", "parity",
)  # fmt: skip


# Findings that are told in a section of their own; all others are key findings.
PLACES = {
    "protocols": ("protocols",),
    "loss": ("loss_study", "loss_coco_c", "accuracy_bottleneck"),
    "coco_c": ("coco_c", "mpc"),
    "calibration": ("calibration", "confidence"),
}


PUBLISHED_BLOCK = "published"


HASH_DIGITS = 12


# ------------------------------------------------------------------------------------------- the section


def section(
    tables: dict[str, str],
    findings: list[dict],
    links: dict[str, str],
    facts: dict[str, str],
    pipeline: dict,
    notice: str | None = None,
    published: str | None = None,
    level: int = 3,
) -> str:
    """Return the section as Markdown.

    tables: each of TABLES as Markdown. findings: [{"id", "text"}]. links: where each of PICTURES lies, seen
    from the file the section is for. facts: how it was made (make_facts). pipeline: that group of the config.
    published: the published numbers, if they belong here. level: level of the headings.
    """
    mark = "#" * level
    tables = without_repeats({name: tables[name] for name in TABLES})
    placed = {name for names in PLACES.values() for name in names}
    told = {finding["id"]: cell(finding["text"]) for finding in findings}
    key = [text for name, text in told.items() if name not in placed] or ["Nothing was measured."]
    here = {place: bullets(told[name] for name in names if name in told) for place, names in PLACES.items()}
    parts = [
        *latency_parts(tables, links, notice, mark),
        f"{mark} Two protocols",
        protocols_text(pipeline),
        here["protocols"],
        tables["protocols"],
        f"{mark} Robustness",
        tables["robustness"],
        picture("robustness", links),
        folded("Every score of every condition", tables["accuracy"]),
        f"{mark} Where the loss comes from",
        here["loss"],
        picture("loss", links),
        folded("The loss of every condition in numbers", tables["loss"]),
        f"{mark} COCO-C",
        here["coco_c"],
        tables["suites"],
        picture("coco_c", links),
        f"{mark} Calibration",
        here["calibration"],
        picture("calibration", links),
        f"{mark} Parity",
        tables["parity"],
        f"{mark} Key findings",
        bullets(key),
        f"{mark} What the conditions look like",
        picture("conditions", links),
        folded("More images in every condition", picture("images", links)),
        folded("The corruptions of COCO-C", picture("corruptions", links)),
        f"{mark} Beside the published numbers\n\n{published.strip()}" if published else "",
        f"{mark} How these numbers were made",
        markdown([{"": key, " ": text} for key, text in facts.items()], {"": "left", " ": "left"}),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


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
    facts = {key: cell(text) if text else DASH for key, text in facts.items()}
    if different := machine.difference(machine.compare(records)):
        facts["Warning"] = cell(f"{different}. Times of different machines cannot be compared")
    return facts


def sweep_fact(path) -> dict[str, str]:
    """Return how fast the sweep is, as make_facts does, from sweep.json; nothing when `path` is empty."""
    if not path:
        return {}
    (record,) = read_records([path], "sweep.schema.yaml", "kind", ("sweep",))
    ways = [f"{way['title']}: {_way_speed(way, record)}" for way in record["ways"]]
    protocol = (
        f"images per second (share of inference), {record['images']} images, {record['rounds']} rounds; "
        "×: against the first way"
    )
    return {"Speed of the sweep": cell(f"{protocol}. {'; '.join(ways)}")}


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
                known = ratio["low"] is not None
                interval = f" [{ratio['low']:.2f}, {ratio['high']:.2f}]" if known else ""
                text += f", {ratio['ratio']:.2f}×{interval}"
        told.append(text)
    return " and ".join(told)


def _short_revision(revision: str | None) -> str:
    name, dash, state = (revision or "").partition("-")
    return f"{name[:HASH_DIGITS]}{dash}{state}"


# --------------------------------------------------------------------------------------------- the README


def markers(block: str) -> tuple[str, str]:
    """Return the two lines between which a block stands."""
    return f"<!-- generated:begin {block} -->", f"<!-- generated:end {block} -->"


def splice(text: str, block: str, content: str, file) -> str:
    """Return `text` with what stands between the markers of `block` replaced by `content`.

    Nothing outside the markers changes. PoseGaugeError names `file` and the marker that is missing, doubled
    or in the wrong order.
    """
    begin, end = markers(block)
    for marker in (begin, end):
        count = text.count(marker)
        if count != 1:
            found = "is missing" if count == 0 else f"stands {count} times"
            hint = f"write '{begin}' and '{end}' once each, or set readme: null in the config"
            raise PoseGaugeError(f"{file}: the marker '{marker}' {found}; {hint}")
    first, last = text.index(begin) + len(begin), text.index(end)
    if last < first:
        raise PoseGaugeError(f"{file}: the marker '{end}' stands before '{begin}'; exchange them")
    newline = "\r\n" if text[first : first + 2] == "\r\n" else "\n"
    body = content.strip("\n").replace("\n", newline)
    return f"{text[:first]}{newline}{body}{newline}{text[last:]}"


def read_readme(file) -> str:
    """Read a README without changing its line ends; PoseGaugeError when it is missing or not UTF-8."""
    try:
        return Path(file).read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise PoseGaugeError(f"{file}: no such file; change readme.file in the config") from error
    except UnicodeDecodeError as error:
        raise PoseGaugeError(f"{file}: not UTF-8 text ({error})") from error


def _spliced(text: str, file, block: str, content: str, published: str) -> str:
    """Return the README `text` with its block filled, and that of the published numbers if it has one."""
    text = splice(text, block, content, file)
    if any(marker in text for marker in markers(PUBLISHED_BLOCK)):
        text = splice(text, PUBLISHED_BLOCK, published, file)
    return text


def check_markers(file, block: str) -> None:
    """Raise PoseGaugeError unless the README `file` has the markers it needs once each, in order."""
    _spliced(read_readme(file), file, block, "", "")


def update(file, block: str, content: str, published: str) -> bool:
    """Splice `content` into the README `file`; return whether the file changed.

    Where the README also has markers for the block "published", `published` goes there.
    """
    before = read_readme(file)
    after = _spliced(before, file, block, content, published)
    if after == before:
        return False
    files.write_text(Path(file).resolve(), after)  # resolve: a link stays a link
    return True


def copy_pictures(pictures: dict, file, block: str) -> dict[str, str]:
    """Copy pictures (name -> path) to report/readme/<block>/ beside the README `file`; return its links.

    results/ is not in git, so the README of a clone could not show the originals.
    """
    folder = Path("report") / "readme" / block
    links = {}
    for name, path in pictures.items():
        link = folder / Path(path).name
        target = Path(file).resolve().parent / link
        content = Path(path).read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            with files.atomic_path(target) as temporary:
                shutil.copyfile(path, temporary)
        links[name] = link.as_posix()
    return links


def relative_links(pictures: dict, file) -> dict[str, str]:
    """Return the links (name -> path) from the file `file` to pictures."""
    folder = Path(file).parent
    return {name: Path(os.path.relpath(path, folder)).as_posix() for name, path in pictures.items()}
