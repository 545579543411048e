"""What does distilling a model of one's own cost? `python -m benchmarks.own` prints ratios of CPU time, taken in turns.

Two BERTs of Hugging Face transformers with the width and heads of MiniLM, six layers teaching three; all layers are
matched, which no arm exceeds. A bare step is the teacher's forward, the student's with its loss, backward and update.
The eager way is what one writes by hand for attention: kernels that return weights, all of them, compared as they come.
ModelOpt and torchdistill watch the same pairs of hidden states; losses are compared before anything is timed.

Needs the extra `hf`; ModelOpt and torchdistill are measured where they are installed (`bench`).
"""

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks._laptop import in_turns, line, milliseconds, options, ratios
from optima_lab import Optima
from optima_lab.distill.layers import matched_layer

WIDTH, HEADS, STUDENT, TEACHER, RATE = 384, 12, 3, 6, 1e-3
PAIRS = [(i - 1, matched_layer(i, STUDENT, TEACHER) - 1) for i in range(1, STUDENT + 1)]  # layers, from 0
WHOLE = (1.0, 1.0, 1.0)
Step = Callable[[], float]


@dataclass(frozen=True)
class Setting:
    """Both models and the batches that every way of a comparison gets."""

    student: nn.Module
    teacher: nn.Module
    batches: Sequence[dict[str, Tensor]]

    def models(self, attention: str = "sdpa") -> tuple[Any, Any]:
        """Copies to train, with this kernel."""
        pair = copy.deepcopy((self.student, self.teacher))
        for model in pair:
            model.set_attn_implementation(attention)  # pyright: ignore[reportCallIssue]
        return pair

    def endless(self) -> Iterator[dict[str, Tensor]]:
        """The batches, again and again."""
        while True:
            yield from self.batches


def setting(tokens: int, batch: int) -> Setting:
    """Texts of full length."""
    from transformers import BertConfig, BertModel  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    shape = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "intermediate_size": 4 * WIDTH, "vocab_size": 1000}
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "max_position_embeddings": 512}
    models = [
        BertModel(BertConfig(num_hidden_layers=layers, **shape, **none), add_pooling_layer=False)
        for layers in (STUDENT, TEACHER)
    ]
    ids = torch.randint(3, 1000, (8, batch, tokens))
    return Setting(models[0], models[1].eval().requires_grad_(False), [{"input_ids": part} for part in ids])


def task(output: Any, _: Any = None) -> Tensor:
    """A loss of the model's own."""
    return output.last_hidden_state.square().mean()


def updated(loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    """One update by it."""
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def bare(given: Setting) -> Step:
    """Nothing is compared."""
    (student, teacher), batches = given.models(), given.endless()
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE)

    def step() -> float:
        batch = next(batches)
        with torch.no_grad():
            teacher(**batch)
        return updated(task(student(**batch)), optimizer)

    return step


def ours(given: Setting, attention: str) -> Step:
    """All layers, by `Optima`."""
    (student, teacher), batches = given.models(), given.endless()
    modules = {"text": "encoder.layer.*"}
    optima = Optima(
        student, teacher, probe=given.batches[0], modules=modules, task=task, attention=attention, alpha=WHOLE,
        round_steps=10**9,
    )  # fmt: skip
    optimizer = torch.optim.AdamW([*student.parameters(), *optima.parameters()], lr=RATE)

    def step() -> float:
        loss = updated(optima.loss(next(batches)), optimizer)
        optima.step()
        return loss

    return step


def matrices(given: Setting) -> list[Tensor]:
    """The W^i that `Optima` begins with."""
    optima = Optima(*given.models(), probe=given.batches[0], modules={"text": "encoder.layer.*"}, task=task)
    return [matrix.detach().clone().requires_grad_() for matrix in optima.parameters()]


def eager(given: Setting) -> Step:
    """Hidden states and attention weights as the models return them, all of them."""
    (student, teacher), batches = given.models("eager"), given.endless()
    own = matrices(given)
    optimizer = torch.optim.AdamW([*student.parameters(), *own], lr=RATE)
    ask = {"output_attentions": True, "output_hidden_states": True}

    def step() -> float:
        batch = next(batches)
        with torch.no_grad():
            theirs = teacher(**batch, **ask)
        mine = student(**batch, **ask)
        hidden = [
            F.mse_loss(mine.hidden_states[s + 1] @ own[s], theirs.hidden_states[t + 1]) for s, t in PAIRS
        ]  # [0] is the embedding
        weights = [F.mse_loss(mine.attentions[s].mean(1), theirs.attentions[t].mean(1)) for s, t in PAIRS]
        return updated(task(mine) + torch.stack(hidden).mean() + torch.stack(weights).mean(), optimizer)

    return step


