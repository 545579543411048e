"""VQA's questions: answers worked out by hand."""

from random import Random

from optima_lab.data.synthetic.questions import VQA
from optima_lab.data.synthetic.scene import Object, Scene, draw_scene

# A red star top left, a blue heart in the middle, a second (black) heart bottom right.
SCENE = Scene((Object("star", "red", 0), Object("heart", "blue", 4), Object("heart", "black", 8)), 0)


def said(scene: Scene) -> dict[str, str]:
    return {sentence.text: sentence.answer for form in VQA for sentence in form.sentences(scene)}


def test_questions_have_the_answers_of_the_scene() -> None:
    answers = said(SCENE)
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
        "which row is the star in?": "top",
        "which column is the star in?": "left",
    }
    assert {text: answers[text] for text in expected} == expected
    assert "what colour is the heart?" not in answers  # there are two
    assert "is there a green star?" not in answers  # nothing is green: too easy


def test_relations_are_read_off_the_grid() -> None:
    things = (Object("sun", "red", 1), Object("note", "blue", 3), Object("horse", "pink", 7))
    answers = said(Scene(things, 0))
    assert answers["is the sun above the note?"] == "yes" and answers["is the horse above the note?"] == "no"
    assert answers["is the note left of the horse?"] == "yes"
    assert "is the sun left of the horse?" not in answers  # same column
    assert answers["what is above the note?"] == "sun" and answers["what is below the note?"] == "horse"
    assert "what is below the sun?" not in answers  # two things are


def test_every_answer_is_one_of_the_questions_answers() -> None:
    random = Random(0)
    for _ in range(200):
        scene = draw_scene(random, random.randint(2, 4))
        for form in VQA:
            for sentence in form.sentences(scene):
                assert sentence.answer in sentence.answers and len(sentence.text.split()) <= 14
