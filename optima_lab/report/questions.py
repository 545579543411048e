"""Another question has a gallery of its own: figures of changed parameters never lie among those of the usual ones."""

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

FOLDER = "questions"  # in the folder of figures
INDEX = "index.html"
_LONGEST = 80  # characters of a folder's name


def question(plan: Mapping[str, Any]) -> str:
    """What is asked beside the usual: 'decay=0.9, round_steps=8'; '' for a preset as it is, on its own world."""
    changes = dict(sorted(plan["changes"].items()))
    changes |= {"data": plan["data"]} if plan.get("data") else {}
    changes |= {"strategies": plan["strategies"]} if plan.get("strategies", "all") != "all" else {}
    return ", ".join(f"{name}={value}" for name, value in changes.items())


def gallery(figures: Path, plan: Mapping[str, Any]) -> Path:
    """Where the figures of a plan (the arguments of a sweep) go: `figures`, or `figures/questions/decay=0.9`."""
    text = question(plan)
    return figures / FOLDER / folder_name(text) if text else figures


def folder_name(text: str) -> str:
    """A question as the name of a folder; one that was shortened or has other letters ends in a hash of all of it."""
    name = re.sub(r"[^\w.=,+-]+", "-", text.replace(", ", ","), flags=re.ASCII).strip("-.")
    if name == text.replace(", ", ",") and len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{sha256(text.encode()).hexdigest()[:8]}"


def links(folder: Path) -> dict[str, str]:
    """From a gallery to those of other questions, and from one of these back: what each is called, by its page."""
    if folder.parent.name == FOLDER:
        return {f"../../{INDEX}": "Figures of the usual question"} if (folder / ".." / ".." / INDEX).exists() else {}
    others = sorted(path.parent for path in (folder / FOLDER).glob(f"*/{INDEX}"))
    return {f"{FOLDER}/{other.name}/{INDEX}": f"Question: {other.name.replace(',', ', ')}" for other in others}
