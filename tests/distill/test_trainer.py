"""Algorithm 1, read back from its records, and what students of a population share and do not share."""

import subprocess
import sys
from dataclasses import replace
from math import isfinite, isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from small import PAD, TOKENS, VOCABULARY, config, distilled, pupil, shaken, task_data, task_model
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from optima_lab.bandits.arms import ARMS, LABELS, LWD, MODULES, parse_arm
from optima_lab.bandits.policies import make_policy
from optima_lab.coca import forward as walk_module
from optima_lab.coca.forward import every_layer, walk
from optima_lab.coca.model import TaskModel, build, coca_config, dropout_mask
from optima_lab.config.parameters import override
from optima_lab.data.batches import _cut, order, probe
from optima_lab.data.datasets import SPLITS, TaskData
from optima_lab.distill.layers import Projections
from optima_lab.distill.losses import attention_loss, hidden_loss, kl_divergence
from optima_lab.distill.optim import build_optimizer
from optima_lab.distill.rewards import ProbeLosses, reward
from optima_lab.distill.seeds import derive_seed, stream_seed
from optima_lab.distill.strategies import parse_strategies
from optima_lab.errors import ConfigError
from optima_lab.tasks.distillation import CoCaDistillation
from optima_lab.tasks.objectives import logits, to_device
from optima_lab.tasks.recipes import new_student

CPU = torch.device("cpu")


def a_teacher(settings, data: TaskData) -> TaskModel:
    torch.manual_seed(5)
    return shaken(task_model("teacher", settings, 1, data), 0.1)


def students_of(names: str, settings, data: TaskData, teacher: TaskModel) -> list:
    """New students, all from the same parameters."""
    strategies = parse_strategies(names, settings)
    return [pupil(settings, s, task_model("student", settings, 0, data), teacher) for s in strategies]


def train(names: str, settings, data: TaskData | None = None):
    """(students, their round records, their step records) after all rounds."""
    data = data or task_data(settings.task)
    teacher = a_teacher(settings, data)
    students = students_of(names, settings, data, teacher)
    rounds, steps = [[] for _ in students], [[] for _ in students]
    for _, taken in distilled(settings, teacher, students, data):
        for n, (records, lines) in enumerate(taken):
            rounds[n] += records
            steps[n] += lines
    return students, rounds, steps


# ---- the bandit's side ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def optima():
    """T0 = 1: seven initial rounds, then five of OPTIMA's own."""
    torch.set_num_threads(1)
    settings = config(steps=24, round_steps=2, seed=3)
    (student,), (rounds,), (steps,) = train("optima", settings)
    return settings, student, rounds, steps


def test_records_follow_eqs_2_and_7(optima):
    settings, _, rounds, _ = optima
    mean, plays, rewards = [0.0] * 7, [0.0] * 7, {label: [] for label in LABELS}
    assert [record["initial"] for record in rounds] == [True] * 7 + [False] * 5
    for record in rounds:
        k = LABELS.index(record["arm"])
        assert (record["mean_before"], record["plays_before"]) == (pytest.approx(mean), plays)
        rewards[record["arm"]].append(record["reward"])
        if record["initial"]:
            assert record["draws"] == [None] * 7
            mean[k] = sum(rewards[record["arm"]]) / len(rewards[record["arm"]])  # μ⁰: the plain average
        else:
            assert record["draws"].index(max(record["draws"])) == k  # line 8
            mean[k] = (
                settings.distillation.decay * mean[k] + (1 - settings.distillation.decay) * record["reward"]
            )  # Eq. 7
        plays[k] += 1
        assert (record["mean_after"], record["plays_after"]) == (pytest.approx(mean), plays)
    assert sum(plays) == len(rounds) == 12


def test_first_rounds_of_all_modules_are_seen_by_no_bandit():
    settings = config(steps=24, round_steps=2, seed=3)
    _, (rounds,), _ = train("optima:full_rounds=4", settings)
    assert [record["arm"] for record in rounds[:4]] == ["Img+Txt+Multi"] * 4
    for record in rounds[:4]:
        assert record["initial"] and record["draws"] == [None] * 7 and record["plays_after"] == [0.0] * 7
    assert sorted(record["arm"] for record in rounds[4:11]) == sorted(LABELS)  # T0 = 1: each once, as if at the start
    assert not rounds[11]["initial"] and sum(rounds[11]["plays_after"]) == 8.0


