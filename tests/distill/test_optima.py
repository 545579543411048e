"""OPTIMA in a loop of one's own: what it adds to a loss, how it goes on, and what it refuses."""

import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import optima_lab
from optima_lab.bandits.policies import make_policy
from optima_lab.bandits.policies.base import Policy
from optima_lab.distill import optima as optima_module
from optima_lab.distill.capture import Layers
from optima_lab.distill.layers import matched_layer
from optima_lab.distill.losses import kl_divergence
from optima_lab.distill.optima import Optima
from optima_lab.errors import ConfigError, OptimaError

TOKENS, CLASSES = 6, 5
MODULES = {"text": "text.layers.*", "image": "image.layers.*"}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class TwoTowers(nn.Module):
    """A text that is read with padding, and patches: both towers' means give the classes."""

    text: Any
    image: Any
    reentrant: bool | None

    def __init__(self, layers: int, width: int, tokens: int = TOKENS, dropout: float = 0.0) -> None:
        super().__init__()
        self.words, self.patches = nn.Embedding(20, width), nn.Linear(4, width)
        self.text, self.image = (tower(layers, width, dropout) for _ in range(2))
        self.head, self.cut, self.reentrant = nn.Linear(width, CLASSES), tokens, None

    def forward(self, ids: Tensor, patches: Tensor, mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        x = self.words(ids[:, : self.cut])
        for layer in self.text.layers:
            padding = ~mask[:, : self.cut].bool()
            x = layer(x, src_key_padding_mask=padding) if self.reentrant is None else self.again(layer, x)
        y = self.image(self.patches(patches))
        real = mask[:, : self.cut, None]
        logits = self.head((x * real).sum(1) / real.sum(1) + y.mean(1))
        return {"logits": logits} | ({} if labels is None else {"loss": F.cross_entropy(logits, labels)})

    def again(self, layer: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(layer, x, use_reentrant=self.reentrant)  # pyright: ignore[reportReturnType]


def tower(layers: int, width: int, dropout: float) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def batch(number: int = 0, size: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(number)
    lengths = torch.randint(2, TOKENS + 1, (size, 1), generator=generator)
    return {
        "ids": torch.randint(1, 20, (size, TOKENS), generator=generator),
        "patches": torch.randn(size, 4, 4, generator=generator),
        "mask": (torch.arange(TOKENS) < lengths).long(),
        "labels": torch.randint(0, CLASSES, (size,), generator=generator),
    }


def models(layers: int = 2, **changes) -> tuple[TwoTowers, TwoTowers]:
    torch.manual_seed(1)
    return TwoTowers(layers, 8, **changes), TwoTowers(2 * layers, 12)


def an_optima(student: nn.Module, teacher: nn.Module, **changes) -> Optima:
    usual = {"probe": batch(999), "round_steps": 2, "modules": MODULES, "masks": {"text": "mask"}, "logits": "logits"}
    return Optima(student, teacher, **(usual | changes))


def trained(optima: Optima, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> list[float]:
    """The losses of these steps of a plain loop."""
    seen = []
    for number in range(start, start + steps):
        loss = optima.loss(batch(number))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        optima.step()
        seen.append(loss.item())
    return seen


def optimizer_for(student: nn.Module, optima: Optima, lr: float = 3e-3) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr)
    optimizer.add_param_group({"params": optima.parameters()})
    return optimizer


# ---- the loss -------------------------------------------------------------------------------------------------------


def test_the_loss_is_eq_5_of_what_models_say_themselves():
    """The models are PyTorch's: hidden states by hand, scores from their projections; text with padding."""
    student, teacher = models()
    optima = an_optima(student, teacher, alpha=(0.5, 2.0, 3.0), policy=make_policy("fixed", arm=0))
    assert optima.arm == {"text"}
    given = batch(5)
    real, (ours, theirs) = given["mask"].bool(), [texts(model.eval(), given) for model in (student, teacher)]
    hidden, attention = [], []
    for layer, (h, a) in enumerate(ours, 1):
        h_t, a_t = theirs[matched_layer(layer, 2, 4) - 1]
        matrix = optima.parameters()[layer - 1]
        hidden.append((h @ matrix - h_t)[real].square().mean())
        attention.append((a - a_t)[real[:, :, None] & real[:, None]].square().mean())
    output, answer = student(**given), teacher(**given)
    expected = output["loss"] + 0.5 * kl_divergence(output["logits"], answer["logits"])
    expected = expected + 2 * torch.stack(hidden).mean() + 3 * torch.stack(attention).mean()
    torch.testing.assert_close(optima.loss(given), expected, rtol=1e-5, atol=1e-6)


def texts(model: TwoTowers, given: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(hidden state, scores averaged over heads) of every layer of the text."""
    x, found = model.words(given["ids"]), []
    for layer in model.text.layers:
        attention = layer.self_attn
        q, k, _ = F.linear(x, attention.in_proj_weight, attention.in_proj_bias).unflatten(-1, (3, 2, -1)).unbind(2)
        scores = torch.einsum("bqhd,bkhd->bqk", q, k) / (2 * q.shape[-1] ** 0.5)
        x = layer(x, src_key_padding_mask=~given["mask"].bool())
        found.append((x, scores))
    return found


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    _, teacher = models()
    optima = an_optima(copy.deepcopy(teacher), teacher)
    with torch.no_grad():
        for matrix in optima.parameters():
            matrix.copy_(torch.eye(12))
    losses = optima.compare(batch(3))[1]
    assert all(loss is not None and loss.item() < 1e-10 for loss in (losses.kl, losses.hidden, losses.attention))


def test_the_users_loss_is_the_outputs_or_the_tasks():
    student, teacher = models()
    own = an_optima(student, teacher).compare(batch(1))[1].train
    torch.testing.assert_close(own, student(**batch(1))["loss"])
    task = an_optima(student, teacher, task=lambda output, given: output["logits"].square().mean() + len(given))
    torch.testing.assert_close(task.compare(batch(1))[1].train, student(**batch(1))["logits"].square().mean() + 4)
    none = {name: part for name, part in batch(1).items() if name != "labels"}
    silent = an_optima(student, teacher, probe=none)
    assert silent.before.train is None and silent.loss(none) > 0


def test_padding_says_nothing():
    """Other words where the mask is 0, in the student's and the teacher's reading: the same loss."""
    optima = an_optima(*models(), policy=make_policy("fixed", arm=2))
    given, other = batch(4), batch(4)
    other["ids"] = torch.where(given["mask"].bool(), given["ids"], 7)
    assert not torch.equal(given["ids"], other["ids"])
    torch.testing.assert_close(optima.loss(given), optima.loss(other), rtol=1e-5, atol=1e-6)


# ---- rounds ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_run():
    torch.manual_seed(0)
    student, teacher = models()
    optima = an_optima(student, teacher, round_steps=10)
    first = optima.before
    trained(optima, optimizer_for(student, optima, 1e-2), 300)
    return optima, first


def test_the_probes_hidden_loss_falls_fivefold(long_run):
    optima, first = long_run
    assert optima.before.hidden < first.hidden / 5
    assert optima.before.kl < first.kl


def test_records_are_rounds_and_their_rewards(long_run, tmp_path: Path):
    from optima_lab.experiments.records import read_lines

    optima, first = long_run
    folder = optima.records(tmp_path / "mine")
    rounds, steps = read_lines(folder / "rounds.jsonl"), read_lines(folder / "steps.jsonl")
    assert len(rounds) == 30 and [line["step"] for line in steps] == list(range(1, 301))
    assert rounds == optima.rounds.records
    last = {"kl": first.kl, "hidden": first.hidden, "attention": first.attention}
    for record in rounds:
        ratios = [max(0.0, 1 - record[f"probe_{name}"] / last[name]) for name in last]
        assert record["reward"] == pytest.approx(sum(ratios) / 3)
        last = {name: record[f"probe_{name}"] for name in last}
    assert json.loads((folder / "run.json").read_text())["modules"] == ["text", "image"]
    assert {record["arm"] for record in rounds} == {"text", "image", "text+image"}


def test_a_resumed_run_plays_the_same_rounds_from_the_middle_of_one():
    student, teacher = models(dropout=0.0)
    whole = an_optima(student, teacher)
    losses = trained(whole, optimizer_for(student, whole), 25)
    student, _ = models(dropout=0.0)
    first = an_optima(student, teacher)
    optimizer = optimizer_for(student, first)
    trained(first, optimizer, 13)
    buffer = io.BytesIO()
    torch.save({"student": student, "optima": first.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    kept = torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    again = an_optima(kept["student"], teacher, seed=7)
    again.load_state_dict(kept["optima"])
    optimizer = optimizer_for(kept["student"], again)
    optimizer.load_state_dict(kept["optimizer"])
    assert trained(again, optimizer, 12, 13) == losses[13:]
    assert again.rounds.records == whole.rounds.records and len(whole.rounds.records) == 12
    assert again.state_dict()["lines"] == whole.state_dict()["lines"]


def test_its_state_needs_no_pickle_and_no_key_of_the_student_is_ours():
    student, teacher = models()
    before = set(student.state_dict())
    optima = an_optima(student, teacher)
    trained(optima, optimizer_for(student, optima), 3)
    buffer = io.BytesIO()
    torch.save(optima.state_dict(), buffer)
    optima.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert set(student.state_dict()) == before


def test_two_accumulated_halves_are_one_batch():
    """Without padding every example weighs the same: half of each half's loss."""
    given = batch(3) | {"mask": torch.ones(8, TOKENS, dtype=torch.long)}
    grown = []
    for parts in ([slice(0, 8)], [slice(0, 4), slice(4, 8)]):
        student, teacher = models()
        optima = an_optima(student, teacher)
        for rows in parts:
            (optima.loss({name: part[rows] for name, part in given.items()}) / len(parts)).backward()
        optima.step()
        grown.append([p.grad for p in [*student.parameters(), *optima.parameters()] if p.grad is not None])
        assert optima.steps == 1
    torch.testing.assert_close(*grown, rtol=1e-4, atol=1e-6)


def test_the_probe_is_measured_without_dropout_and_every_part_keeps_its_mode():
    student, teacher = models(dropout=0.5)
    student.image.eval()
    optima = an_optima(student, teacher.train())
    assert student.training and student.text.training and not student.image.training
    assert not teacher.training
    first, again = (optima._measure() for _ in range(2))
    torch.testing.assert_close(first, again)
    assert optima.before.hidden == first[2].item()


def test_a_compiled_student_is_the_same_in_two_graphs_whatever_the_arm():
    """In a process of its own: what checks shapes here is no part of what is compiled."""
    compiled_student("eager")


@pytest.mark.slow
def test_so_it_is_in_compiled_code():
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        pytest.skip("needs a compiler of C++")
    compiled_student("inductor")


def compiled_student(backend: str) -> None:
    command = [sys.executable, "-m", "tests.compiled_student", backend]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_processes_are_one_with_the_same_batches(way: str, tmp_path: Path):
    """Each with half of every batch; weights, W^i and arms."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for name, words in (("one", []), ("two", start)):
        command = [sys.executable, *words, "-m", "tests.parallel_student", str(tmp_path / name), way]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=Path(__file__).parents[2], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (one,), (two, other) = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
    assert one["arms"] == two["arms"] == other["arms"] and len(set(one["arms"])) > 1
    assert two["rewards"] == other["rewards"] == pytest.approx(one["rewards"], rel=1e-3, abs=1e-6)
    for weights in (two["weights"], other["weights"]):
        torch.testing.assert_close(weights, one["weights"], rtol=0, atol=1e-6)


def test_a_copy_or_a_file_of_the_student_is_watched_by_nobody():
    student, teacher = models()
    optima = an_optima(student, teacher)
    torch.save(student, io.BytesIO())
    twin = copy.deepcopy(student)
    optima.pair._own.run(lambda: (student(**batch()), twin(**batch())))
    assert len(optima.pair._own.captured("text")) == 2
    optima.remove_hooks()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in student.modules())


# ---- modules --------------------------------------------------------------------------------------------------------


def test_one_module_is_cut_into_groups_of_layers():
    student, teacher = models(layers=5)
    optima = an_optima(student, teacher, modules={"text": MODULES["text"]}, groups=5, round_steps=1)
    assert optima.arms.modules == ("text1", "text2", "text3", "text4", "text5")
    assert optima.rounds.policy.name == "linear_ts"
    trained(optima, optimizer_for(student, optima), 4)
    assert optima.rounds.records[-1]["probe_hidden"] > 0
    halves = an_optima(student, teacher, modules={"text": MODULES["text"]}, groups=2)
    assert [shape.depth for shape in halves.pair.shapes[0].values()] == [2, 3]
    # Layer 3 of 5 is compared with the teacher's layer 6 of 10, whichever group it is in.
    assert [place[0] for place in halves.pair._theirs.layers["text"]] == [f"text.layers.{n}" for n in (1, 3, 5, 7, 9)]


def test_attention_that_is_not_seen_is_told_and_does_not_count_as_zero():
    student, teacher = models()
    with pytest.warns(UserWarning, match=r"hidden states alone .*: image \(the student's kernel was not called\)"):
        optima = an_optima(by_hand(student), teacher)
    assert optima.pair.attended == {"text"}
    with pytest.warns(UserWarning):
        blind = an_optima(student, teacher, modules={"image": MODULES["image"]}, masks={}, logits="")
    trained(blind, optimizer_for(student, blind), 2)
    (record,) = blind.rounds.records
    assert record["probe_attention"] is record["ratio_attention"] is record["ratio_kl"] is None
    assert record["reward"] == record["ratio_hidden"] > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not an_optima(student, teacher, attention="").exists["attention"]


def by_hand(model: TwoTowers) -> TwoTowers:
    """Its image tower with weights asked for, which PyTorch computes without the kernel."""
    for layer in model.image.layers:
        attention = layer.self_attn
        layer._sa_block = lambda x, *_, attention=attention, **__: attention(x, x, x, need_weights=True)[0]
    return model


class Greedy(Policy):
    """A policy of the user's own: the arm that was best so far."""

    name = "mine"

    def init(self, arms, replications, generator):
        return {"round": np.zeros((), np.int64), "plays": np.ones((replications, arms)), "sum": np.ones((1, arms))}

    def select(self, state, generator):
        from optima_lab.bandits.policies import Selection

        scores = state["sum"] / state["plays"]
        return Selection(scores.argmax(1), scores)

    def learn(self, state, arm, reward):
        state["plays"][0, arm] += 1
        state["sum"][0, arm] += reward


def test_a_policy_of_ones_own_chooses_the_arms():
    student, teacher = models()
    optima = an_optima(student, teacher, policy=Greedy())
    trained(optima, optimizer_for(student, optima), 8)
    assert [record["arm"] for record in optima.rounds.records] == ["text", "image", "text+image", "text"]


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"modules": {}}, "modules must name at least one module"),
        ({"modules": {"text": "txt.layers.*"}, "masks": {}}, r"'txt.layers.\*', none does; .* text.layers.\*, image"),
        ({"modules": {"half": "text.layers.*"}}, "plain names, which PyTorch's modules do not use, got 'half'"),
        ({"masks": {"txt": "mask"}}, "masks: there is no module 'txt'; did you mean 'text'"),
        ({"masks": {"text": "masks"}}, "masks: 'text' must name a part of a batch, got 'masks'; did you mean 'mask'"),
        (
            {"masks": {"image": "mask"}},
            r"masks: 'image' must be \(sequence, token\) \(8, 4\) as its layers, got \(8, 6\)",
        ),
        ({"teacher_modules": {"img": "x"}}, "teacher_modules: there is no module 'img'; did you mean 'image'"),
        ({"teacher_modules": {"image": "x"}}, "a part of the model must match 'x', none does"),
        ({"logits": "logit"}, "logits must name a part of the output, got 'logit'; did you mean 'logits'"),
        ({"attention": "weights"}, "attention must be one of 'auto', 'scores', '', got 'weights'"),
        ({"reward": "kl", "logits": ""}, "reward='kl' must have a loss to measure"),
        ({"reward": "all of it"}, "reward must be one of 'all', 'kl', 'layers'"),
        ({"round_steps": 0}, "round_steps must be at least 1, got 0"),
        ({"policy": "optma"}, "got 'optma'; did you mean 'optima'"),
        ({"policy": "oracle"}, "'oracle' knows the rewards of a simulation"),
        ({"groups": 2}, "groups must cut one module in layer groups, got groups=2 and text, image"),
        ({"groups": 3, "modules": {"text": "text.layers.*"}}, "groups must be from 1 to the student's 2 layers, got 3"),
        ({"modules": {"text": Layers("text.layers.*", "text.layers.*.linear1")}}, "'text': its attention must be seen"),
    ],
)
def test_wrong_use_is_refused_in_one_line(changes: dict, line: str):
    with pytest.raises(ConfigError, match=line) as caught:
        an_optima(*models(), **changes)
    assert "\n" not in str(caught.value)


