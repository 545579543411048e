"""The embedded world: scenes, what is said about them, and both written in the four official layouts.

Everything follows from `World.seed`: same world, same bytes. Splits share no scene. Within every split each sentence is
said with each of its answers equally often (give or take two), so that text alone says nothing about the answer.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from random import Random
from zlib import crc32

from optima_lab.data.paint import render
from optima_lab.data.sentences import Form, Said
from optima_lab.data.things import Scene, draw_scene
from optima_lab.errors import ConfigError, DataError
from optima_lab.locks import alone, part_of
from optima_lab.progress import progress

__all__ = ["World", "render", "sample_scenes", "write_world"]
TASKS = ("vqa", "snli_ve", "nlvr2", "coco")
_MANIFEST = "world.json"
_LEAD = 2  # how far an answer to a sentence may get ahead of the rarest one
_VERSION = 6  # of what a seed means: raise it when the same seed would write other bytes


@dataclass(frozen=True)
class World:
    """How large a world is and which one: scenes a split, texts a scene (captions are always five), pixels a side."""

    scenes_train: int = 12_000
    scenes_dev: int = 1_000
    scenes_test: int = 1_000
    texts: int = 3
    picture_px: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        lows = {"seed": 0, "picture_px": 24}
        for field in fields(self):
            value, low = getattr(self, field.name), lows.get(field.name, 1)
            if type(value) is not int or value < low:
                raise ConfigError(f"{field.name} must be a whole number of at least {low}; got {value!r}")

    @property
    def id(self) -> str:
        """A name for the folder to keep this very world in: a checksum of all that decides its bytes."""
        return f"world-{crc32(json.dumps(_manifest(self)).encode()):08x}"

    def scenes(self, split: str) -> int:
        """Scenes of a split (pairs of scenes for NLVR2)."""
        return {"train": self.scenes_train, "dev": self.scenes_dev, "test": self.scenes_test}[split]

    def stream(self, task: str, split: str) -> Random:
        """The random stream of one split of one task; no other one depends on it."""
        return Random(f"{_VERSION} {self.seed} {task} {split}")


class Balance:
    """Chooses sentences so that each is said with each of its answers equally often, and kinds by their weight."""

    def __init__(self, random: Random, forms: Sequence[Form]) -> None:
        self._random, self._forms = random, forms
        self._said: Counter[tuple[str, str]] = Counter()

    def choose(self, *scenes: Scene, taken: Iterable[str] = ()) -> tuple[str, Said] | None:
        """(kind, sentence) about the scene or pair, none of `taken`; None if every sentence would tip the balance."""
        taken, forms = set(taken), list(self._forms)
        while forms:
            form = self._random.choices(forms, [form.weight for form in forms])[0]
            said = self._least_ahead([said for said in form.about(*scenes) if said.text not in taken])
            if said is not None:
                self._said[said.text, said.answer] += 1
                return form.kind, said
            forms.remove(form)
        return None

    def _least_ahead(self, sentences: list[Said]) -> Said | None:
        """A sentence, drawn at random among those whose answer leads its rarest other answer least."""
        best, least = None, _LEAD
        while sentences and least > 0:
            place = self._random.randrange(len(sentences))
            said, sentences[place] = sentences[place], sentences[-1]
            sentences.pop()
            lead = self._said[said.text, said.answer] - min(self._said[said.text, answer] for answer in said.answers)
            if lead < least:
                best, least = said, lead
        return best


Writer = Callable[[Path, World], Iterator[None]]


def write_world(folder: str | Path, world: World | None = None, tasks: Sequence[str] = TASKS) -> Path:
    """Write the world's tasks into `folder/<task>`, each whole or not at all; what is finished is kept as it is.

    Raises DataError where a task's folder holds another world or something else.
    """
    from optima_lab.data.layouts import WRITERS

    world, folder = world or World(), Path(folder)
    for task in tasks:
        if task not in WRITERS:
            raise ConfigError(f"tasks must be among {', '.join(TASKS)}; got {task!r}")
    missing = [task for task in tasks if not _is_finished(folder / task, world)]
    for task in missing:
        with alone(folder, f"{folder.name}/{task}", f".{task}.lock"):
            if not _is_finished(folder / task, world):  # else another process was faster
                _write_task(folder / task, world, WRITERS[task])
    return folder


def _manifest(world: World) -> dict[str, int]:
    return {"version": _VERSION, **asdict(world)}


def _is_finished(target: Path, world: World) -> bool:
    if not target.exists():
        return False
    try:
        found = json.loads((target / _MANIFEST).read_text())
    except (OSError, ValueError):
        raise DataError(f"{target} must be free for the embedded world or hold it; it holds other files") from None
    if found != _manifest(world):
        raise DataError(f"{target} must hold the world {_manifest(world)}; it holds {found}: name another folder")
    return True


def _write_task(target: Path, world: World, writer: Writer) -> None:
    total = world.scenes_train + world.scenes_dev + world.scenes_test
    part = part_of(target)
    try:
        part.mkdir(parents=True)
        for _ in progress(writer(part, world), f"write {target.name} scenes", total):
            pass
        (part / _MANIFEST).write_text(json.dumps(_manifest(world), indent=1) + "\n")
        part.rename(target)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sample_scenes(seed: int = 0, count: int = 8, hidden: bool = False) -> tuple[Scene, ...]:
    """A few scenes to show: two to four things each, one of them partly hidden if wished."""
    random = Random(f"gallery {seed}")
    return tuple(draw_scene(random, random.randint(2, 4), int(hidden)) for _ in range(count))


def said_about(
    world: World, task: str, split: str, forms: Sequence[Form], draw: Callable[[Random], tuple[Scene, ...]]
) -> Iterator[tuple[tuple[Scene, ...], list[tuple[str, Said]]]]:
    """The scenes of a split, each with `world.texts` sentences (fewer where a scene allows no more in balance)."""
    random = world.stream(task, split)
    balance = Balance(random, forms)
    left = world.scenes(split)
    while left:
        scenes = draw(random)
        said: list[tuple[str, Said]] = []
        while len(said) < world.texts:
            chosen = balance.choose(*scenes, taken=[sentence.text for _, sentence in said])
            if chosen is None:
                break
            said.append(chosen)
        if said:
            left -= 1
            yield scenes, said