def test_weighing_all_modules_alike_is_matching_all_of_them():
    settings = config(steps=8, round_steps=2, seed=3)
    names = "img+txt+multi,img,img:unchosen_weight=1,img:unchosen_weight=0.5,optima:unchosen_weight=1"
    _, _, (lwd, img, alike, between, optima) = train(names, settings)
    assert alike == lwd == optima
    hidden = [[line["hidden"] for line in lines] for lines in (lwd, img, between)]
    assert hidden[0] != hidden[1] and hidden[2] not in hidden[:2]


def test_rewards_are_divided_by_what_the_arm_costs():
    settings = config(steps=24, round_steps=2, seed=3)
    _, (rounds,), _ = train("optima_calibrated:module_cost=0.5", settings)
    for record in rounds:
        mean = sum(record[f"ratio_{name}"] for name in ("kl", "hidden", "attention")) / 3
        assert record["reward"] == pytest.approx(mean / (1 + 0.5 * record["arm"].count("+")))
    assert rounds[0]["mean_after"][LABELS.index(rounds[0]["arm"])] == pytest.approx(rounds[0]["reward"])


def test_recorded_rewards_through_the_policy_give_the_recorded_run(optima):
    settings, _, rounds, _ = optima
    policy = make_policy("optima", decay=settings.distillation.decay, initial_plays=1)
    generator = np.random.default_rng(stream_seed(settings, "policy"))
    state = policy.init(7, 1, generator)
    for record in rounds:
        selection = policy.select(state, generator)
        assert LABELS[selection.arm[0]] == record["arm"]
        draws = [None if isnan(draw) else draw for draw in selection.scores[0]]
        assert draws == record["draws"]
        state = policy.update(state, selection.arm, np.array([record["reward"]]))
        assert state["mean"][0].tolist() == record["mean_after"]
        assert state["plays"][0].tolist() == record["plays_after"]


def test_every_arm_is_played_t0_times_first_in_random_order():
    settings = config(steps=15, round_steps=1, initial_plays=2)
    _, (rounds, others), _ = train("optima,optima_calibrated", settings)
    first = [record["arm"] for record in rounds[:14]]
    assert sorted(first) == sorted(2 * LABELS)
    assert first not in (sorted(first), list(2 * LABELS), [label for label in LABELS for _ in range(2)])
    assert [record["initial"] for record in rounds] == [True] * 14 + [False]
    assert [record["arm"] for record in others[:14]] == first  # streams of their own, from the same seed


def test_temperature_and_the_tasks_weight_reach_the_step_and_the_probe():
    """Of one population, from the same parameters: the first step's total by hand from its losses."""
    names = "img:alpha_kl=1.0,img:alpha_kl=1.0:kl_temperature=4.0,img:alpha_kl=1.0:task_weight=0.25"
    settings = config(steps=2, round_steps=2)
    _, rounds, steps = train(names, settings)
    usual, warm, light = (lines[0] for lines in steps)
    assert usual["train"] == warm["train"] == light["train"] and usual["kl"] == light["kl"] != warm["kl"]
    for line, weight in ((usual, 1.0), (warm, 1.0), (light, 0.25)):
        layers = (
            settings.distillation.alpha_hidden * line["hidden"]
            + settings.distillation.alpha_attention * line["attention"]
        )
        assert line["total"] == pytest.approx(weight * line["train"] + line["kl"] + layers)
    assert rounds[1][0]["probe_kl"] != pytest.approx(rounds[0][0]["probe_kl"], rel=1e-3)


def test_fixed_and_random_strategies_have_no_posterior():
    _, (none, img, random), _ = train("none,img,random", config(steps=8))
    assert [record["arm"] for record in none] == [None] * 4
    assert [record["arm"] for record in img] == ["Img"] * 4
    assert {record["arm"] for record in random} <= set(LABELS)
    for records in (none, img):
        assert all(record["draws"] is record["mean_after"] is record["plays_after"] is None for record in records)
    assert all(record["mean_after"] is None and len(record["draws"]) == 7 for record in random)
    assert sum(random[-1]["plays_after"]) == 4


