"""The study world: every answer recomputed by a second evaluator, texts that tell nothing, the same bytes again."""

import re
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path
from random import Random

import brute_force
import pytest

from optima_lab.data.formats import read
from optima_lab.data.synthetic.grammar import Form, Sentence
from optima_lab.data.synthetic.scene import Scene
from optima_lab.data.synthetic.study.scenes import study_scene
from optima_lab.data.synthetic.world import Balance, World, described_scenes
from optima_lab.data.synthetic.write import grammar_of, write_world

WORLD = World(scenes_train=250, scenes_dev=250, scenes_test=10, grammar="study")
TINY = World(scenes_train=12, scenes_dev=6, scenes_test=6, picture_px=24, grammar="study")
GRAMMAR, SIMPLER = grammar_of(WORLD), grammar_of(World(grammar="study", depth=0.5))
FORMS = {"vqa": GRAMMAR.vqa, "snli_ve": GRAMMAR.snli_ve, "nlvr2": GRAMMAR.nlvr2}
FORMS |= {"simpler snli_ve": SIMPLER.snli_ve, "simpler nlvr2": SIMPLER.nlvr2}
DRAW = {"vqa": GRAMMAR.vqa_scene, "snli_ve": GRAMMAR.snli_ve_scene, "nlvr2": GRAMMAR.nlvr2_pair}


def objects(scene: Scene) -> list[brute_force.Object]:
    return [(thing.shape, thing.colour) for thing in scene.things]


@pytest.mark.parametrize("seed", range(40))
def test_questions_have_the_answers_that_trying_all_objects_gives(seed: int) -> None:
    (scene,) = GRAMMAR.vqa_scene(Random(seed))
    said = [sentence for form in GRAMMAR.vqa for sentence in form.sentences(scene)]
    assert len(said) > 10
    for sentence in said:
        assert brute_force.answer(sentence.text, objects(scene)) == sentence.answer, (sentence.text, scene)
        assert sentence.answer in sentence.answers


@pytest.mark.parametrize("seed", range(30))
def test_hypotheses_are_open_where_what_is_hidden_decides(seed: int) -> None:
    scene = study_scene(Random(seed), (3, 4), 1 + seed % 2)
    worlds = brute_force.ways(objects(scene))
    assert len(worlds) > 1
    worlds = worlds if len(worlds) <= 200 else Random(seed).sample(worlds, 200)
    for form in SIMPLER.snli_ve:
        for sentence in form.sentences(scene):
            truths = {brute_force.holds(sentence.text, world) for world in worlds}
            if sentence.answer != "neutral":
                assert truths == {sentence.answer == "entailment"}, (sentence.text, scene)
            elif len(worlds) < 200:
                assert truths == {True, False}, (sentence.text, scene)


@pytest.mark.parametrize("seed", range(40))
def test_statements_hold_where_trying_all_objects_says_so(seed: int) -> None:
    left, right = GRAMMAR.nlvr2_pair(Random(seed))
    for form in SIMPLER.nlvr2:
        for sentence in form.sentences(left, right):
            found = brute_force.told(sentence.text, objects(left), objects(right))
            assert sentence.answer == str(found), (sentence.text, left, right)


def test_captions_are_true() -> None:
    """What a caption counts, compares, lists or joins is so in its scene."""
    random = Random(3)
    for _ in range(300):
        scene = GRAMMAR.coco_scene(random)
        text = GRAMMAR.caption(random, scene)
        assert len(text.split()) <= 11
        assert true(text.removeprefix("there is "), objects(scene)), (text, scene)


def true(text: str, seen: list[brute_force.Object]) -> bool:
    if match := re.fullmatch(r"more (.+) than (.+)", text):
        return brute_force.holds(text, seen)
    if match := re.fullmatch(r"the (.+) and the (.+) are both (.+)", text):
        return all(brute_force.means(match[3], seen[brute_force.the(seen, match[i])]) for i in (1, 2))
    if match := re.fullmatch(r"all (\w+) (.+) are (\w+)", text):
        those = [thing for thing in seen if brute_force.means(match[2], thing)]
        return all(brute_force.means(match[3], t) for t in those) and match[1] in (
            *brute_force.NUMBERS[len(those) :][:1],
            "the",
        )
    parts = re.split(r", | and ", text)
    if re.match(r"(one|two|three|four) ", text):
        pairs = [part.split(" ", 1) for part in parts]
        return all(brute_force.number(seen, words) == brute_force.NUMBERS.index(n) for n, words in pairs)
    left = list(seen)
    for part in parts:
        match = re.fullmatch(r"an? (\w+) in (\w+)", part) or re.fullmatch(r"an? (\w+) (\w+)", part)
        assert match, text
        left.remove((match[1], match[2]) if " in " in part else (match[2], match[1]))
    return True


