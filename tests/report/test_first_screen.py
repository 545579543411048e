"""The gallery as a reader meets it: what was found in words, links that land, figures to enlarge and to print."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import nbformat
import pytest
from recorded_runs import Records

from optima_lab.report import findings, gallery
from optima_lab.report.figures import scores as figures
from optima_lab.report.figures import style
from optima_lab.report.tables import results as tables

NAMES = ("module_contribution", "arms_compared", "generalization")
READING = "#### Reading this figure\n\n" + "Bars are high. " * 60
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
TOLD = "Replay of 2 recorded runs: drawn in JupyterLab, and on the page replay.html"
FILM = "Film of 2 policies: drawn in JupyterLab, and on the page three_players_film.html"


def executed(folder: Path, preset: str) -> None:
    """Notebooks as the runner leaves them: one that draws three figures, one that shows a replay, one lesson."""
    cell, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [each for name in NAMES for each in (cell(f"save(p, folder, '{name}')"), text(READING))]
    shown, film = (
        nbformat.v4.new_output("execute_result", data={"text/plain": words, **WIDGET}) for words in (TOLD, FILM)
    )
    books = {
        "vqa/01_figures": [text("# 01 · Figures"), *cells],
        "vqa/08_replay": [text("# 08 · Replay"), cell("player", outputs=[shown])],
        "lessons/10_what": [text("# 10 · What is a bandit?"), cell("film", outputs=[film])],
    }
    for name, content in books.items():
        given = {"parameters": {"preset": preset}} if name.startswith("vqa") else {}
        path = folder / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=content, metadata={"optima_lab": given})))


@pytest.fixture(scope="module")
def index(one: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of one task with three figures, a replay, a playground and a lesson."""
    folder = tmp_path_factory.mktemp("gallery") / "figures"
    for name in NAMES:
        draw = getattr(figures, name)
        picture = draw(one.evals, [each.summary for each in one.experiments]) if "arms" in name else draw(one.evals)
        style.save(picture, folder / "vqa", name, one.experiments)
    tables.save(tables.results(one.runs, one.experiments), folder / "vqa")
    findings.write(folder / "vqa", one.experiments)
    executed(folder, "laptop")
    for page in ("vqa/replay.html", "playground.html", "exercises.html", "lessons/three_players_film.html"):
        (folder / page).write_text("<title>a widget</title>")
    return gallery.build(folder)


def test_the_first_screen_says_what_was_found_and_opens_doors(index: Path, one: Records) -> None:
    first = index.read_text().split('class="first"')[1].split("</section>")[0]
    assert findings.score_sentence(tables.results(one.runs, one.experiments), "vqa") in first
    assert "“OPTIMA beats layerwise distillation (LWD)” is" in first
    assert first.count("<img ") == 1 and 'alt="VQA: what each strategy reaches"' in first
    assert all(
        f'href="{page}"' in first for page in ("vqa/replay.html", "playground.html", "exercises.html", "#lessons")
    )


def test_a_sentence_stands_under_a_figure_of_these_numbers_alone(index: Path, one: Records, tmp_path: Path) -> None:
    known = findings.read(index.parent / "vqa", style.provenance(one.experiments)["config"])
    text = index.read_text()
    for name in NAMES:
        figure = text.split(f'<figure id="vqa-{name.replace("_", "-")}"')[1].split("</figure>")[0]
        assert f'<p class="seen">{known[name]}</p>'.replace("'", "&#39;") in figure
    other = shutil.copytree(index.parent, tmp_path / "figures")
    path = other / "vqa" / findings.FILE
    path.write_text(path.read_text().replace('"config": "', '"config": "x'))
    assert 'class="seen"' not in gallery.build(other).read_text()


def test_smoke_pages_say_that_their_numbers_mean_nothing(index: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(index.parent, tmp_path / "figures")
    executed(folder, "smoke")
    smoke = gallery.build(folder)
    first = smoke.read_text().split('class="first"')[1].split("</section>")[0]
    assert "its numbers mean nothing" in first and "students reach" not in first
    assert smoke.read_text().count(f'<p class="seen">{findings.MEANINGLESS}, and say nothing') == len(NAMES)
    for page, count in ((smoke, 1), (index, 0)):
        told = (page.parent / "vqa" / "01_figures.html").read_text()
        assert told.count("A smoke run: its numbers mean nothing.") == count
        assert "numbers mean nothing" in page.read_text() or not count


def test_executed_notebooks_contain_their_replay_and_film(index: Path) -> None:
    page = index.parent / "vqa" / "08_replay.html"
    assert '<iframe class="widget" src="replay.html" title="replay"></iframe>' in page.read_text()
    assert "frame-src 'self'" in page.read_text()
    lesson = (index.parent / "lessons" / "10_what.html").read_text()
    assert '<iframe class="widget" src="three_players_film.html" title="three_players_film"></iframe>' in lesson
    (index.parent / "vqa" / "replay.html").rename(index.parent / "kept")
    page.unlink()
    gallery.build(index.parent)
    assert "<iframe" not in page.read_text() and TOLD in page.read_text(), "no frame around nothing"
    (index.parent / "kept").rename(index.parent / "vqa" / "replay.html")
    page.unlink()
    gallery.build(index.parent)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1024, "dark"), (1280, "light")])
def test_links_land_figures_enlarge_and_all_of_them_print(chromium: Any, index: Path, width: int, scheme: str) -> None:
    with browser.watched(chromium, offline=True, color_scheme=scheme, reduced_motion="reduce") as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(index.as_uri())
        assert page.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 0)")
        assert page.evaluate("[...document.images].every((each) => each.loading !== 'lazy' && each.height > 50)")
        top = "document.getElementById('vqa-generalization').getBoundingClientRect().top"
        page.evaluate("document.images[0].parentElement.scrollIntoView()")
        page.locator("nav a[href='#vqa-generalization']").click()
        assert -5 <= page.evaluate(top) <= 60, "the link lands at its figure"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        image = page.locator("#vqa-generalization img")
        shown = image.bounding_box()["width"]
        page.locator("#vqa-generalization .enlarge").click()
        wide = image.bounding_box()["width"]
        assert wide == pytest.approx(960, abs=3) and (wide > shown or width > 1000), "as large as it was drawn"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "the picture scrolls, the page does not"
        browser.shot(page, f"gallery_large_{width}")
        page.locator("#vqa-generalization .reduce").click()
        assert image.bounding_box()["width"] == pytest.approx(shown, abs=1)
        page.evaluate("window.scrollTo(0, 0)")
        assert not browser.overlaps(page), "no words over words"
        browser.shot(page, f"gallery_{width}_{scheme}")
        page.emulate_media(media="print")
        assert page.locator("figure img:visible").count() == len(NAMES)
