"""Write a finished run into the tracked documents: its page under docs/results/, the blocks that show it.

A block stands between `<!-- generated:begin latency from timing -->` and `<!-- generated:end latency -->`;
the first marker names the run that fills it.
"""

import os
import re
import shutil
from pathlib import Path

from posegauge.compare import board_findings, trial
from posegauge.compare.headline import BLOCKS, block
from posegauge.compare.published import published_markdown, read_published
from posegauge.errors import PoseGaugeError
from posegauge.report.readme import GRIDS_HEADING
from posegauge.report.records import Run
from posegauge.store import files, runs

BEGIN = re.compile(r"<!-- generated:begin (?P<name>\S+)(?: from (?P<run>\S+))? -->")
PICTURE = re.compile(r"(!\[[^\]]*\]\()([^)]+)(\))")
GRID = "conditions.jpg"
# Of the README, which a board may fill: one of pairs without weights, and one with.
BOARD_BLOCKS = ("board", "board-weights")
NOT_SHOWN = (
    "The grids of this run show photographs, each with a licence of its own, so they are not published; the "
    "run makes them in `results/`."
)


def publish(run: str, repository: Path, name: str | None = None, show=()) -> list[Path]:
    """Write a run's page, pictures and blocks; return the files that changed. No photograph is published.

    run: its name under results/, or a path. name: what it is called in the documents, where that is not its
    folder's name. show: blocks of the README whose marker is to name this run, whichever it names now. The
    small files of a trial of a GPU (trial.ARCHIVE) come beside its pictures, without its logs.

    Raises PoseGaugeError when the run is not finished or was changed since, when a marker is missing, and for
    a name that is none for a file.
    """
    folder = runs.find(run)
    if (folder / "board.json").is_file():
        if name or show:
            raise PoseGaugeError(f"{folder}: a board has one name and one place: leave out PAGE and SHOW")
        return _publish_board(folder, repository)
    if name and name != runs.label(name):
        raise PoseGaugeError(f"--as '{name}': is no name for a file; say {runs.label(name)}")
    name = name or runs.label(folder)
    # A trial has a page of what there is, and is never finished.
    tried = (folder / trial.PAGE).is_file()
    if tried:
        records = trial.records(folder.parent)[0]
        if not any(row["status"] == "ok" for row in records.latency):
            raise PoseGaugeError(f"{folder}: no row of it ran: there is nothing to show")
        about = trial.ABOUT | {"notice": records.latency[0]["provenance"].get("weights")}
        source = folder / trial.PAGE
    else:
        about, source = runs.read_about(folder), folder / "readme.md"
        runs.check_files(folder, about)
        records = Run.of_folder(folder)
    text = read_text(source)
    photographs = about["config"]["dataset"]["kind"] != "scenes"
    if photographs:
        text = without_grids(text)
    pictures = _pictures(text, source)
    readme, published_page = repository / "README.md", repository / "docs" / "published.md"
    page = repository / "docs" / "results" / f"{name}.md"
    published = read_published(repository / "config" / "published_t4.yaml")
    # All texts before the first file, so that a fault leaves none half done.
    texts = {page: _linked(text, name)}
    texts[published_page] = fill(
        read_text(published_page), {"published": published_markdown(published)}, published_page
    )
    before = shown_from(read_text(readme), name, show, readme)
    wanted = [found["name"] for found in BEGIN.finditer(before) if found["run"] == name]
    if unknown := set(wanted) - set(BLOCKS):
        raise PoseGaugeError(f"{readme}: no block '{unknown.pop()}'; there are {', '.join(BLOCKS)}")
    if photographs and "grid" in wanted:
        raise PoseGaugeError(
            f"{readme}: the block 'grid' names {name}, whose grids show photographs and are not published; "
            "name a run of rendered scenes"
        )
    if tried and (others := set(wanted) - set(trial.BLOCKS)):
        raise PoseGaugeError(
            f"{readme}: the block '{others.pop()}' is of a whole run; a trial fills {', '.join(trial.BLOCKS)}"
        )
    findings = files.read_json(folder / "findings.json")
    links = {"page": f"docs/results/{name}.md", "grid": f"docs/results/{name}/{GRID}"}
    blocks = {what: block(what, records, about, findings, published, **links) for what in wanted}
    texts[readme] = fill(before, blocks, readme)
    archive = []
    if tried:
        # Without the logs: what is published tells no path of the machine.
        archive = [folder / "published" / trial.ARCHIVE]
        trial.pack(archive[0], folder.parent, logs=False)
    return _write(repository, name, texts, [*pictures.values(), *archive])


