"""VQA's accuracy by hand, CIDEr against published numbers, greedy captions against a naive loop, and whole splits."""

import json
from math import isnan
from pathlib import Path
from random import Random

import numpy as np
import official_vqa
import pytest
import torch
from small import ANSWERS, BOS, EOS, PAD, TOKENS, Words, config, shaken, shape, task_data, task_model
from torch.nn import functional as F

from optima_lab.coca.generation import Continuation
from optima_lab.coca.model import TaskModel, build
from optima_lab.data.answers import normalize_answer
from optima_lab.distill.losses import kl_divergence
from optima_lab.tasks import metrics as module
from optima_lab.tasks.caption_metrics import bleu4, rouge_l
from optima_lab.tasks.metrics import caption_scores, caption_words, cider, evaluate, generate, row_scores, vqa_accuracy
from optima_lab.tasks.objectives import predict, to_device

REALDATA = Path(__file__).parents[3] / "shared" / "realdata"
CIDER_CHECK = REALDATA / "cider_check"


# ---- VQA ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        # Ten subsets of nine: m of them lack one match. (m · min(1, (m−1)/3) + (10−m) · min(1, m/3)) / 10
        (0, 0.0),
        (1, 0.3),  # (1·0 + 9·⅓) / 10
        (2, 0.6),  # (2·⅓ + 8·⅔) / 10
        (3, 0.9),  # (3·⅔ + 7·1) / 10
        (4, 1.0),
        (5, 1.0),
        (10, 1.0),
    ],
)
def test_vqa_accuracy_by_hand(matches: int, expected: float):
    answers = ["red"] * matches + [f"colour {n}" for n in range(10 - matches)]
    assert vqa_accuracy("red", answers) == pytest.approx(expected)
    leave_one_out = [min(1.0, sum(a == "red" for a in answers[:n] + answers[n + 1 :]) / 3) for n in range(10)]
    assert vqa_accuracy("red", answers) == pytest.approx(np.mean(leave_one_out))


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("dog", "a dog"),
        ("The dog", "dog"),
        ("Red", "red"),
        ("2", "two"),
        ("none", "0"),
        ("yes", "yes."),
        ("yes!", "Yes"),
        ("dont", "don't"),
        ("red, blue", "red blue"),
        ("  yes ", "yes"),
        ("left/right", "left right"),
    ],
)
def test_answers_are_compared_as_the_official_evaluation_does(prediction: str, answer: str):
    answers = [answer] * 4 + ["something else"] * 6
    assert vqa_accuracy(prediction, answers) == 1.0


@pytest.mark.parametrize(("prediction", "answer"), [("2.5", "25"), ("dog", "dogs"), ("11", "1 1"), ("", "yes")])
def test_unlike_answers_stay_unlike(prediction: str, answer: str):
    assert vqa_accuracy(prediction, [answer] * 10) == 0.0


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [("1 way", "one way"), ("red", "RED"), ("dog", "a dog"), ("dont", "don't"), ("yes", "yes."), ("a b", "a-b")],
)
def test_where_all_ten_agree_only_their_very_answer_is_right(prediction: str, answer: str):
    """The official evaluation normalises neither side then; as soon as one of the ten differs, both."""
    assert vqa_accuracy(prediction, [answer] * 10) == 0.0
    assert vqa_accuracy(answer, [answer] * 10) == 1.0
    assert vqa_accuracy(f" {answer}\n", [answer, f"{answer}\t"] * 5) == 1.0  # space around is never looked at
    assert vqa_accuracy(prediction, [answer] * 9 + ["something else"]) == 1.0


_SPELLED = "one two none ten a an the A The way dog red RED don't dont somebody'd youve 1,000 2.5 3 . , ! - ? / '"
_PIECES = [*_SPELLED.split(" "), "\t", "\n"]


def random_answers(count: int):
    """So many predictions with ten answers each, which often agree, differ in case or in punctuation."""
    draw = Random(16)
    for _ in range(count):
        pool = ["".join(draw.choice(_PIECES) + draw.choice(("", " ", " ")) for _ in range(draw.randint(0, 4)))]
        pool += [pool[0].upper(), pool[0] + draw.choice((".", "!", " ")), draw.choice(_PIECES)]
        answers = [draw.choice(pool[: draw.choice((1, 1, 2, 4))]) for _ in range(10)]
        yield draw.choice([*pool, normalize_answer(pool[0])]), answers


