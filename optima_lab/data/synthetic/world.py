"""The embedded world: its scenes and what is said about them.

Everything follows from `World.seed`: same world, same bytes. Splits share no scene. Within every split each sentence is
said with each of its answers equally often (give or take two), so that text alone says nothing about the answer.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from random import Random
from zlib import crc32

from optima_lab.data.synthetic.grammar import Form, Sentence
from optima_lab.data.synthetic.scene import Scene
from optima_lab.errors import ConfigError

_LEAD = 2  # how far an answer to a sentence may get ahead of the rarest one
GRAMMARS = ("glyphs", "study")
_OF_GRAMMAR = {"grammar": "glyphs", "depth": 1.0}  # a manifest has them where they differ
_VERSION = 6  # of what a seed means: raise it when the same seed would write other bytes
_REVISION = 2  # the same of the study world at another depth than 1, whose bytes are older


@dataclass(frozen=True)
class World:
    """How large a world is and which one: scenes a split, texts a scene (captions are always five), pixels a side.

    `grammar` says which sentences there are; of 'study', `depth` is the weight of those that take several steps.
    """

    scenes_train: int = 12_000
    scenes_dev: int = 1_000
    scenes_test: int = 1_000
    texts: int = 3
    picture_px: int = 48
    seed: int = 0
    grammar: str = "glyphs"
    depth: float = 1.0

    def __post_init__(self) -> None:
        if self.grammar not in GRAMMARS:
            raise ConfigError(f"grammar must be one of {', '.join(GRAMMARS)}; got {self.grammar!r}")
        if type(self.depth) is not float or not 0 < self.depth <= 100:
            raise ConfigError(f"depth must be a number above 0, at most 100; got {self.depth!r}")
        lows = {"seed": 0, "picture_px": 24}
        for field in (field for field in fields(self) if field.name not in _OF_GRAMMAR):
            value, low = getattr(self, field.name), lows.get(field.name, 1)
            if type(value) is not int or value < low:
                raise ConfigError(f"{field.name} must be a whole number of at least {low}; got {value!r}")

    @property
    def id(self) -> str:
        """A name for the folder to keep this very world in: a checksum of all that decides its bytes."""
        return f"world-{crc32(json.dumps(self.manifest()).encode()):08x}"

    def manifest(self) -> dict[str, int | float | str]:
        """All that decides its bytes."""
        own = {"revision": _REVISION} if self.grammar == "study" and self.depth != 1.0 else {}
        return {"version": _VERSION, **own, **{n: v for n, v in asdict(self).items() if v != _OF_GRAMMAR.get(n)}}

    def scenes(self, split: str) -> int:
        """Scenes of a split (pairs of scenes for NLVR2)."""
        return {"train": self.scenes_train, "dev": self.scenes_dev, "test": self.scenes_test}[split]

    def stream(self, task: str, split: str) -> Random:
        """The random stream of one split of one task; no other one depends on it."""
        return Random(f"{_VERSION} {self.seed} {task} {split}")


class Balance:
    """Chooses sentences so that each is said with each of its answers equally often, and kinds by their weight.

    `catch_up`: answers that are behind are preferred, so that sentences said a few times only are balanced, too.
    """

    def __init__(self, random: Random, forms: Sequence[Form], catch_up: bool = False) -> None:
        self._random, self._catch_up = random, catch_up
        self._forms = [form for form in forms if form.weight > 0]
        self._uses: Counter[tuple[str, str]] = Counter()

    def choose(self, *scenes: Scene, taken: Iterable[str] = ()) -> tuple[str, Sentence] | None:
        """(kind, sentence) about the scene or pair, none of `taken`; None if every sentence would tip the balance."""
        taken, forms = set(taken), list(self._forms)
        while forms:
            form = self._random.choices(forms, [form.weight for form in forms])[0]
            sentence = self._least_ahead([each for each in form.sentences(*scenes) if each.text not in taken])
            if sentence is not None:
                self._uses[sentence.text, sentence.answer] += 1
                return form.kind, sentence
            forms.remove(form)
        return None

    def _least_ahead(self, sentences: list[Sentence]) -> Sentence | None:
        """A sentence, drawn at random among those whose answer leads its rarest other answer least."""
        best, least = None, float(_LEAD)
        while sentences and (self._catch_up or least > 0):
            place = self._random.randrange(len(sentences))
            sentence, sentences[place] = sentences[place], sentences[-1]
            sentences.pop()
            counts = [self._uses[sentence.text, answer] for answer in sentence.answers]
            rival = sum(counts) / len(counts) if self._catch_up else min(counts)
            lead = self._uses[sentence.text, sentence.answer] - rival
            if lead < least:
                best, least = sentence, lead
        return best


def described_scenes(
    world: World, task: str, split: str, forms: Sequence[Form], draw: Callable[[Random], tuple[Scene, ...]]
) -> Iterator[tuple[tuple[Scene, ...], list[tuple[str, Sentence]]]]:
    """The scenes of a split, each with `world.texts` sentences (fewer where a scene allows no more in balance)."""
    random = world.stream(task, split)
    balance = Balance(random, forms, catch_up=world.grammar != "glyphs")
    left = world.scenes(split)
    while left:
        scenes = draw(random)
        sentences: list[tuple[str, Sentence]] = []
        while len(sentences) < world.texts:
            chosen = balance.choose(*scenes, taken=[sentence.text for _, sentence in sentences])
            if chosen is None:
                break
            sentences.append(chosen)
        if sentences:
            left -= 1
            yield scenes, sentences