def _publish_board(folder: Path, repository: Path) -> list[Path]:
    """Write the board's page, pictures, and the block of the README that names it, as publish does."""
    record = files.read_record(folder / "board.json", "board.schema.yaml", "draw the board again")
    for file, digest in record["files"].items():
        if not (folder / file).is_file() or files.sha256_file(folder / file) != digest:
            raise PoseGaugeError(f"{folder / file}: is missing or was changed; draw the board again")
    name, readme = runs.label(folder), repository / "README.md"
    text, before = read_text(folder / "board.md"), read_text(readme)
    page = repository / "docs" / "results" / f"{name}.md"
    texts = {page: _linked(text, name)}
    wanted = [found["name"] for found in BEGIN.finditer(before) if found["run"] == name]
    if unknown := set(wanted) - set(BOARD_BLOCKS):
        raise PoseGaugeError(f"{readme}: the block '{unknown.pop()}' is of a run, and {name} is a board")
    findings = files.read_json(folder / "findings.json")
    block = board_findings.block(record, findings, f"docs/results/{name}.md")
    texts[readme] = fill(before, dict.fromkeys(wanted, block), readme)
    return _write(repository, name, texts, list(_pictures(text, folder / "board.md").values()))


def _pictures(text: str, page: Path) -> dict[str, Path]:
    """Return the pictures that a page shows, by their links; PoseGaugeError where one is missing."""
    pictures = {link: page.parent / link for _, link, _ in PICTURE.findall(text)}
    if missing := [str(path) for path in pictures.values() if not path.is_file()]:
        raise PoseGaugeError(f"{page}: shows {', '.join(missing)}, which is missing; run again")
    return pictures


def _linked(text: str, name: str) -> str:
    """Return a page with its pictures in the folder docs/results/<name>/."""
    return PICTURE.sub(lambda found: f"{found[1]}{name}/{Path(found[2]).name}{found[3]}", text)


def _write(repository: Path, name: str, texts: dict[Path, str], copied: list[Path]) -> list[Path]:
    """Write texts, copy pictures, and take away pictures of before; return the files that changed."""
    shown = repository / "docs" / "results" / name
    changed = [_copy(source, shown / source.name) for source in copied]
    for path in shown.glob("*"):
        if path.name not in {source.name for source in copied}:
            path.unlink()
            changed.append(path)
    for path, content in texts.items():
        if not path.is_file() or read_text(path) != content:
            files.write_text(path.resolve(), content)  # resolve: a link stays a link
            changed.append(path)
    return [Path(os.path.relpath(path, repository)) for path in changed if path]


def shown_from(text: str, name: str, show, file) -> str:
    """Return a document in which the markers of the blocks `show` name the run `name`."""
    for block_name in show:
        marked = [found for found in BEGIN.finditer(text) if found["name"] == block_name]
        if block_name not in BLOCKS or not marked:
            known = ", ".join(found["name"] for found in BEGIN.finditer(text) if found["name"] in BLOCKS)
            raise PoseGaugeError(f"{file}: has no block '{block_name}' to show a run in; there are {known}")
        first, last = marked[0].span()
        text = f"{text[:first]}<!-- generated:begin {block_name} from {name} -->{text[last:]}"
    return text


def without_grids(text: str) -> str:
    """Return a run's page with a sentence in place of the picture grids."""
    before, heading, after = text.partition(f"{GRIDS_HEADING}\n")
    _, following, rest = after.partition("\n## ")
    return f"{before}{heading}\n{NOT_SHOWN}\n{following}{rest}" if heading else text


def fill(text: str, blocks: dict[str, str], file) -> str:
    """Return `text` with what stands between the markers of each block replaced; nothing outside changes.

    PoseGaugeError names `file` and the marker that is missing, doubled or in the wrong order.
    """
    for name, content in blocks.items():
        begins = [found for found in BEGIN.finditer(text) if found["name"] == name]
        end = f"<!-- generated:end {name} -->"
        for what, count in ((f"<!-- generated:begin {name} ... -->", len(begins)), (end, text.count(end))):
            if count != 1:
                found = "is missing" if count == 0 else f"stands {count} times"
                raise PoseGaugeError(f"{file}: the marker '{what}' {found}; write it once")
        first, last = begins[0].end(), text.index(end)
        if last < first:
            raise PoseGaugeError(f"{file}: the marker '{end}' stands before its begin; exchange them")
        newline = "\r\n" if text[first : first + 2] == "\r\n" else "\n"
        body = content.strip("\n").replace("\n", newline)
        text = f"{text[:first]}{newline}{body}{newline}{text[last:]}"
    return text


def read_text(file) -> str:
    """Read a document without changing its line ends; PoseGaugeError when it is missing or not UTF-8."""
    try:
        return Path(file).read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise PoseGaugeError(f"{file}: no such file") from error
    except UnicodeDecodeError as error:
        raise PoseGaugeError(f"{file}: not UTF-8 text ({error})") from error


def _copy(source: Path, target: Path) -> Path | None:
    """Copy a picture unless it is there already; return it when it was copied."""
    if target.is_file() and target.read_bytes() == source.read_bytes():
        return None
    with files.atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