def sentences(name: str, split: str) -> list[tuple[str, Sentence]]:
    task = name.split()[-1]
    return [pair for _, said in described_scenes(WORLD, task, split, FORMS[name], DRAW[task]) for pair in said]


@pytest.mark.parametrize("task", FORMS)
def test_text_alone_is_near_chance(task: str) -> None:
    """The best answer to each very sentence, or else to its kind, learnt on train, on dev."""
    by_text: dict[str, Counter[str]] = defaultdict(Counter)
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, said in sentences(task, "train"):
        by_text[said.text][said.answer] += 1
        by_kind[kind][said.answer] += 1
    asked = sentences(task, "dev")
    chance = sum(1 / len(said.answers) for _, said in asked) / len(asked)
    guesses = [(by_text.get(said.text) or by_kind[kind]).most_common(1)[0][0] for kind, said in asked]
    right = sum(guess == said.answer for guess, (_, said) in zip(guesses, asked, strict=True)) / len(asked)
    assert right <= chance + 0.06, (right, chance)


def test_a_world_has_the_same_bytes_again_and_parts_its_splits(tmp_path: Path) -> None:
    def hashes(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and ".lock" not in path.name)
        return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}

    first, second = (write_world(tmp_path / name, TINY) for name in ("a", "b"))
    assert hashes(first) == hashes(second)
    for task in ("vqa", "snli_ve", "nlvr2", "coco"):
        pictures = [
            {path.read_bytes() for example in read(task, first, split, True).examples for path in example.images}
            for split in ("train", "dev", "test")
        ]
        assert sum(map(len, pictures)) == len(set.union(*pictures))


def test_worlds_are_known_by_their_grammar_and_depth() -> None:
    names = {World().id, World(grammar="study").id, World(grammar="study", depth=2.0).id, World(seed=1).id}
    assert len(names) == 4


def test_depth_weighs_questions_of_several_steps_and_above_one_asks_more_kinds() -> None:
    def shares(depth: float) -> dict[str, float]:
        world = World(scenes_train=200, grammar="study", depth=depth)
        forms = grammar_of(world).vqa
        kinds = Counter(
            k for _, said in described_scenes(world, "vqa", "train", forms, GRAMMAR.vqa_scene) for k, _ in said
        )
        return {kind: number / kinds.total() for kind, number in kinds.items()}

    few, usual, many = shares(0.25), shares(1.0), shares(4.0)
    assert few["partner"] + 0.05 < usual["partner"]
    assert set(few) == set(usual) == {"attribute", "count", "most", "partner"}
    assert {"compare", "every", "same", "either", "partner count"} <= set(many)


def test_below_one_depth_also_asks_about_one_attribute() -> None:
    """At 1 the bytes are those of before there were such sentences."""
    for forms, simpler in ((GRAMMAR.snli_ve, SIMPLER.snli_ve), (GRAMMAR.nlvr2, SIMPLER.nlvr2)):
        usual, more = ({form.kind: form.weight for form in each if form.weight} for each in (forms, simpler))
        assert "present" in more and "present" not in usual and set(usual) < set(more)
    assert "revision" not in World(grammar="study").manifest() and "revision" not in World().manifest()
    assert World(grammar="study", depth=0.5).manifest()["revision"] == 2


def test_a_common_answer_does_not_lead() -> None:
    """In one scene of ten the answer is 'yes'; whoever guesses 'no' gains where 'no' may be two ahead."""

    def sentences(scene: Scene) -> list[Sentence]:
        rare = Sentence("rare?", "no" if scene.look % 10 else "yes", ("yes", "no"))
        return [rare, Sentence("other?", str(scene.look % 2), ("0", "1"))]

    lead = {}
    for catch_up in (False, True):
        balance = Balance(Random(0), (Form("any", 1, sentences),), catch_up)
        chosen = [balance.choose(Scene((), look)) for look in range(400)]
        counts = Counter(said.answer for _, said in filter(None, chosen) if said.text == "rare?")
        lead[catch_up] = counts["no"] - counts["yes"]
    assert abs(lead[True]) <= 1 <= lead[False]