# ---- the reward -----------------------------------------------------------------------------------------------------


def probe_losses(settings, data: TaskData, teacher, student) -> ProbeLosses:
    """Eq. 6's losses, written out: the probe's rows, every layer of the student, no dropout."""
    rows = probe(stream_seed(settings, "probe"), len(data.train), settings.distillation.probe_size)
    batch = to_device(data.train.take(rows), CPU)
    matched = {"image": [2, 4], "text": [3], "decoder": [2]}  # ⌈4i/2⌉, ⌈3i/1⌉, ⌈2i/1⌉
    with torch.no_grad():
        ours = walk(student.model.coca, batch.images, batch.tokens, collect=every_layer(student.model.coca))
        theirs = walk(teacher.coca, batch.images, batch.tokens, collect=matched)
        prediction, target = logits(student.model, ours), logits(teacher, theirs)
        train_loss = F.cross_entropy(prediction, batch.targets.argmax(-1))
        losses = (
            train_loss,
            kl_divergence(prediction, target),
            hidden_loss(ours, theirs, student.projections, LWD),
            attention_loss(ours, theirs, LWD),
        )
    return ProbeLosses(*(loss.item() for loss in losses))


def test_rewards_are_measured_over_all_layers_whatever_the_arm():
    """And on one fixed batch; a round starts from the losses that the round before ended with."""
    settings, data = config(steps=8, seed=2), task_data()
    teacher = a_teacher(settings, data)
    students = students_of("none,img,optima,optima:reward=kl", settings, data, teacher)
    variants = ["all", "all", "all", "kl"]
    before = [probe_losses(settings, data, teacher, student) for student in students]
    for _, taken in distilled(settings, teacher, students, data):
        for n, (student, ((record,), _)) in enumerate(zip(students, taken, strict=True)):
            after = probe_losses(settings, data, teacher, student)
            found = ProbeLosses(*(record[f"probe_{name}"] for name in ProbeLosses._fields))
            assert found == pytest.approx(after, rel=1e-5)
            expected = reward(before[n], after, variants[n])
            assert record["reward"] == pytest.approx(expected.value, rel=1e-3, abs=1e-5)
            for name in ("kl", "hidden", "attention"):
                assert record[f"ratio_{name}"] == pytest.approx(getattr(expected, name), rel=1e-3, abs=1e-5)
            before[n] = after


# ---- the students ---------------------------------------------------------------------------------------------------


def test_a_student_in_a_population_is_the_same_student_alone():
    settings = config(steps=20, round_steps=2, initial_plays=1)
    names = ["none", "kl", "img+multi", "random", "optima"]
    together, rounds, steps = train(",".join(names), settings)
    for n, name in enumerate(names):
        (alone,), (alone_rounds,), (alone_steps,) = train(name, settings)
        assert [r["arm"] for r in alone_rounds] == [r["arm"] for r in rounds[n]]
        assert [s["train"] for s in alone_steps] == pytest.approx([s["train"] for s in steps[n]], abs=1e-5)
        assert [s["hidden"] is None for s in alone_steps] == [s["hidden"] is None for s in steps[n]]
        for module, other in ((alone.model, together[n].model), (alone.projections, together[n].projections)):
            for p, q in zip(module.parameters(), other.parameters(), strict=True):
                torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-5)


