"""The documents: README's size and order, links, what they say of make and of the config, and the name."""

import itertools
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from posegauge.settings import check

ROOT = Path(__file__).resolve().parents[2]
OLD_NAME = "pose" + "bench"
SECTIONS = [
    "# posegauge",
    "## Results",
    "### Latency",
    "### Robustness",
    "### Findings",
    "## Two commands",
    "## What is measured",
    "## Where to go on",
    "## The repository",
    "## Limits",
    "## Licence and citation",
]
BLOCKS = ["grid", "latency", "robustness", "findings", "board", "board-weights"]
parser = MarkdownIt("commonmark").enable("table")


def tracked() -> list[str]:
    """Return the files that git has, or would have after `git add`."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    return sorted(name for name in set(names) if name and (ROOT / name).is_file())


PAGES = [name for name in tracked() if name.endswith(".md")]


def tokens(text: str) -> list:
    """Return the tokens of a page, those inside paragraphs and cells too."""
    found = []
    for token in parser.parse(text):
        found += [token, *(token.children or [])]
    return found


def links(text: str) -> list[str]:
    """Return what a page links to or shows."""
    named = {"link_open": "href", "image": "src"}
    return [str(token.attrs[named[token.type]]) for token in tokens(text) if token.type in named]


def headings(text: str) -> list[str]:
    """Return the headings of a page with their marks: ["# Title", "## Part"]."""
    parts = parser.parse(text)
    return [
        f"{token.markup} {after.content}"
        for token, after in itertools.pairwise(parts)
        if token.type == "heading_open"
    ]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    names = [
        re.sub(r"[^\w\- ]", "", title.lstrip("# ").lower()).replace(" ", "-") for title in headings(text)
    ]
    return {
        name if not (earlier := names[:place].count(name)) else f"{name}-{earlier}"
        for place, name in enumerate(names)
    }


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead to no file or heading."""
    broken = []
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        wanted = target.suffix == ".md" and target.is_file() and anchor
        if not target.exists() or (wanted and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


def asked_of_make(text: str) -> set[str]:
    """Return the targets of every make command that stands in code: {"setup", "setup-cuda", "demo"}."""
    kinds = ("code_inline", "code_block", "fence")
    code = "\n".join(token.content for token in tokens(text) if token.type in kinds)
    code = re.sub(r"#.*", "", code)
    found = re.findall(r"(?<![\w./-])make((?: +[a-z][a-z-]*(?![\w=]))+)", code)
    return {target for targets in found for target in targets.split()}


# --------------------------------------------------------------------------------------------- the README


def test_the_readme_is_two_screens_in_order():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 260
    assert len(text.encode()) <= 20_000
    assert headings(text) == SECTIONS
    places = [
        text.index(marker)
        for block in BLOCKS
        for marker in (f"<!-- generated:begin {block} from ", f"<!-- generated:end {block} -->")
    ]
    assert places == sorted(places)
    assert text.index("generated:begin grid") < text.index("## Results")


def test_every_page_of_docs_is_one_click_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {link.partition("#")[0] for link in links(text)}
    assert {name for name in PAGES if re.fullmatch(r"docs/[^/]+\.md", name)} <= linked


# ------------------------------------------------------------------------------------------- all documents


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert broken_links(ROOT / page) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "other.md").write_text("# A `key`, and more\n\n## Twice\n\n## Twice\n")
    (tmp_path / "page.md").write_text(
        "[a](other.md) [b](other.md#a-key-and-more) [c](other.md#twice-1) [d](#here) [e](https://no.where/x)\n"
        "[f](gone.md) [g](other.md#gone) [h](#gone) ![i](gone.png) `[j](code.md)`\n\n# Here\n"
    )
    assert broken_links(tmp_path / "page.md") == ["gone.md", "other.md#gone", "#gone", "gone.png"]


def test_make_has_every_target_that_is_named():
    known = set(
        re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    asked = {page: asked_of_make((ROOT / page).read_text(encoding="utf-8")) for page in PAGES}
    assert {"demo", "test", "setup", "setup-cuda"} <= asked["README.md"]
    assert {page: targets - known for page, targets in asked.items() if targets - known} == {}


def test_the_config_s_page_names_no_key_that_is_gone():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    rows = text.split("## Keys\n\n")[1].split("\n\n")[0].splitlines()[2:]
    named = [key for row in rows for key in re.findall(r"`([^`]+)`", row.split("|")[1])]
    schema = check.schema()
    roles = schema["properties"]["models"]["properties"].values()
    models = {key for role in roles for key in role["properties"]}

    def exists(key: str) -> bool:
        rule = schema
        for part in key.split("."):
            rule = rule.get("properties", {}).get(part)
            if rule is None:
                return False
        return True

    assert len(named) > 60
    assert [key for key in named if not (key[1:] in models if key.startswith(".") else exists(key))] == []


def test_the_old_name_stands_in_the_changelog_alone():
    found = [
        name
        for name in tracked()
        if OLD_NAME in name.lower() or OLD_NAME.encode() in (ROOT / name).read_bytes().lower()
    ]
    assert found == ["CHANGELOG.md"]