def test_models_of_unlike_lengths_are_refused():
    student, teacher = models(tokens=5)
    with pytest.raises(
        ConfigError, match=r"'text': both models must read the same .*got student \(8, 5\), teacher \(8, 6\)"
    ):
        an_optima(student, teacher, masks={})


def test_attention_that_is_asked_for_must_be_seen():
    student, teacher = models()
    with pytest.raises(
        ConfigError, match="'image': its attention must be seen, but the student's kernel was not called"
    ):
        an_optima(by_hand(student), teacher, attention="scores")


def test_layers_that_do_not_run_are_refused():
    student, teacher = models()
    student.spare = tower(2, 8, 0.0)
    with pytest.raises(ConfigError, match=r"'text': layer spare.layers.0 must run once in a forward, ran 0 times"):
        an_optima(student, teacher, modules={"text": "spare.layers.*"}, teacher_modules={"text": MODULES["text"]})


def test_reentrant_checkpointing_is_refused_before_it_loses_a_gradient():
    student, teacher = models()
    student.reentrant = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the probe's forward has no gradients, which is what PyTorch tells
        optima = an_optima(student, teacher)
    with pytest.raises(ConfigError, match="checkpoint with use_reentrant=False"):
        optima.loss(batch())
    student.reentrant = False
    assert optima.loss(batch()).requires_grad


