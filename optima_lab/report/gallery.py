"""The gallery: every figure with its reading, where it comes from, and what failed, on one page that works offline.

It reads what notebooks left in `figures/<task>/`: executed notebooks (`*.ipynb`, `*.failed.ipynb`), the figures they
saved, and the table of results.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from optima_lab.config import TASKS
from optima_lab.display import task_title, tasks_in_order
from optima_lab.files import expand, explained, json_text, write_text
from optima_lab.report import findings, questions
from optima_lab.report.manifest import Executed, Picture, collect, manifest
from optima_lab.report.pages import markdown, notebook_page, render, scrolling
from optima_lab.report.tables import results as tables

# Pages that are linked where they exist: widgets, and the claims of the paper.
PAGES = {
    "replay": "Replay of a run",
    "playground": "Playground",
    "exercises": "Exercises",
    "ledger": "Ledger of claims",
}
PLAYED = ("playground", "exercises")  # those that one steers and answers
FIRST = (
    "arms_compared",
    "module_contribution",
    "score_differences",
)  # the picture of the first screen: the first known
RESULTS = "00_quickstart.ipynb"  # the notebook that keeps the table of results
ABOUT = (
    "What each module of a multimodal teacher is worth to a small student, and what OPTIMA's bandit makes of it "
    "(arXiv 2310.04550). Every figure is drawn by the notebook above it, from the runs named below it."
)


def build(figures: Path | str) -> Path:
    """Write `figures/index.html`, `figures/manifest.json` and a page for every executed notebook; return the index.

    Raises RecordError where the folder cannot be read or written.
    """
    folder = expand(figures)
    with explained(folder / "index.html"):
        folder.mkdir(parents=True, exist_ok=True)
        rooms = {room.name: collect(room) for room in _rooms(folder)}
        for notebook in chain.from_iterable(rooms.values()):
            if notebook.path.is_file():
                notebook_page(notebook.path)
        contents = manifest(rooms)
        write_text(folder / "manifest.json", json_text(contents, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        index = write_text(folder / "index.html", _page(folder, rooms, contents["commit"]))
    if folder.parent.name == questions.FOLDER and (usual := folder.parent.parent / questions.INDEX).exists():
        build(usual.parent)  # which links this one
    return index


def _rooms(folder: Path) -> list[Path]:
    """Folders with notebooks or widget pages: the tasks in their order, then others by name."""
    rooms = [room for room in folder.iterdir() if room.is_dir() and (any(room.glob("*.ipynb")) or _widgets(room))]
    return [folder / name for name in tasks_in_order(room.name for room in rooms)]


def _widgets(folder: Path) -> dict[str, str]:
    """The pages of a folder beside its notebooks: what each is called, by its file."""
    return {f"{name}.html": title for name, title in PAGES.items() if (folder / f"{name}.html").exists()}


def _page(folder: Path, rooms: dict[str, list[Executed]], commit: str) -> str:
    question = folder.name.replace(",", ", ") if folder.parent.name == questions.FOLDER else ""
    intro = f"{ABOUT} All of this page is of another question than the presets': {question}." if question else ABOUT
    pages = _widgets(folder) | questions.links(folder)
    shown = [_room(folder / name, notebooks) for name, notebooks in rooms.items()]
    return render(
        "index.html",
        title=f"optima-lab: figures{question and ', ' + question}",
        mark="",
        about=intro,
        commit=commit,
        pages=pages,
        first=_first_screen(folder, rooms, shown),
        results=_results(folder, rooms),
        rooms=shown,
    )


def _first_screen(folder: Path, rooms: Mapping[str, list[Executed]], shown: Sequence[dict]) -> dict[str, object]:
    """What was found in words, one picture, and where one watches, plays and learns."""
    smoke = {name for name, notebooks in rooms.items() if any(map(_is_smoke, notebooks))}
    trained = [name for name in rooms if name in TASKS and name not in smoke]
    sentences = [findings.score_sentence(tables.load(folder / name), name) for name in trained]
    drawn = [picture for room in shown for notebook in room["notebooks"] for picture in notebook["pictures"]]
    rank = {name: place for place, name in enumerate(FIRST)}
    best = min(drawn, key=lambda picture: rank.get(picture["name"], len(rank)), default=None)
    replays = {
        f"{name}/replay.html": f"Replay: {_title(name)}" for name in rooms if "replay.html" in _widgets(folder / name)
    }
    own = {page: title for page, title in _widgets(folder).items() if page.removesuffix(".html") in PLAYED}
    lessons = {f"#{_id('lessons')}": "Lessons on bandits"} if "lessons" in rooms else {}
    doors = replays | own | lessons
    smoke_of = ", ".join(_title(name) for name in rooms if name in smoke)
    return {"said": [text for text in sentences if text], "picture": best, "doors": doors, "smoke": smoke_of}


def _is_smoke(notebook: Executed) -> bool:
    return notebook.parameters.get("preset") == "smoke"


def _title(room: str) -> str:
    return task_title(room) if room in TASKS else room.replace("_", " ").capitalize()


def _results(folder: Path, rooms: Mapping[str, Sequence[Executed]]) -> Markup:
    """One table for all tasks of one question; tasks of different questions stand in tables that say which."""
    by_question: dict[str, list[pd.DataFrame]] = {}
    for room, executed in rooms.items():
        table = tables.load(folder / room)
        source = next((notebook for notebook in executed if notebook.name == RESULTS and not notebook.error), None)
        question = _parameters(source, ("preset", "data", "changes", "strategies")) if source else ""
        by_question.setdefault(question, []).extend([table] if len(table) else [])
    shown = {name: scrolling(Markup(tables.html(pd.concat(frames)))) for name, frames in by_question.items() if frames}
    if len(shown) < 2:
        return Markup().join(shown.values())
    return Markup().join(Markup("<h3>{}</h3>{}").format(name or "not known", html) for name, html in shown.items())


def _room(folder: Path, notebooks: Sequence[Executed]) -> dict[str, object]:
    failed = {notebook.name for notebook in notebooks if notebook.error}
    return {
        "name": folder.name,
        "title": _title(folder.name),
        "id": _id(folder.name),
        "pages": _widgets(folder),
        "failures": sum(bool(notebook.error) for notebook in notebooks),
        "notebooks": [_notebook(folder, notebook) | {"older": notebook.name in failed} for notebook in notebooks],
    }


def _notebook(folder: Path, notebook: Executed) -> dict[str, object]:
    return {
        "file": notebook.path.stem,
        "title": notebook.title,
        "id": _id(folder.name, notebook.path.stem),
        "error": notebook.error,
        "asked": _parameters(notebook, ("preset", "seeds", "data", "changes")),
        "smoke": _is_smoke(notebook),
        "pictures": [_figure(folder, notebook, picture) for picture in notebook.pictures],
    }


def _parameters(notebook: Executed, names: Sequence[str] = ()) -> str:
    """'seeds = 1, task = vqa' of all parameters that are not empty, or of these."""
    chosen = {name: notebook.parameters.get(name, "") for name in names} if names else notebook.parameters
    return ", ".join(f"{name} = {value}" for name, value in chosen.items() if value != "")


def _figure(folder: Path, notebook: Executed, picture: Picture) -> dict[str, object]:
    facts = {
        "parameters": _parameters(notebook) or "defaults",
        "seeds": ", ".join(str(seed) for seed in picture.origin.get("seeds", [])),
        "runs": ", ".join(picture.origin.get("runs", [])),
        "configuration": picture.origin.get("config", ""),
    }
    sentence = findings.read(folder, facts["configuration"]).get(picture.name, "")
    if _is_smoke(notebook) and sentence:
        sentence = f"{findings.MEANINGLESS}, and say nothing of the paper's statement."
    return {
        "id": _id(folder.name, picture.name),
        "title": picture.title,
        "files": picture.files,
        "facts": facts,
        "name": picture.name,
        "size": picture.size,
        "seen": sentence,
        "source": _source(folder, picture),
        "reading": picture.reading and markdown(picture.reading),
    }


def _source(folder: Path, picture: Picture) -> str:
    """The figure inside the page: as SVG in an <img>, where it can neither run a script nor ask for anything."""
    name = next((name for name in picture.files if name.endswith((".svg", ".png"))), picture.files[0])
    kind = "svg+xml" if name.endswith(".svg") else "png"
    return f"data:image/{kind};base64,{b64encode((folder / name).read_bytes()).decode()}"


def _id(*parts: str) -> str:
    """An id of letters, digits and dashes."""
    return "-".join("".join(c if c.isalnum() else "-" for c in part) for part in parts)
