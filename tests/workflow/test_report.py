"""The HTML report as a reader opens it: unpacked, from a folder, in a browser without a network."""

import zipfile

import pytest

from conftest import DEMO_CONFIGS
from helpers_browser import Browser, find_browser

CATEGORIES = ["Findings", "Latency", "Machine and versions", "Pictures", "Robustness"]
DOWNLOADS = (".csv", ".mp4")
SHOWN = "document.querySelector('#app img:not([src*=logo])') || document.querySelector('#app iframe')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_browser()
    if not program:
        pytest.skip("no Chromium or Chrome on PATH (on Debian: chromium; elsewhere set POSEGAUGE_BROWSER)")
    with Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module", params=["zip", "html"])
def report(request, demo, browser, tmp_path_factory):
    """The opened report: its folder, with the browser; once per format."""
    folder = tmp_path_factory.mktemp("report")
    demo.snakemake(options=("--report", str(folder / f"report.{request.param}")), configs=DEMO_CONFIGS)
    page = folder / "report.html"
    if request.param == "zip":
        zipfile.ZipFile(folder / "report.zip").extractall(folder)
        page = folder / "report" / "report.html"
    for seen in (browser.requests, browser.messages, browser.errors):
        seen.clear()
    browser.open(page)
    browser.wait("document.querySelectorAll('#app a').length > 5")
    return page.parent


def menu(browser, name: str) -> None:
    """Click an entry of the menu."""
    browser.run("app.setView({navbarMode: 'menu'})")
    entry = f"[...document.querySelectorAll('#app a')].find(a => a.innerText.trim() === '{name}')"
    browser.wait(f"Boolean({entry})")
    browser.run(f"{entry}.click()")


def rows(browser) -> list[str]:
    """Return where the eye of every row of the open list leads."""
    browser.wait("document.querySelectorAll('#app tbody tr').length > 0")
    return browser.run("[...document.querySelectorAll('#app tbody tr')].map(r => r.querySelector('a').href)")


def text_of_frame(browser) -> str:
    """Return the text of the page shown inside the report."""
    (frame,) = browser.call("Page.getFrameTree")["frameTree"]["childFrames"]
    world = browser.call("Page.createIsolatedWorld", frameId=frame["frame"]["id"])
    found = browser.call(
        "Runtime.evaluate",
        expression="document.body.innerText + document.querySelectorAll('td, li').length",
        contextId=world["executionContextId"],
        returnByValue=True,
    )
    return found["result"]["value"]


def test_every_result_is_shown_in_its_category(report, browser, demo):
    names = browser.run("Object.keys(categories).sort()")
    assert names == CATEGORIES
    pages, pictures, downloads = [], 0, []
    for name in names:
        menu(browser, name)
        links = rows(browser)
        assert len(links) == browser.run(f"Object.values(categories['{name}']).flat().length")
        for number, link in enumerate(links):
            if not link.endswith("#"):
                downloads.append(link)
                continue
            browser.run("app.setView({content: 'stats'})")
            browser.wait(f"!({SHOWN})")
            browser.run(f"document.querySelectorAll('#app tbody tr')[{number}].querySelector('a').click()")
            browser.wait(f"Boolean({SHOWN})")
            if browser.run(f"({SHOWN}).tagName") == "IMG":
                browser.wait(f"({SHOWN}).complete && ({SHOWN}).naturalWidth > 300")
                pictures += 1
            else:
                browser.wait("document.readyState === 'complete'")
                pages.append(text_of_frame(browser))
    assert pictures == len(list(demo.run.glob("figures/*.png"))) + len(list(demo.run.glob("grids/*.jpg")))
    tables = len(list(demo.run.glob("tables/*.csv")))
    assert len(pages) == tables + 2 and all(pages), "and the findings and what the run was made with"
    text = "\n".join(pages)
    for part in ("Findings", "onnxruntime", "PyTorch Full CPU", "Motion Blur Heavy", "To make it again"):
        assert part in text, part
    assert len(downloads) == tables + 1, "and the video"
    if (report / "data").is_dir():
        for link in downloads:
            assert link.endswith(DOWNLOADS)
            assert (report / link.split(f"{report.name}/", 1)[1]).stat().st_size > 0


def test_everything_is_explained(report, browser):
    for path, result in browser.run("results").items():
        assert len(result["caption"]) > 40, path
        assert set(result["labels"]) == {"what", "as"}, path
        assert "ynthetic scenes" in result["caption"], "the notice goes with every result"


def test_the_links_of_the_overview_lead_to_their_category(report, browser):
    for name in [*CATEGORIES, *CATEGORIES[::-1]]:
        menu(browser, "Workflow")
        link = f"[...document.querySelectorAll('.prose a')].find(a => a.textContent === '{name}')"
        browser.wait(f"Boolean({link})")
        browser.run(f"{link}.click()")
        labels = browser.run(f"Object.values(categories['{name}']).flat().map(p => results[p].labels.what)")
        shown = "[...document.querySelectorAll('#app tbody tr')].map(r => r.cells[0].innerText)"
        browser.wait(f"({shown}).sort().join() === {sorted(labels)!r}.join()")


def test_the_workflow_and_its_statistics_are_drawn(report, browser):
    menu(browser, "Workflow")
    browser.wait("document.querySelector('#app svg.marks, #app canvas.marks') !== null")
    menu(browser, "Statistics")
    browser.wait("document.querySelectorAll('#app svg.marks, #app canvas.marks').length > 1")


def test_nothing_failed_and_nothing_was_asked_of_a_network(report, browser):
    """After all that the tests above have clicked on."""
    assert browser.errors == []
    assert [text for kind, text in browser.messages if kind in ("error", "assert")] == []
    assert browser.requests
    elsewhere = [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))]
    assert elsewhere == []
