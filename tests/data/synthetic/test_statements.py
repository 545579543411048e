"""SNLI-VE's hypotheses and NLVR2's statements: by hand, and by trying all that boxes and grey paint could hide."""

from random import Random

import pytest

from optima_lab.data.synthetic.grammar import Form
from optima_lab.data.synthetic.scene import BOX, GREY, Object, Scene, completions, draw_pair, draw_scene
from optima_lab.data.synthetic.statements import NLVR2, SNLI_VE

# A red star top left, a blue heart in the middle, a second (black) heart bottom right.
SCENE = Scene((Object("star", "red", 0), Object("heart", "blue", 4), Object("heart", "black", 8)), 0)


def said(forms: tuple[Form, ...], *scenes: Scene) -> dict[str, str]:
    return {sentence.text: sentence.answer for form in forms for sentence in form.sentences(*scenes)}


def test_what_is_hidden_leaves_a_claim_open() -> None:
    things = (Object("star", GREY, 0), Object(BOX, "red", 4), Object("heart", "blue", 8))
    labels = said(SNLI_VE, Scene(things, 0))
    expected = {
        "there is a star": "entailment",
        "there is a sun": "neutral",
        "there is no heart": "contradiction",
        "something is red": "entailment",
        "something is green": "neutral",
        "nothing is blue": "contradiction",
        "there is a red anchor": "neutral",
        "there is a pink note": "contradiction",
    }
    assert {text: labels[text] for text in expected} == expected
    assert "the heart is blue" not in labels  # the red box could be another heart
    alone = said(SNLI_VE, Scene(things[:1], 0))
    assert alone["the star is green"] == "neutral" and alone["the star is not green"] == "neutral"
    box = said(SNLI_VE, Scene(things[1:], 0))
    assert box["the red thing is a sun"] == "neutral" and box["the blue thing is a sun"] == "contradiction"


@pytest.mark.parametrize("seed", range(25))
def test_a_claim_is_entailed_if_it_holds_in_every_completion(seed: int) -> None:
    """Hypotheses of a scene with something hidden, against their truth in all that it could be."""
    scene = draw_scene(Random(seed), 3, 1 + seed % 2)
    worlds = [Scene(way, 0) for way in completions(scene)]
    worlds = worlds if len(worlds) <= 96 else Random(seed).sample(worlds, 96)
    truths = [said(SNLI_VE, world) for world in worlds]
    for text, label in said(SNLI_VE, scene).items():
        found = {truth[text] for truth in truths if text in truth}
        if label == "neutral":
            assert found <= {"entailment", "contradiction"} and (len(found) == 2 or len(worlds) == 96), (text, scene)
        else:
            assert found == {label}, (text, scene)


def test_statements_compare_two_pictures() -> None:
    right = Scene((Object("star", "green", 2),), 0)
    answers = said(NLVR2, SCENE, right)
    expected = {
        "both pictures show a star": "True",
        "both pictures show something red": "False",
        "neither picture shows an anchor": "True",
        "at least one picture shows something green": "True",
        "the left picture shows something green": "False",
        "there is something green in the right picture": "True",
        "there are more things in the left picture": "True",
    }
    assert {text: answers[text] for text in expected} == expected


def test_every_answer_is_one_of_the_claims_answers() -> None:
    random = Random(0)
    for _ in range(200):
        scene, pair = draw_scene(random, random.randint(2, 3), random.randint(0, 2)), draw_pair(random)
        for forms, scenes in ((SNLI_VE, (scene,)), (NLVR2, pair)):
            for form in forms:
                for sentence in form.sentences(*scenes):
                    assert sentence.answer in sentence.answers and len(sentence.text.split()) <= 14