@pytest.mark.parametrize("count", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_accuracy_is_the_official_one_on_random_answers(count: int):
    agreed = 0
    for prediction, answers in random_answers(count):
        assert vqa_accuracy(prediction, answers) == pytest.approx(official_vqa.accuracy(prediction, answers)), answers
        assert normalize_answer(prediction) == official_vqa.processed(official_vqa.cleaned(prediction)), prediction
        agreed += len(set(answers)) == 1
    assert count / 10 < agreed < count  # both ways are walked


def test_ties_are_both_right():
    answers = ["yes"] * 5 + ["no"] * 5
    assert vqa_accuracy("yes", answers) == vqa_accuracy("no", answers) == 1.0
    assert vqa_accuracy("maybe", answers) == 0.0


# ---- CIDEr ----------------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_cider_is_the_published_one():
    if not CIDER_CHECK.is_dir():
        pytest.skip(f"no published scores at {CIDER_CHECK}")
    lines = {path.stem: path.read_text().splitlines() for path in CIDER_CHECK.glob("*.txt")}
    expected = json.loads((CIDER_CHECK / "expected.json").read_text())["CIDEr"]
    references = list(zip(lines["ref1"], lines["ref2"], strict=True))
    assert cider(lines["hyp"], references) == pytest.approx(expected, abs=1e-4)


def test_cider_of_perfect_and_of_unrelated_captions(capsys):
    references = [["a red star left of a blue moon"], ["two green hearts near a snowman"]]
    assert cider([r[0] for r in references], references) == pytest.approx(10.0)  # CIDEr is a cosine × 10
    assert cider(["nothing here", "nor there"], references) == 0.0
    assert capsys.readouterr().out == ""  # pycocoevalcap prints; we do not


@pytest.mark.realdata
def test_cider_of_people_is_that_with_the_penn_treebank_tokenizer():
    """77.00490: pycocoevalcap's score of each of 991 pictures' first caption against its others, words by the jar."""
    pictures = json.loads((REALDATA / "coco" / "dataset_coco.json").read_text())["images"]
    words = [[caption_words(sentence["raw"]) for sentence in picture["sentences"]] for picture in pictures]
    assert len(words) == 991
    assert 100 * cider([each[0] for each in words], [each[1:] for each in words]) == pytest.approx(77.00490, abs=1e-4)


@pytest.mark.parametrize(
    "references",
    [
        [["a red star"]],  # one picture: every word belongs to all of them
        [["a red star", "a star, red"]],
        [],
        [["a dog"], ["a dog"]],  # two of the same words
        [["a dog", "a cat"], ["a cat", "a dog"], ["a dog", "a cat"]],
        [[""], [""]],
    ],
)
def test_cider_is_not_defined_where_no_word_weighs_anything(references: list[list[str]]):
    assert isnan(cider([each[0] for each in references], references))


def test_cider_is_defined_as_soon_as_two_pictures_differ():
    assert cider(["a dog", "a dog"], [["a dog"], ["a dog here"]]) >= 0.0
    assert cider(["a cat", "a dog"], [["a cat"], ["a dog"]]) > 0.0


def test_bleu_and_rouge_by_hand():
    """Written 'a b c d e' against 'a b c d f': 4/5, 3/4, 2/3 and 1/2 of the n-grams, no brevity: (1/5)^(1/4).

    The longest common subsequence is 4 of 5 words both ways, so F is 4/5 whatever β.
    """
    assert bleu4(["a b c d e"], [["a b c d f"]]) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25, rel=1e-6)
    assert rouge_l(["a b c d e"], [["a b c d f"]]) == pytest.approx(0.8)
    # Shorter than its reference, 4 words to 5: all n-grams right, times exp(1 - 5/4); P = 1, R = 4/5, β = 1.2.
    assert bleu4(["a b c d"], [["a b c d e"]]) == pytest.approx(np.exp(-0.25), rel=1e-6)
    assert rouge_l(["a b c d"], [["a b c d e"]]) == pytest.approx((1 + 1.44) * 0.8 / (0.8 + 1.44))
    assert rouge_l(["x", ""], [["y"], ["z"]]) == 0.0 and bleu4(["x", ""], [["y"], ["z"]]) < 1e-6


def test_bleu_counts_over_the_corpus_and_rouge_is_a_mean(capsys):
    written, references = ["a b c d e", "x y z u v"], [["a b c d e"], ["q r s t p"]]
    assert bleu4(written, references) == pytest.approx((5 / 10 * 4 / 8 * 3 / 6 * 2 / 4) ** 0.25, rel=1e-6)
    assert rouge_l(written, references) == pytest.approx(0.5)
    assert capsys.readouterr().out == ""


def test_words_of_a_caption():
    assert caption_words("A man, with a  dog's ball - up-side.") == "a man with a dog 's ball up-side"
    assert caption_words("Two   dogs!") == "two dogs"


