"""The gallery: every figure with its reading, where it comes from, and what failed, on one page that works offline.

It reads what notebooks left in `figures/<task>/`: executed notebooks (`*.ipynb`, `*.failed.ipynb`), the figures they
saved, and the table of results.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from optima_lab.config import TASKS
from optima_lab.errors import RecordError
from optima_lab.views import tables
from optima_lab.views.manifest import Executed, Picture, collect, manifest
from optima_lab.views.pages import markdown, notebook_page, page, scrolling

# Pages that are linked where they exist: widgets, and the claims of the paper.
PAGES = {"replay": "Replay of a run", "playground": "Playground", "ledger": "Ledger of claims"}
ABOUT = (
    "What each module of a multimodal teacher is worth to a small student, and what OPTIMA's bandit makes of it "
    "(arXiv 2310.04550). Every figure is drawn by the notebook above it, from the runs named below it."
)


def build(figures: Path | str) -> Path:
    """Write `figures/index.html`, `figures/manifest.json` and a page for every executed notebook; return the index.

    Raises RecordError where the folder cannot be read or written.
    """
    folder = Path(figures)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rooms = {room.name: collect(room) for room in _rooms(folder)}
        for executed in (each for room in rooms.values() for each in room if each.path.is_file()):
            notebook_page(executed.path)
        known = manifest(rooms)
        _write(folder / "manifest.json", json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        return _write(folder / "index.html", page("optima-lab: figures", _body(folder, rooms, known["commit"])))
    except OSError as error:
        raise RecordError(f"cannot write the gallery {folder}: {error.strerror or error}") from error


def _rooms(folder: Path) -> list[Path]:
    """Folders with notebooks or widget pages: the tasks in their order, then others by name."""
    order = list(TASKS)
    rooms = [room for room in folder.iterdir() if room.is_dir() and (any(room.glob("*.ipynb")) or _widgets(room))]
    return sorted(rooms, key=lambda room: (order.index(room.name) if room.name in order else len(order), room.name))


def _widgets(folder: Path) -> list[str]:
    return [name for name in PAGES if (folder / f"{name}.html").exists()]


def _body(folder: Path, rooms: dict[str, list[Executed]], at: str) -> str:
    parts = [
        '<a class="skip" href="#main">to the figures</a>',
        f"<header><h1>optima-lab</h1>\n<p>{escape(ABOUT)}</p></header>",
        _navigation(folder, rooms),
        '<main id="main" tabindex="-1">',
        _results(folder, list(rooms)),
        *(_room(folder / name, notebooks) for name, notebooks in rooms.items()),
        "" if rooms else "<p>No notebook has been executed yet: <code>make figures</code> does.</p>",
        "</main>",
        f"<footer><p>{escape(f'optima-lab at commit {at}. ' if at else '')}This page needs no network.</p></footer>",
    ]
    return "\n".join(part for part in parts if part)


def _title(room: str) -> str:
    return TASKS[room].title if room in TASKS else room.replace("_", " ").capitalize()


def _navigation(folder: Path, rooms: dict[str, list[Executed]]) -> str:
    items = []
    for room, notebooks in rooms.items():
        pictures = [picture for each in notebooks for picture in each.pictures]
        named = [(_id(room, picture.name), picture.title.removeprefix(f"{_title(room)}: ")) for picture in pictures]
        links = [f'<li><a href="#{at}">{escape(title)}</a></li>' for at, title in named]
        broken = sum(bool(each.error) for each in notebooks)
        mark = f' <span class="failed"><strong>{broken} failed</strong></span>' if broken else ""
        items.append(
            f'<li><a href="#{_id(room)}"><b>{escape(_title(room))}</b></a>{mark}<ul>{"".join(links)}</ul></li>'
        )
    top = "".join(f'<li><a href="{name}.html"><b>{PAGES[name]}</b></a></li>' for name in _widgets(folder))
    return f'<nav aria-label="Figures"><ul>{"".join(items)}{top}</ul></nav>'


def _results(folder: Path, rooms: Sequence[str]) -> str:
    kept = [tables.load(folder / room) for room in rooms]
    kept = [table for table in kept if len(table)]
    if not kept:
        return ""
    html = scrolling(tables.html(pd.concat(kept)))
    return f"<section>{_h(2, 'Results', 'results')}\n{html}</section>"


def _room(folder: Path, notebooks: Sequence[Executed]) -> str:
    links = " · ".join(f'<a href="{_url(folder, f"{name}.html")}">{PAGES[name]}</a>' for name in _widgets(folder))
    failed = {each.name for each in notebooks if each.error}
    parts = [_h(2, _title(folder.name), _id(folder.name)), f"<p>{links}</p>" if links else ""]
    for each in notebooks:
        parts.append(_failure(folder, each) if each.error else _notebook(folder, each, each.name in failed))
    return f"<section>{''.join(parts)}</section>"


def _failure(folder: Path, each: Executed) -> str:
    link = f'<a href="{_url(folder, f"{each.path.stem}.html")}">how far it came</a>'
    text = f"<strong>Failed.</strong> <code>{escape(each.error)}</code> ({link})"
    return f'{_h(3, each.title, _id(folder.name, each.path.stem))}<p class="failed" role="alert">{text}</p>'


def _notebook(folder: Path, each: Executed, older: bool) -> str:
    where = _url(folder, each.path.stem)
    said = escape(_parameters(each, ("preset", "seeds", "data", "changes")))
    links = f'<a href="{where}.html">executed notebook</a> · <a href="{where}.ipynb">.ipynb</a>{said and " · "}{said}'
    old = '<p class="failed">These are the figures of an earlier run.</p>' if older else ""
    pictures = "".join(_figure(folder, each, picture) for picture in each.pictures)
    return f'{_h(3, each.title, _id(folder.name, each.path.stem))}<p class="faint">{links}</p>{old}{pictures}'


def _parameters(each: Executed, names: Sequence[str] = ()) -> str:
    """'seeds = 1, task = vqa' of all parameters that are not empty, or of these."""
    chosen = {name: each.parameters.get(name, "") for name in names} if names else each.parameters
    return ", ".join(f"{name} = {value}" for name, value in chosen.items() if value != "")


def _figure(folder: Path, each: Executed, picture: Picture) -> str:
    ends = [(_url(folder, name), name.rpartition(".")[2]) for name in picture.files]
    files = " · ".join(f'<a href="{url}">{end}</a>' for url, end in ends)
    facts = {
        "parameters": _parameters(each) or "defaults",
        "seeds": ", ".join(str(seed) for seed in picture.origin.get("seeds", [])),
        "runs": ", ".join(picture.origin.get("runs", [])),
        "configuration": picture.origin.get("config", ""),
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    reading = markdown(picture.reading) if picture.reading else "<p>The notebook has no reading of this figure.</p>"
    return (
        f'<figure id="{_id(folder.name, picture.name)}" tabindex="-1">{_image(folder, picture)}\n<figcaption>'
        f"<h4>Reading this figure</h4>{reading}"
        f"<details><summary>Where it comes from</summary><dl>{listed}<dt>files</dt><dd>{files}</dd></dl></details>"
        "</figcaption></figure>"
    )


def _image(folder: Path, picture: Picture) -> str:
    """The figure inside the page: as SVG in an <img>, where it can neither run a script nor ask for anything."""
    name = next((name for name in picture.files if name.endswith((".svg", ".png"))), picture.files[0])
    kind = "svg+xml" if name.endswith(".svg") else "png"
    content = b64encode((folder / name).read_bytes()).decode()
    return f'<img src="data:image/{kind};base64,{content}" alt="{escape(picture.title)}" loading="lazy">'


def _h(level: int, title: str, at: str) -> str:
    return f'<h{level} id="{at}"><a href="#{at}">{escape(title)}</a></h{level}>\n'


def _url(folder: Path, name: str) -> str:
    """The address of a file of a room, from the index."""
    return f"{quote(folder.name)}/{quote(name)}"


def _id(*parts: str) -> str:
    """An id of letters, digits and dashes."""
    return "-".join("".join(c if c.isalnum() else "-" for c in part) for part in parts)


def _write(path: Path, text: str) -> Path:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path
