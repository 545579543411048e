"""How the hand-made folders of these tests are written and spoiled."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, shade: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8, 3), shade, np.uint8)).save(path)


def lines(path: Path, records: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records))


def edit(path: Path, change) -> None:
    """Read a JSON file, let `change` alter it, write it back."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