# ---- greedy captions ------------------------------------------------------------------------------------------------


def naive(model, image, length: int) -> list[int]:
    """One picture, one token at a time, everything anew through open_clip's own forward."""
    row = [BOS]
    while len(row) < length and row[-1] != EOS:
        logits = model(image[None], torch.tensor([row]), output_labels=False)["logits"]
        row.append(int(logits[0, -1].argmax()))
    return row + [PAD] * (length - len(row))


@pytest.mark.parametrize("queries", [0, 3])
def test_greedy_captions_are_those_of_a_naive_loop(queries: int):
    coca = shaken(build(shape(image_queries=queries), 0)).eval()
    images = 3 * torch.randn(24, 1, 3, 8, 8)
    with torch.no_grad():
        coca.text_decoder.text_projection[:, PAD] = 0  # its logit is 0: never the best of 23
        expected = torch.tensor([naive(coca, image[0], TOKENS) for image in images])
        found = generate(TaskModel(coca, None, 4), images, Words(), TOKENS)
    assert torch.equal(found, expected)
    assert len(found.unique(dim=0)) > 1  # captions differ


def scripted(monkeypatch, rows: list[list[int]]) -> None:
    """Let the decoder say these tokens, whatever it sees."""
    script = F.one_hot(torch.tensor(rows), 23).float()
    monkeypatch.setattr(Continuation, "next_logits", lambda self, token, position: script[:, position + 1])


def test_a_caption_ends_at_its_first_end_token(monkeypatch):
    rows = [[BOS, 5, EOS, 7, 8, 9, 9, 9, 9], [BOS, 6, 7, 8, EOS, 9, EOS, 9, 9], [BOS, 4, 4, 4, 4, 4, 4, 4, 4]]
    scripted(monkeypatch, rows)
    found = generate(TaskModel(build(shape(), 0), None, 4), torch.zeros(3, 1, 3, 8, 8), Words(), TOKENS)
    assert found.tolist() == [[BOS, 5, EOS, 0, 0, 0, 0, 0, 0], [BOS, 6, 7, 8, EOS, 0, 0, 0, 0], rows[2]]
    assert [Words().decode(row) for row in found.tolist()] == ["w5", "w6 w7 w8", "w4 " * 7 + "w4"]


def test_writing_stops_when_all_captions_have_ended(monkeypatch):
    scripted(monkeypatch, [[BOS, 5, EOS] + [9] * 6, [BOS, 6, 7, EOS] + [9] * 5])
    calls, scripted_logits = [], Continuation.next_logits
    monkeypatch.setattr(Continuation, "next_logits", lambda *args: (calls.append(1), scripted_logits(*args))[1])
    generate(TaskModel(build(shape(), 0), None, 4), torch.zeros(2, 1, 3, 8, 8), Words(), TOKENS)
    assert len(calls) == 3  # not 8


# ---- whole splits ---------------------------------------------------------------------------------------------------


def models_of(task: str):
    data, settings = task_data(task), config(task)
    students = [shaken(task_model("student", settings, seed, data)) for seed in (0, 1)]
    return data, students, shaken(task_model("teacher", settings, 2, data))


@pytest.mark.parametrize("task", ["vqa", "snli_ve", "nlvr2", "coco"])
def test_results_do_not_depend_on_the_size_of_batches(task: str):
    """11 examples in batches of 7 + 4: a mean of two batches' means would weigh the last four too much."""
    data, students, teacher = models_of(task)
    rows = np.arange(len(data.test))
    one, parts = (evaluate(students, teacher, data, data.test, rows, size) for size in (64, 7))
    for a, b in zip(one, parts, strict=True):
        assert a.metrics() == pytest.approx(b.metrics(), rel=1e-5)
        assert np.array_equal(a.right, b.right)
        assert set(a.metrics()) == {"score", "prediction_loss", "kl"} | (
            {"bleu4", "rouge_l"} if task == "coco" else set()
        )
    assert one[0].prediction_loss != pytest.approx(one[1].prediction_loss)


def test_losses_and_scores_of_a_classification_by_hand():
    data, (student, _), teacher = models_of("vqa")
    rows = np.array([0, 2, 3, 7, 10])
    found = evaluate([student], teacher, data, data.test, rows, 2)[0]
    batch = to_device(data.test.take(rows), torch.device("cpu"))
    with torch.no_grad():
        ours, theirs = predict(student, batch), predict(teacher, batch)
    right = data.test.targets[rows].argmax(-1)
    assert found.prediction_loss == pytest.approx(F.cross_entropy(ours, torch.from_numpy(right)).item(), rel=1e-5)
    assert found.kl == pytest.approx(kl_divergence(ours, theirs).item(), rel=1e-5)
    hits = (ours.argmax(-1).numpy() == right).astype(float)
    assert found.right.tolist() == hits.tolist()
    assert found.score == pytest.approx(100 * hits.mean())