def test_rounds_of_different_lengths_and_views_live_in_one_population():
    settings = config(steps=8, round_steps=4, initial_plays=0)
    names = ["optima", "optima:round_steps=2", "optima:round_steps=8", "img+txt+multi:attention=weights", "dide"]
    together, rounds, steps = train(",".join(names), settings)
    assert [[record["step"] for record in records] for records in rounds] == [[4, 8], [2, 4, 6, 8], [8], [4, 8], [4, 8]]
    assert [[record["round"] for record in records] for records in rounds[1:3]] == [[1, 2, 3, 4], [1]]
    for n, name in enumerate(names):
        assert [line["step"] for line in steps[n]] == list(range(1, 9))
        (alone,), (alone_rounds,), (alone_steps,) = train(name, settings)
        assert [r["arm"] for r in alone_rounds] == [r["arm"] for r in rounds[n]]
        assert [s["attention"] for s in alone_steps] == pytest.approx([s["attention"] for s in steps[n]], abs=1e-5)
        for p, q in zip(alone.model.parameters(), together[n].model.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", ["vqa", "nlvr2", "coco"])
def test_four_pieces_of_two_equal_a_batch_of_eight(task: str):
    """Texts are of different lengths: a mean of the pieces' means would be another number."""
    names = "img+txt+multi,kl,optima,multi:decoder_attention=cross"
    whole, _, steps = train(names, config(task, steps=6, batch_size=8))
    pieces, _, others = train(names, config(task, steps=6, batch_size=8, accumulate=4))
    for ours, theirs, lines, found in zip(whole, pieces, steps, others, strict=True):
        for name in ("train", "kl", "hidden", "attention", "total"):
            expected = [line[name] for line in lines]
            assert [line[name] for line in found] == (pytest.approx(expected, rel=1e-4) if expected[0] else expected)
        for (name, p), q in zip(ours.model.named_parameters(), theirs.model.parameters(), strict=True):
            if not name.endswith("in_proj_bias"):  # of keys: no softmax moves, the gradient is noise scaled by Adam
                torch.testing.assert_close(p, q, rtol=1e-3, atol=2e-4)


def test_a_batch_of_two_has_no_three_pieces():
    with pytest.raises(ConfigError, match="accumulate must not exceed batch_size=2, got 3"):
        config(batch_size=2, accumulate=3)


def test_a_baseline_has_its_own_weights_of_eq_5():
    settings = config(steps=2, alpha_attention=0.5)
    _, _, (dide, weights) = train("dide,multi:attention=weights", settings)
    for line in dide:
        assert line["total"] == pytest.approx(line["train"] + line["kl"] + 0.5 * line["attention"], rel=1e-5)
    assert all(line["kl"] is None for line in weights)


def test_the_same_seed_gives_the_same_records_to_the_bit():
    settings = config(steps=8)
    first, second = (train("img,optima", settings) for _ in range(2))
    assert repr(first[1:]) == repr(second[1:])
    other = train("img,optima", override(settings, {"seed": 1}))
    assert [r["arm"] for r in other[1][1]] != [r["arm"] for r in first[1][1]]
    assert other[2][0][0]["train"] != first[2][0][0]["train"]


def test_numbers_drawn_elsewhere_change_nothing():
    settings, data = config(steps=4), task_data()
    expected = train("optima", settings, data)[2]
    teacher = a_teacher(settings, data)
    students = students_of("optima", settings, data, teacher)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    found = [step for _, ((_, lines),) in distilled(settings, teacher, students, data) for step in lines]
    assert found == expected[0]


def test_two_steps_by_hand():
    """Lines 11–13 with everything written out: batch, dropout, schedule, Eq. 5, clip, update."""
    settings, data = config(steps=2, round_steps=2, seed=4, warmup_steps=2, dropout=0.5), task_data()
    teacher = a_teacher(settings, data)
    (student,), _, (steps,) = train("img+txt", settings, data)

    model = task_model("student", settings, 0, data)
    w = Projections(model.shapes(), teacher.shapes(), stream_seed(settings, "projections"))
    parts = [(model, settings.training.lr), (w, settings.training.lr)]
    optimizer = build_optimizer(settings.optim, parts)
    arm = parse_arm("img+txt")
    for step in (1, 2):
        rows = order(stream_seed(settings, "batches"), step - 1, settings.training.batch_size, len(data.train))
        batch = to_device(data.train.take(rows), CPU)
        keep = dropout_mask(derive_seed(stream_seed(settings, "dropout"), step), settings.training.batch_size, 16, 0.5)
        ours = walk(model.coca, batch.images, batch.tokens, collect=every_layer(model.coca))
        with torch.no_grad():
            theirs = walk(teacher.coca, batch.images, batch.tokens, collect={"image": [2, 4], "text": [3]})
        train_loss = F.cross_entropy(logits(model, ours, keep), batch.targets.argmax(-1))
        hidden, attention = hidden_loss(ours, theirs, w, arm), attention_loss(ours, theirs, arm)
        total = (
            train_loss + settings.distillation.alpha_hidden * hidden + settings.distillation.alpha_attention * attention
        )
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_([*model.parameters(), *w.parameters()], settings.optim.clip)
        for group in optimizer.param_groups:
            group["lr"] = settings.training.lr * step / 2  # warm-up of two steps
        optimizer.step()
        values = {"train": train_loss, "hidden": hidden, "attention": attention, "total": total}
        assert {name: steps[step - 1][name] for name in values} == pytest.approx(
            {name: value.item() for name, value in values.items()}, rel=1e-5
        )
        assert steps[step - 1]["lr"] == pytest.approx(settings.training.lr * step / 2)
    for mine, theirs in ((model, student.model), (w, student.projections)):
        for (name, p), q in zip(mine.named_parameters(), theirs.parameters(), strict=True):
            if name.endswith("in_proj_bias"):  # a bias of keys moves no softmax: its gradient is noise, scaled by Adam
                p, q = (torch.cat([x[: len(x) // 3], x[2 * len(x) // 3 :]]) for x in (p, q))
            torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


def test_matrices_outside_the_arm_stay_as_they_are():
    settings, data = config(steps=10, weight_decay=0.1), task_data()
    teacher = a_teacher(settings, data)
    students = students_of("img,none,optima", settings, data, teacher)

    def matrices() -> list:
        return [{m: [w.detach().clone() for w in getattr(s.projections, m)] for m in MODULES} for s in students]

    before, played = matrices(), set()
    for _, taken in distilled(settings, teacher, students, data):
        after = matrices()
        for ((record,), _), old, new in zip(taken, before, after, strict=True):
            arm = parse_arm(record["arm"]) if record["arm"] else frozenset()
            played.add(arm)
            for module in MODULES:
                moved = [not torch.equal(a, b) for a, b in zip(old[module], new[module], strict=True)]
                assert moved == [module in arm] * len(moved)
        before = after
    assert len(played) > 3


def test_what_was_not_computed_is_none_and_the_total_adds_up():
    settings = config(steps=4, alpha_hidden=0.5, alpha_attention=0.1)
    _, _, steps = train("none,kl,img+txt+multi", settings)
    none, kl, lwd = steps
    assert [record["step"] for record in lwd] == [1, 2, 3, 4]
    # Warm-up of three steps, then the only step down: 1/3, 2/3, 1, (4 − 4 + 1) / (4 − 3 + 1) = 1/2.
    assert [record["lr"] / settings.training.lr for record in lwd] == pytest.approx([1 / 3, 2 / 3, 1, 1 / 2])
    for record in none:
        assert record["kl"] is record["hidden"] is record["attention"] is None
        assert record["total"] == record["train"]
    for record in kl:
        assert record["hidden"] is record["attention"] is None
        assert record["total"] == pytest.approx(record["train"] + record["kl"], rel=1e-5)
    for record in lwd:
        assert record["kl"] is None
        total = record["train"] + 0.5 * record["hidden"] + 0.1 * record["attention"]
        assert record["total"] == pytest.approx(total, rel=1e-5)


# ---- what is run and what is read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # Attentions of the teacher 4/3/2 (a decoder layer has two) in the probe (once) and in each of 4 steps.
        ("none", {"image": 4, "text": 3, "decoder": 4}),
        ("img", {"image": 4 + 4 * 4, "text": 3, "decoder": 4}),
        ("none,img,txt", {"image": 4 + 4 * 4, "text": 3 + 4 * 3, "decoder": 4}),
        ("img,img+txt", {"image": 4 + 4 * 4, "text": 3 + 4 * 3, "decoder": 4}),
        # Another attention is another walk, of the modules it needs alone; of the decoder, one of the decoder alone.
        ("img,txt:attention=weights", {"image": 2 * 4 + 4 * 4, "text": 2 * 3 + 4 * 3, "decoder": 2 * 4}),
        ("img,dide", {"image": 4 + 4 * 4, "text": 3 + 4 * 3, "decoder": 2 * 4 + 4 * 4}),
        ("img+txt+multi,dide", {"image": 4 + 4 * 4, "text": 3 + 4 * 3, "decoder": 2 * (4 + 4 * 4)}),
        ("img,kl", {"image": 4 + 4 * 4, "text": 3 + 4 * 3, "decoder": 4 + 4 * 4}),
        ("multi", {"image": 4 + 4 * 4, "text": 3 + 4 * 3, "decoder": 4 + 4 * 4}),
    ],
)
def test_the_teacher_runs_only_the_modules_that_some_arm_needs(names: str, expected: dict, monkeypatch):
    settings, data = config(steps=4), task_data()
    teacher = a_teacher(settings, data)
    coca = teacher.coca
    decoder = [*coca.text_decoder.resblocks, *coca.text_decoder.cross_attn]
    towers = (coca.visual.transformer.resblocks, coca.text.transformer.resblocks, decoder)
    known = {id(block.attn): module for module, blocks in zip(MODULES, towers, strict=True) for block in blocks}
    counts, original = dict.fromkeys(MODULES, 0), walk_module.attend

    def counted(attn, *args):
        if id(attn) in known:
            counts[known[id(attn)]] += 1
        return original(attn, *args)

    monkeypatch.setattr(walk_module, "attend", counted)
    for _ in distilled(settings, teacher, students_of(names, settings, data, teacher), data):
        pass
    assert counts == expected


def test_the_teacher_is_never_trained():
    settings, data = config(steps=4), task_data()
    teacher = a_teacher(settings, data)
    before = [p.clone() for p in teacher.parameters()]
    for _ in distilled(settings, teacher, students_of("kl,img+txt+multi", settings, data, teacher), data):
        pass
    assert all(torch.equal(p, q) and p.grad is None for p, q in zip(teacher.parameters(), before, strict=True))


def test_training_knows_no_dev_and_no_test():
    """Neither split exists here: batches, probe, rewards and arms come from the training split alone."""
    data = replace(task_data(), dev=None, test=None)
    _, rounds, _ = train("optima,img", config(steps=4), data)
    assert all(isfinite(record["reward"]) for records in rounds for record in records)


def test_the_probe_is_drawn_from_the_training_split_by_a_stream_of_its_own():
    settings = config(steps=4)
    first = order(stream_seed(settings, "batches"), 0, settings.distillation.probe_size, 24)
    rows = probe(stream_seed(settings, "probe"), 24, settings.distillation.probe_size)
    assert sorted(first.tolist()) != rows.tolist()
    assert len(set(rows.tolist())) == settings.distillation.probe_size
    data = task_data()
    of = {}
    for split in ("train", "dev"):
        settings = config(steps=4, probe_split=split)
        teacher, model = a_teacher(settings, data), task_model("student", settings, 2, data)
        rows = probe(stream_seed(settings, "probe"), len(getattr(data, split)), settings.distillation.probe_size)
        of[split] = CoCaDistillation(settings, teacher, model, data).probe_batch().images
        assert torch.equal(of[split], to_device(getattr(data, split).take(rows), CPU).images)
    assert not torch.equal(of["train"], of["dev"])


@pytest.mark.parametrize("task", ["vqa", "snli_ve", "nlvr2", "coco"])
@pytest.mark.parametrize("decoder", ["paper", "open_clip"])
def test_every_task_learns(task: str, decoder: str):
    """Several rounds on four examples: the losses of Eq. 5 go down."""
    settings = config(
        task,
        steps=40,
        round_steps=10,
        batch_size=4,
        probe_size=4,
        decoder=decoder,
        image_queries=2,
        dropout=0.0,
        lr=2e-2,
    )
    data = task_data(task, train=2 if task == "coco" else 4)
    _, (rounds,), (steps,) = train("img+txt+multi", settings, data)
    assert all(isfinite(value) for step in steps for value in step.values() if value is not None)
    assert steps[-1]["train"] < 0.7 * steps[0]["train"]
    assert steps[-1]["hidden"] < 0.9 * steps[0]["hidden"]
    assert rounds[0]["reward"] > 0
    assert rounds[-1]["probe_hidden"] < rounds[0]["probe_hidden"]


@pytest.mark.parametrize(
    "changes", [{"optimizer": "adafactor"}, {"attention": "weights"}, {"decoder_attention": "cross"}]
)
def test_the_options_of_the_configuration_train(changes: dict):
    _, (rounds,), (steps,) = train("img+txt+multi", config(steps=4, **changes))
    _, _, (plain,) = train("img+txt+multi", config(steps=4))
    assert all(isfinite(value) for step in steps for value in step.values() if value is not None)
    assert steps != plain
    assert rounds[0]["probe_attention"] > 0


def test_arms_are_the_seven_of_the_paper():
    assert len(ARMS) == 7
    assert ARMS[-1] == LWD == frozenset(MODULES)


# ---- fast paths -----------------------------------------------------------------------------------------------------


def total_losses(settings, data: TaskData, names: str = "none,img,img+txt+multi,optima") -> np.ndarray:
    """(student, step)"""
    return np.array([[record["total"] for record in records] for records in train(names, settings, data)[2]])


@pytest.mark.parametrize("task", ["vqa", "nlvr2", "coco"])
def test_padding_cut_off_changes_no_loss(task: str):
    """Over 50 steps; captions written token by token are in test_metrics."""
    settings, data = config(task, steps=50, text_tokens=14), task_data(task)
    splits = {name: getattr(data, name) for name in SPLITS}
    whole = {name: np.pad(s.tokens, ((0, 0), (0, 14 - TOKENS)), constant_values=PAD) for name, s in splits.items()}
    long, cut = (
        replace(data, **{name: replace(splits[name], tokens=change(whole[name])) for name in SPLITS})
        for change in (lambda tokens: tokens, lambda tokens: _cut(tokens, PAD))
    )
    assert cut.train.tokens.shape[1] <= TOKENS
    np.testing.assert_allclose(total_losses(settings, cut), total_losses(settings, long), rtol=0, atol=1e-4)


def test_half_precision_follows_full_precision():
    """bfloat16 has 8 bits: 1 % in the mean over 50 steps, 10 % at most where steps part; rewards stay in fp32."""
    settings, data = config(steps=50), task_data()
    full, half = (
        total_losses(override(settings, {"precision": p}), data, "img,img+txt+multi") for p in ("fp32", "bf16")
    )
    apart = np.abs(half / full - 1)
    assert 1e-5 < apart.mean() < 0.01 and apart.max() < 0.1


@pytest.mark.parametrize("task", ["vqa", "nlvr2", "coco"])
def test_activations_computed_again_change_nothing_and_are_not_kept(task: str):
    data, deep = task_data(task), {"base_layers": "3/3/3", "teacher_layers": "3/3/3", "student_layers": "3/3/3"}
    results, kept = {}, {}
    for again in (False, True):
        settings = config(task, steps=4, grad_checkpointing=again, **deep)
        base, teacher = build(coca_config(settings, "base", VOCABULARY), 2), a_teacher(settings, data)
        students = [
            pupil(settings, strategy, new_student(settings, base, data, 0), teacher)
            for strategy in parse_strategies("none,img+txt+multi,multi:decoder_attention=cross", settings)
        ]
        sizes: list[int] = []
        with saved_tensors_hooks(lambda tensor, sizes=sizes: (sizes.append(tensor.nbytes), tensor)[1], lambda t: t):
            results[again] = [taken for _, taken in distilled(settings, teacher, students, data)]
        kept[again] = sum(sizes)
    assert results[True] == results[False]
    assert kept[True] < 0.5 * kept[False]


INDUCTOR = pytest.param("vqa 50 inductor", marks=pytest.mark.slow)


@pytest.mark.parametrize("call", ["nlvr2 12 eager", "coco 12 eager", INDUCTOR])
def test_compiled_walks_are_whole_graphs_with_the_same_losses(call: str):
    """In a process of its own, as what checks types here cannot be compiled; 'eager': graphs, but no compiler."""
    subprocess.run([sys.executable, str(Path(__file__).parents[1] / "compiled_walks.py"), *call.split()], check=True)
