"""What is said of the embedded world's scenes: text alone must not tell the answers."""

from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
import pytest

from optima_lab.data.synthetic import write as layouts
from optima_lab.data.synthetic.grammar import Form
from optima_lab.data.synthetic.questions import VQA
from optima_lab.data.synthetic.scene import COLOURS, SHAPES, draw_pair
from optima_lab.data.synthetic.statements import NLVR2, SNLI_VE
from optima_lab.data.synthetic.world import World, described_scenes

# Large enough that the rarest kind of question has hundreds of examples: chance alone would pass five points of 46.
BALANCED = World(scenes_train=5000, scenes_dev=1, scenes_test=5000)
Triple = tuple[str, str, str]


def template(text: str) -> str:
    """The text without its content words."""
    for words, stand_in in ((SHAPES, "<shape>"), (COLOURS, "<colour>")):
        for word in words:
            text = text.replace(word, stand_in)
    return text


def triples(task: str, split: str, forms: tuple[Form, ...], draw: Callable) -> list[Triple]:
    """(kind, text, answer); kinds are told apart for VQA only, as in its records."""
    return [
        (kind if task == "vqa" else "", sentence.text, sentence.answer)
        for _, said in described_scenes(BALANCED, task, split, forms, draw)
        for kind, sentence in said
    ]


def accuracy(train: list[Triple], test: list[Triple], key: Callable[[Triple], object]) -> dict[str, float]:
    """Test accuracy per kind of answering with train's most frequent answer to the same key."""
    answers: dict[object, Counter[str]] = defaultdict(Counter)
    for triple in train:
        answers[key(triple)][triple[2]] += 1
    right: dict[str, list[bool]] = defaultdict(list)
    for triple in test:
        guess = answers[key(triple)].most_common(1)
        right[triple[0]].append(bool(guess) and guess[0][0] == triple[2])
    return {kind: float(np.mean(hits)) for kind, hits in right.items()}


@pytest.mark.parametrize(
    ("task", "forms", "draw"),
    [
        ("vqa", VQA, layouts._vqa_scene),
        ("snli_ve", SNLI_VE, layouts._snli_ve_scene),
        ("nlvr2", NLVR2, draw_pair),
    ],
)
def test_text_alone_is_no_better_than_a_constant(task: str, forms: tuple[Form, ...], draw: Callable) -> None:
    train, test = (triples(task, split, forms, draw) for split in ("train", "test"))
    constant = {
        kind: max(Counter(answer for k, _, answer in test if k == kind).values()) / sum(k == kind for k, _, _ in test)
        for kind in {kind for kind, _, _ in test}
    }
    chance = {
        "colour": 1 / 6,
        "shape": 1 / 8,
        "neighbour": 1 / 7,
        "count": 1 / 3,
        "presence": 1 / 2,
        "relation": 1 / 2,
        "place": 1 / 3,
    }
    for name, key in (("text", lambda t: t[1]), ("template", lambda t: template(t[1]))):
        scores = accuracy(train, test, key)
        print(task, name, {kind: f"{100 * scores[kind]:.1f} (constant {100 * constant[kind]:.1f})" for kind in scores})
        for kind, score in scores.items():
            assert score <= constant[kind] + 0.05, (name, kind)
            assert score <= chance.get(kind, {"snli_ve": 1 / 3, "nlvr2": 1 / 2}.get(task, 0)) + 0.05, (name, kind)
