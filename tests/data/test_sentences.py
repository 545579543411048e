"""The grammar: truth worked out by hand, and by trying everything that boxes and grey paint could hide."""

from random import Random

import pytest

from optima_lab.data.captions import captions
from optima_lab.data.claims import LABEL, NLVR2, SNLI_VE
from optima_lab.data.questions import VQA
from optima_lab.data.sentences import Said, exists, fits
from optima_lab.data.things import BOX, CELLS, COLOURS, GREY, SHAPES, Scene, Thing, completions, draw_pair, draw_scene

# A red star top left, a blue heart in the middle, a second (black) heart bottom right.
SCENE = Scene((Thing("star", "red", 0), Thing("heart", "blue", 4), Thing("heart", "black", 8)), 0)


def said(forms: tuple, *scenes: Scene) -> dict[str, str]:
    return {sentence.text: sentence.answer for form in forms for sentence in form.about(*scenes)}


def test_questions_have_the_answers_of_the_scene() -> None:
    answers = said(VQA, SCENE)
    expected = {
        "what colour is the star?": "red",
        "what is blue?": "heart",
        "how many things are there?": "3",
        "how many hearts are there?": "2",
        "how many things are pink?": "0",
        "is there an anchor?": "no",
        "is there a blue heart?": "yes",
        "is there a blue star?": "no",
        "is anything black?": "yes",
        "is the star at the top?": "yes",
        "is the star on the right?": "no",
    }
    assert {text: answers[text] for text in expected} == expected
    assert "what colour is the heart?" not in answers  # there are two
    assert "is there a green star?" not in answers  # nothing is green: too easy


def test_relations_are_read_off_the_grid() -> None:
    things = (Thing("sun", "red", 1), Thing("note", "blue", 3), Thing("horse", "pink", 7))
    answers = said(VQA, Scene(things, 0))
    assert answers["is the sun above the note?"] == "yes" and answers["is the horse above the note?"] == "no"
    assert answers["is the note left of the horse?"] == "yes"
    assert "is the sun left of the horse?" not in answers  # same column
    assert answers["what is above the note?"] == "sun" and answers["what is below the note?"] == "horse"
    assert "what is below the sun?" not in answers  # two things are


def test_what_is_hidden_leaves_a_claim_open() -> None:
    things = (Thing("star", GREY, 0), Thing(BOX, "red", 4), Thing("heart", "blue", 8))
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
    right = Scene((Thing("star", "green", 2),), 0)
    answers = said(NLVR2, SCENE, right)
    expected = {
        "both pictures show a star": "True",
        "both pictures show something red": "False",
        "there is a heart in at least one picture": "True",
        "neither picture shows an anchor": "True",
        "at least one picture shows something green": "True",
        "the left picture shows something green": "False",
        "there is something green in the right picture": "True",
        "the right picture shows exactly one thing": "True",
        "there are more things in the left picture": "True",
        "the left picture shows exactly two things": "False",
    }
    assert {text: answers[text] for text in expected} == expected


def test_every_answer_is_one_of_the_sentences_answers() -> None:
    random = Random(0)
    for _ in range(200):
        scene, pair = draw_scene(random, random.randint(2, 4), random.randint(0, 2)), draw_pair(random)
        plain = draw_scene(random, random.randint(2, 4))
        for forms, scenes in ((VQA, (plain,)), (SNLI_VE, (scene,)), (NLVR2, pair)):
            for form in forms:
                for sentence in form.about(*scenes):
                    assert isinstance(sentence, Said) and sentence.answer in sentence.answers
                    assert len(sentence.text.split()) <= 14


def test_five_captions_are_different_and_true() -> None:
    random = Random(0)
    for _ in range(100):
        scene = draw_scene(random, random.randint(1, 3), random.randint(0, 1))
        told = captions(random, scene)
        assert len(set(told)) == 5
        for thing in scene.things:
            assert all(f"{thing.colour} {thing.shape}" in caption for caption in told)


def test_relations_in_captions_hold() -> None:
    scene = Scene((Thing("sun", "red", 0), Thing("note", "blue", 5)), 0)
    told = " / ".join(captions(Random(0), scene, 12))
    assert "a red sun above a blue note" in told and "a blue note below a red sun" in told
    assert "left of" not in told and "a red sun below" not in told


def test_fitting_and_existing_by_hand() -> None:
    assert fits(Thing("star", "red", 0), "star") is True and fits(Thing("star", "red", 0), "heart") is False
    assert fits(Thing(BOX, "red", 0), "star", "red") is None and fits(Thing(BOX, "red", 0), "star", "blue") is False
    assert exists((Thing(BOX, GREY, 0), Thing("sun", "pink", 1)), "sun") is True
    assert LABEL[exists((), "sun")] == "contradiction"


def test_scenes_are_drawn_as_asked() -> None:
    random = Random(3)
    for count in (1, 2, 4):
        for hidden in (0, 1):
            scene = draw_scene(random, count, hidden)
            cells = [thing.cell for thing in scene.things]
            assert cells == sorted(set(cells)) and len(cells) == count and max(cells) < CELLS
            assert sum(thing.hidden for thing in scene.things) == hidden
            assert {t.shape for t in scene.things} <= {*SHAPES, BOX}
            assert {t.colour for t in scene.things} <= {*COLOURS, GREY}
