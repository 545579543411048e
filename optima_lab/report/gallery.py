"""The gallery: every figure with its reading, where it comes from, and what failed, on one page that works offline.

It reads what notebooks left in `figures/<task>/`: executed notebooks (`*.ipynb`, `*.failed.ipynb`), the figures they
saved, and the table of results.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
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
        for executed in (each for room in rooms.values() for each in room if each.path.is_file()):
            notebook_page(executed.path)
        known = manifest(rooms)
        write_text(folder / "manifest.json", json_text(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        index = write_text(folder / "index.html", _page(folder, rooms, known["commit"]))
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
    asked = folder.name.replace(",", ", ") if folder.parent.name == questions.FOLDER else ""
    about = f"{ABOUT} All of this page is of another question than the presets': {asked}." if asked else ABOUT
    pages = _widgets(folder) | questions.links(folder)
    known: dict[str, object] = {
        "title": f"optima-lab: figures{asked and ', ' + asked}",
        "mark": "",
        "about": about,
        "commit": commit,
    }
    shown = [_room(folder / name, notebooks) for name, notebooks in rooms.items()]
    known |= {"pages": pages, "first": _first_screen(folder, rooms, shown)}
    return render("index.html", **known, results=_results(folder, rooms), rooms=shown)


def _first_screen(folder: Path, rooms: Mapping[str, list[Executed]], shown: Sequence[dict]) -> dict[str, object]:
    """What was found in words, one picture, and where one watches, plays and learns."""
    smoke = {name for name, notebooks in rooms.items() if any(map(_is_smoke, notebooks))}
    said = [findings.found(tables.load(folder / name), name) for name in rooms if name in TASKS and name not in smoke]
    drawn = [picture for room in shown for each in room["notebooks"] for picture in each["pictures"]]
    rank = {name: place for place, name in enumerate(FIRST)}
    best = min(drawn, key=lambda picture: rank.get(picture["name"], len(rank)), default=None)
    replays = {
        f"{name}/replay.html": f"Replay: {_title(name)}" for name in rooms if "replay.html" in _widgets(folder / name)
    }
    own = {page: title for page, title in _widgets(folder).items() if page.removesuffix(".html") in PLAYED}
    lessons = {f"#{_id('lessons')}": "Lessons on bandits"} if "lessons" in rooms else {}
    doors = replays | own | lessons
    smoke_of = ", ".join(_title(name) for name in rooms if name in smoke)
    return {"said": [text for text in said if text], "picture": best, "doors": doors, "smoke": smoke_of}


def _is_smoke(each: Executed) -> bool:
    return each.parameters.get("preset") == "smoke"


def _title(room: str) -> str:
    return task_title(room) if room in TASKS else room.replace("_", " ").capitalize()


def _results(folder: Path, rooms: Mapping[str, Sequence[Executed]]) -> Markup:
    """One table for all tasks of one question; tasks of different questions stand in tables that say which."""
    kept: dict[str, list[pd.DataFrame]] = {}
    for room, executed in rooms.items():
        table = tables.load(folder / room)
        source = next((each for each in executed if each.name == RESULTS and not each.error), None)
        asked = _parameters(source, ("preset", "data", "changes", "strategies")) if source else ""
        kept.setdefault(asked, []).extend([table] if len(table) else [])
    shown = {asked: scrolling(Markup(tables.html(pd.concat(found)))) for asked, found in kept.items() if found}
    if len(shown) < 2:
        return Markup().join(shown.values())
    return Markup().join(Markup("<h3>{}</h3>{}").format(asked or "not known", html) for asked, html in shown.items())


def _room(folder: Path, notebooks: Sequence[Executed]) -> dict[str, object]:
    failed = {each.name for each in notebooks if each.error}
    return {
        "name": folder.name,
        "title": _title(folder.name),
        "id": _id(folder.name),
        "pages": _widgets(folder),
        "failures": sum(bool(each.error) for each in notebooks),
        "notebooks": [_notebook(folder, each) | {"older": each.name in failed} for each in notebooks],
    }


def _notebook(folder: Path, each: Executed) -> dict[str, object]:
    return {
        "file": each.path.stem,
        "title": each.title,
        "id": _id(folder.name, each.path.stem),
        "error": each.error,
        "asked": _parameters(each, ("preset", "seeds", "data", "changes")),
        "smoke": _is_smoke(each),
        "pictures": [_figure(folder, each, picture) for picture in each.pictures],
    }


def _parameters(each: Executed, names: Sequence[str] = ()) -> str:
    """'seeds = 1, task = vqa' of all parameters that are not empty, or of these."""
    chosen = {name: each.parameters.get(name, "") for name in names} if names else each.parameters
    return ", ".join(f"{name} = {value}" for name, value in chosen.items() if value != "")


def _figure(folder: Path, each: Executed, picture: Picture) -> dict[str, object]:
    facts = {
        "parameters": _parameters(each) or "defaults",
        "seeds": ", ".join(str(seed) for seed in picture.origin.get("seeds", [])),
        "runs": ", ".join(picture.origin.get("runs", [])),
        "configuration": picture.origin.get("config", ""),
    }
    seen = findings.read(folder, facts["configuration"]).get(picture.name, "")
    if _is_smoke(each) and seen:
        seen = f"{findings.MEANINGLESS}, and say nothing of the paper's statement."
    known: dict[str, object] = {"id": _id(folder.name, picture.name), "title": picture.title, "files": picture.files}
    known["facts"] = facts
    known |= {"name": picture.name, "size": picture.size, "seen": seen, "source": _source(folder, picture)}
    return known | {"reading": picture.reading and markdown(picture.reading)}


def _source(folder: Path, picture: Picture) -> str:
    """The figure inside the page: as SVG in an <img>, where it can neither run a script nor ask for anything."""
    name = next((name for name in picture.files if name.endswith((".svg", ".png"))), picture.files[0])
    kind = "svg+xml" if name.endswith(".svg") else "png"
    return f"data:image/{kind};base64,{b64encode((folder / name).read_bytes()).decode()}"


def _id(*parts: str) -> str:
    """An id of letters, digits and dashes."""
    return "-".join("".join(c if c.isalnum() else "-" for c in part) for part in parts)