def test_steps_follow_losses_and_states_their_modules():
    optima = an_optima(*models())
    with pytest.raises(OptimaError, match=r"optima.step\(\) must follow an optima.loss"):
        optima.step()
    other = an_optima(*models(), modules={"text": MODULES["text"]})
    with pytest.raises(ConfigError, match="modules must be those that were saved"):
        other.load_state_dict(optima.state_dict())


def test_more_modules_than_arms_can_be_listed_need_linear_ts():
    with pytest.raises(ConfigError, match="policy must be 'linear_ts' for more than 16 modules, got 'optima'"):
        optima_module.policy_for("optima", 17)
    assert [optima_module.policy_for("", count).name for count in (4, 5, 24)] == ["optima", "linear_ts", "linear_ts"]


def test_it_is_at_the_door_and_loads_no_model_and_no_jupyter():
    heavy = {"open_clip", "timm", "transformers", "IPython", "ipywidgets", "matplotlib", "pandas"}
    code = f"from optima_lab import Layers, Optima; import sys; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == ([], "")


@pytest.mark.parametrize("name", ["README.md", "docs/own_models.md"])
def test_the_examples_run_as_they_are_written(name: str):
    text = (Path(__file__).parents[2] / name).read_text()
    (block,) = [block for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "Optima(" in block]
    assert len([line for line in block.splitlines() if line.strip()]) <= 13
    student, teacher = Clip(2, 8), Clip(3, 12)
    given = [{"input_ids": torch.randint(1, 9, (4, 5)), "attention_mask": torch.ones(4, 5)} for _ in range(3)]
    known = {"student": student, "teacher": teacher, "loader": given, "probe": given[0], "optima_lab": optima_lab}
    known["optimizer"] = torch.optim.AdamW(student.parameters())
    exec(block, known)
    assert known["optima"].steps == 3 and known["optima"].exists["attention"]


class Clip(nn.Module):
    """The names of a CLIP of transformers, and as much of its output."""

    vision_model: Any
    text_model: Any

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, width)
        self.vision_model, self.text_model = nn.Module(), nn.Module()
        for part in (self.vision_model, self.text_model):
            part.encoder = tower(layers, width, 0.0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        x = self.embedding(input_ids)
        image, text = (part.encoder(x)[:, 0] for part in (self.vision_model, self.text_model))
        return {"logits_per_image": image @ text.T}