def test_losses_of_captions_weigh_tokens_not_captions():
    data, (student, _), teacher = models_of("coco")
    rows = data.test.first_rows()
    found = evaluate([student], teacher, data, data.test, rows, 3)[0]
    batch = to_device(data.test.take(rows), torch.device("cpu"))
    with torch.no_grad():
        ours, theirs = predict(student, batch), predict(teacher, batch)
    nexts = batch.tokens[:, 1:]
    expected = F.cross_entropy(ours.flatten(0, 1), nexts.flatten(), ignore_index=PAD)
    assert found.prediction_loss == pytest.approx(expected.item(), rel=1e-5)
    assert found.kl == pytest.approx(kl_divergence(ours[nexts != PAD], theirs[nexts != PAD]).item(), rel=1e-5)


def test_without_a_teacher_there_is_no_kl():
    data, students, _ = models_of("snli_ve")
    found = evaluate(students, None, data, data.dev, np.arange(4), 3)
    assert [set(result.metrics()) for result in found] == [{"score", "prediction_loss"}] * 2


def test_the_teacher_runs_once_a_batch_for_all(monkeypatch):
    data, students, teacher = models_of("vqa")
    asked = []
    original = module.predict
    monkeypatch.setattr(module, "predict", lambda model, batch: (asked.append(model), original(model, batch))[1])
    evaluate(students, teacher, data, data.test, np.arange(11), 4)
    assert sum(model is teacher for model in asked) == 3
    assert len(asked) == 9


def test_evaluating_leaves_no_gradient_and_no_change():
    data, (student, _), teacher = models_of("vqa")
    before = [p.detach().clone() for p in student.parameters()]
    evaluate([student], teacher, data, data.test, np.arange(5), 4)
    assert all(torch.equal(p, q) and p.grad is None for p, q in zip(student.parameters(), before, strict=True))


def test_row_scores():
    vqa, other = task_data("vqa"), task_data("nlvr2")
    chosen = [ANSWERS.index(vqa.test.references[n][0]) for n in (3, 1)]
    assert row_scores(vqa, vqa.test, np.array([3, 1]), chosen).tolist() == [1.0, 1.0]
    assert row_scores(vqa, vqa.test, np.array([3, 1]), [(c + 1) % 4 for c in chosen]).tolist() == [0.0, 0.0]
    right = other.test.targets[[4, 5]].argmax(-1).tolist()
    assert row_scores(other, other.test, np.array([4, 5]), [right[0], 1 - right[1]]).tolist() == [1.0, 0.0]


def test_one_caption_is_written_for_every_picture(monkeypatch):
    """Two rows a picture: their order decides nothing, and every picture meets its own references."""
    data, (student, _), _ = models_of("coco")
    shown = []

    def said(model, images, tokenizer, length):
        shown.append(len(images))
        first = [data.test.tokens[2 * picture_number(data, image)] for image in images]
        return torch.from_numpy(np.stack(first))

    monkeypatch.setattr(module, "generate", said)
    rows = np.array([5, 4, 1, 0, 12])  # pictures 2, 2, 0, 0, 6
    perfect = caption_scores(student, data, data.test, rows, 2)["cider"] / 100.0
    assert sum(shown) == 3
    references = [data.test.references[n] for n in (2, 0, 6)]
    assert perfect == pytest.approx(cider([r[0] for r in references], references))


def test_one_picture_has_no_score_but_the_other_metrics(monkeypatch):
    data, (student, _), _ = models_of("coco")
    monkeypatch.setattr(
        module,
        "generate",
        lambda *_: torch.from_numpy(data.test.tokens[:1]),  # word by word its first caption
    )
    found = evaluate([student], None, data, data.test, np.array([0, 1]), 4)[0]
    assert set(found.metrics()) == {"prediction_loss", "bleu4", "rouge_l"}
    assert found.metrics()["bleu4"] == pytest.approx(100.0) and found.metrics()["rouge_l"] == pytest.approx(100.0)


def picture_number(data, image) -> int:
    """Which of the test pictures this is."""
    raw = (image[0].permute(1, 2, 0) + 1) * 127.5
    return int(np.abs(data.test.images - raw.numpy()).sum((1, 2, 3)).argmin())
