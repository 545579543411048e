"""The gallery: every figure with its reading and source, failures shown, nothing asked of a network, nothing run."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from recorded_runs import Records

from optima_lab.errors import RecordError
from optima_lab.report import gallery
from optima_lab.report.figures import scores as figures
from optima_lab.report.figures import style
from optima_lab.report.pages import harmless, markdown
from optima_lab.report.tables import results as tables

EVIL = "<script>alert('evil')</script>"
REQUESTS = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("use", "href")}


def notebook(path: Path, *cells: Any, **known: Any) -> Path:
    """An executed notebook as the runner leaves it, with what it notes in the metadata."""
    node = nbformat.v4.new_notebook(cells=list(cells), metadata={"optima_lab": known})
    for number, cell in enumerate(node.cells):
        cell["id"] = f"cell{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(node))
    return path


def html_output(text: str) -> Any:
    return nbformat.v4.new_output("execute_result", data={"text/html": text, "text/plain": "a table"})


@pytest.fixture(scope="module")
def built(one: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of one good notebook, one failed, one failed that once was good, a lesson, and hostile texts in all."""
    folder = tmp_path_factory.mktemp("gallery") / "figures"
    style.save(figures.module_contribution(one.evals), folder / "vqa", "bars", one.experiments)
    style.save(figures.generalization(one.evals), folder / "vqa", "old", one.experiments)
    tables.save(tables.results(one.runs, one.experiments), folder / "vqa")
    cell, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    draws = cell("style.save(picture, folder, 'bars', experiments)")
    outputs = [
        html_output(f"<style>b{{}}</style><table onclick='x()'><tr><td>{EVIL}</td></tr></table><img src='http://a/b'>")
    ]
    notebook(
        folder / "vqa" / "01_bars.ipynb",
        text(f"# 01 · Bars {EVIL}"),
        draws,
        text(f"#### Reading this figure\n\nBars are **high**. {EVIL} [x](javascript:alert(1)) ![y](http://a/b.png)"),
        cell("table", outputs=outputs, execution_count=3),
        parameters={"task": "vqa", "seeds": 1, "data": f"{EVIL}"},
    )
    failure = f"02_bad.ipynb (task=vqa): cell In [4]: ValueError: {EVIL}"
    boom = nbformat.v4.new_output("error", ename="ValueError", evalue=EVIL, traceback=[f"\x1b[31m{EVIL}\x1b[0m"])
    notebook(folder / "vqa" / "02_bad.failed.ipynb", text("# 02 · Bad"), cell("1/0", outputs=[boom]), error=failure)
    notebook(folder / "vqa" / "03_old.ipynb", text("# 03 · Old"), cell("save(p, f, 'old')"), parameters={})
    notebook(folder / "vqa" / "03_old.failed.ipynb", text("# 03 · Old"), error="03_old.ipynb: kernel died")
    notebook(folder / "lessons" / "10_lesson.ipynb", text("# 10 · What is a bandit?"))
    (folder / "vqa" / "replay.html").write_text("")
    (folder / "playground.html").write_text("")
    return gallery.build(folder)