class Projected(nn.modules.loss._Loss):
    """MSE of a hidden state through its W^i, as a loss of ModelOpt's."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix.detach().clone())

    def forward(self, student: Any, teacher: Any) -> Tensor:
        """A scalar; layers return a tensor, or a tuple that begins with it."""
        student, teacher = (part[0] if isinstance(part, tuple) else part for part in (student, teacher))
        return F.mse_loss(student @ self.matrix, teacher)


def modelopt(given: Setting) -> Step:
    """NVIDIA's: `convert`, and `compute_kd_loss` with one loss a pair."""
    from modelopt.torch import distill  # pyright: ignore[reportMissingImports]

    (student, teacher), batches = given.models(), given.endless()
    names = [(f"encoder.layer.{s}", f"encoder.layer.{t}") for s, t in PAIRS]
    pairs = {pair: Projected(matrix) for pair, matrix in zip(names, matrices(given), strict=True)}
    balancer = distill.StaticLossBalancer([0.5 / len(PAIRS)] * len(PAIRS))  # it weighs the student's loss by the rest
    how = {"teacher_model": teacher, "criterion": pairs, "loss_balancer": balancer}
    model = distill.convert(student, mode=[("kd_loss", how)])
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE)

    def step() -> float:
        output = model(**next(batches))
        return updated(2 * model.compute_kd_loss(student_loss=task(output)), optimizer)

    return step


def torchdistill(given: Setting) -> Step:
    """Its hook manager on both models, and PyTorch's MSE."""
    from torchdistill.core.forward_hook import ForwardHookManager  # pyright: ignore[reportMissingImports]

    (student, teacher), batches, own = given.models(), given.endless(), matrices(given)
    managers = [ForwardHookManager("cpu"), ForwardHookManager("cpu")]
    for pair in PAIRS:
        for manager, model, layer in zip(managers, (student, teacher), pair, strict=True):
            manager.add_hook(model, f"encoder.layer.{layer}", requires_input=False)
    optimizer = torch.optim.AdamW([*student.parameters(), *own], lr=RATE)

    def step() -> float:
        batch = next(batches)
        with torch.no_grad():
            teacher(**batch)
        output = student(**batch)
        mine, theirs = (manager.pop_io_dict() for manager in managers)
        losses = []
        for (s, t), matrix in zip(PAIRS, own, strict=True):
            h_s, h_t = mine[f"encoder.layer.{s}"]["output"], theirs[f"encoder.layer.{t}"]["output"]
            losses.append(F.mse_loss(h_s @ matrix, h_t))
        return updated(task(output) + torch.stack(losses).mean(), optimizer)

    return step


def against_others(given: Setting, repeats: int) -> bool:
    """Our step over each library's and the faster one's; whether all have the same losses."""
    runs = {"ours": ours(given, "")}
    for name, package, make in (("ModelOpt", "modelopt", modelopt), ("torchdistill", "torchdistill", torchdistill)):
        if find_spec(package):
            runs[name] = make(given)
        else:
            print(f"{name}: not measured, it is not installed (pip install 'optima-lab[bench]')")
    first = {name: [run() for _ in range(3)] for name, run in runs.items()}
    apart = max(abs(a - b) for values in first.values() for a, b in zip(values, first["ours"], strict=True))
    print(f"largest difference of the loss over three steps: {apart:.1e}")
    if len(runs) == 1:
        return True
    took = in_turns(runs, repeats, clock=time.process_time)
    others = [name for name in runs if name != "ours"]
    for name in others:
        line(f"hidden states: our step / {name}'s", ratios(took["ours"], took[name]))
    faster = min(others, key=lambda name: milliseconds(took[name]))
    line(f"hidden states: our step / the faster one's ({faster})", ratios(took["ours"], took[faster]), 1.00)
    return apart < 1e-5


def main() -> int:
    """The ratios; 1 where losses differ that should not."""
    chosen = options(__doc__)
    if not find_spec("transformers"):
        print("not measured: transformers is not installed (pip install 'optima-lab[hf]')")
        return 0
    warnings.filterwarnings("ignore")  # other libraries' own
    repeats, timed = chosen.repeats, partial(in_turns, clock=time.process_time)
    short = setting(tokens=64, batch=4)
    took = timed({"bare": bare(short), "hidden": ours(short, ""), "scores": ours(short, "scores")}, repeats)
    print(f"a bare step of 64 tokens: {milliseconds(took['bare']):.1f} ms of CPU time")
    line("hidden states: our step / a bare step", ratios(took["hidden"], took["bare"]), 1.08)
    line("hidden states and scores: our step / a bare step", ratios(took["scores"], took["bare"]), 1.15)
    long = setting(tokens=512, batch=1)
    took = timed({"ours": ours(long, "scores"), "eager": eager(long)}, repeats)
    line("512 tokens, with scores: our step / the eager way's", ratios(took["ours"], took["eager"]), 0.75)
    return 0 if against_others(short, repeats) else 1


if __name__ == "__main__":
    sys.exit(main())