class Links(HTMLParser):
    """Collects tags, ids, links, and all that a browser would ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.requests: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.ids += [value or ""] if name == "id" else []
            self.links += [value or ""] if (tag, name) == ("a", "href") else []
            self.requests += [value or ""] if (tag, name) in REQUESTS else []
            self.handlers += [name] if name.startswith("on") else []


def pages(index: Path) -> Iterator[Path]:
    yield index
    yield from (path for path in sorted(index.parent.rglob("*/*.html")) if path.name != "replay.html")


def parse(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text())
    return links


def test_nothing_is_asked_of_a_network_and_no_script_runs(built: Path) -> None:
    for path in pages(built):
        found = parse(path)
        assert all(request.startswith("data:image/") for request in found.requests), path
        assert "script" not in found.tags and not found.handlers, path
        assert "javascript:" not in " ".join(found.links)
        text = path.read_text()
        assert "default-src 'none'" in text
        assert not re.search(r"@import|url\(", text), path
    assert len(list(pages(built))) == 6


def test_hostile_text_is_shown_as_text(built: Path) -> None:
    text = built.read_text()
    assert text.count("&lt;script&gt;alert(") >= 4  # heading, reading, parameter, failure
    assert "Bars are <strong>high</strong>" in text


def test_every_link_leads_somewhere(built: Path) -> None:
    for path in pages(built):
        found = parse(path)
        assert len(found.ids) == len(set(found.ids)), path
        for link in found.links:
            if link.startswith("#"):
                assert link[1:] in found.ids or "anchor" in path.read_text(), link
            elif "://" not in link:
                assert (path.parent / link).exists(), (path, link)


def test_figures_stand_with_reading_source_and_files(built: Path) -> None:
    text = built.read_text()
    assert 'id="vqa-bars"' in text and 'href="#vqa-bars"' in text
    assert "seeds = 1, task = vqa" in text
    assert "<dd>vqa/fake0</dd>" in text
    for kind in style.FORMATS:
        assert f'href="vqa/bars.{kind}"' in text
    assert 'href="vqa/replay.html"' in text and 'href="playground.html"' in text
    assert "10 · What is a bandit?" in text and ">Lessons<" in text
    assert 'class="results reported"' in text and ">OPTIMA calibrated<" in text


def test_failures_are_shown_as_failed_and_older_figures_as_older(built: Path) -> None:
    text = built.read_text()
    assert text.count("<strong>Failed.</strong>") == 2
    assert "cell In [4]: ValueError:" in text
    assert "03_old.ipynb: kernel died" in text
    assert text.count("figures of an earlier run") == 1
    assert text.index("kernel died") < text.index('id="vqa-old"')
    assert "2 failed" in text


def test_the_manifest_names_sources(built: Path) -> None:
    known = json.loads((built.parent / "manifest.json").read_text())
    bars = known["figures"]["vqa/bars"]
    assert bars["files"] == [f"vqa/bars.{kind}" for kind in ("svg", "png", "pdf", "csv")]
    assert bars["notebook"] == "vqa/01_bars.ipynb"
    assert bars["parameters"]["seeds"] == 1
    assert bars["runs"] == ["vqa/fake0"] and bars["seeds"] == [0] and len(bars["config"]) == 12
    assert set(known["failed"]) == {"vqa/02_bad.ipynb", "vqa/03_old.ipynb"}
    assert known["commit"] == gallery.manifest({})["commit"]


def test_the_same_folder_gives_the_same_page(built: Path) -> None:
    before = {path: path.read_bytes() for path in pages(built)}
    rendered = (built.parent / "vqa" / "01_bars.html").stat().st_mtime_ns
    gallery.build(built.parent)
    assert {path: path.read_bytes() for path in pages(built)} == before
    assert (built.parent / "vqa" / "01_bars.html").stat().st_mtime_ns == rendered  # unchanged: not rendered again


def test_tables_of_notebooks_survive_and_their_styles_do_not(built: Path) -> None:
    text = (built.parent / "vqa" / "01_bars.html").read_text()
    assert '<div class="scroll" tabindex="0"><table>' in text
    assert "b{}" not in text


def test_an_empty_or_broken_folder_is_told(tmp_path: Path) -> None:
    assert "No notebook has been executed yet" in gallery.build(tmp_path / "new").read_text()
    (tmp_path / "bad" / "vqa").mkdir(parents=True)
    (tmp_path / "bad" / "vqa" / "01.ipynb").write_text("{")
    assert "01.ipynb is no notebook" in gallery.build(tmp_path / "bad").read_text()
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"index\.html cannot be written: "):
        gallery.build(tmp_path / "file")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_real_browser_shows_all_pictures_and_asks_for_nothing(built: Path, scheme: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Debian's chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=[*flags.split(), "--disable-component-update", "--disable-sync"]
        )
        tab = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800}).new_page()
        asked: list[str] = []
        wrong: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(built.as_uri())
        tab.evaluate("Promise.all([...document.images].map(image => (image.loading = 'eager', image.decode())))")
        wide = tab.evaluate("document.documentElement.scrollWidth")
        tab.keyboard.press("Tab")
        focused = tab.evaluate("document.activeElement.className")
        dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        browser.close()
    assert [url for url in asked if not url.startswith("data:")] == [built.as_uri()]
    assert not wrong
    assert wide <= 390  # nothing sticks out of a telephone
    assert focused == "skip"
    assert dark == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 28)")


@pytest.mark.parametrize(
    ("make", "text", "expected"),
    [
        (harmless, "<p>a\ud800b</p>", "<p>a?b</p>"),
        (harmless, '<a href="https://a.b/\udfff">c</a>', '<a href="https://a.b/?">c</a>'),
        (harmless, '<p title="\udc00">a</p>', '<p title="?">a</p>'),
        (markdown, "## a\ud83d b", ">a? b</h2>"),
        (markdown, "`\udbff`", "<code>?</code>"),
    ],
)
def test_half_of_a_surrogate_pair_is_a_question_mark(make: Callable[[str], str], text: str, expected: str) -> None:
    assert expected in make(text)
