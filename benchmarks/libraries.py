"""Our step beside the same step written with torchdistill: `python -m benchmarks.libraries`, at laptop size (VQA, LWD).

torchdistill watches models through forward hooks. So its teacher and student run open_clip's own forward, its hooks
catch every matched block's output and the input of its attention, and scores are formed from that with the attention's
own weights, as hooks see no scores. Losses, optimizer, batches and clipping are the same; the losses of the first step
are compared before anything is timed. open_clip's forward needs texts padded to their full length; a second line gives
it ours, cut to the longest text, as if it could do with them.

Needs the extra `bench`. textbrewer, the other candidate, matches what a model itself returns: open_clip's CoCa returns
no layers.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks._laptop import ENDLESS, LWD, Setting, in_turns, laptop, line, milliseconds, options, ratios
from benchmarks.steps import ours
from optima_lab.bandits.arms import parse_arm
from optima_lab.coca.forward import CoCaFeatures, _decoder_masks, _text_masks
from optima_lab.coca.model import TaskModel, blocks
from optima_lab.config.parameters import override
from optima_lab.distill import losses as eq
from optima_lab.distill.optim import apply, schedule
from optima_lab.distill.seeds import stream_seed
from optima_lab.tasks.objectives import DeviceBatch, head_dropout, training_batch, training_loss

TOWERS = {"image": "visual.transformer.resblocks", "text": "text.transformer.resblocks", "decoder": "text_decoder"}
LAST = "text_decoder.ln_final"
STEPS = 20  # a turn


class Hooked:
    """A model whose matched layers torchdistill's hook manager watches."""

    def __init__(self, model: TaskModel, layers: Mapping[str, Sequence[int]]) -> None:
        from torchdistill.core.forward_hook import ForwardHookManager

        self.model, self.layers = model, layers
        self.manager = ForwardHookManager("cpu")
        for _, _, output, attention in self._watched():
            self.manager.add_hook(model.coca, output, requires_input=False)
            self.manager.add_hook(model.coca, attention, requires_output=False)
        self.manager.add_hook(model.coca, LAST, requires_input=False)

    def _watched(self) -> Iterator[tuple[str, Any, str, str]]:
        """Module, self-attention, and where a layer's output and that attention's input are seen."""
        for module, layers in self.layers.items():
            for n in (layer - 1 for layer in layers):
                own = f"{TOWERS[module]}.resblocks.{n}" if module == "decoder" else f"{TOWERS[module]}.{n}"
                output = f"{TOWERS[module]}.cross_attn.{n}" if module == "decoder" else own
                yield module, blocks(self.model.coca, module)[n].attn, output, f"{own}.attn"

    def __call__(self, batch: DeviceBatch) -> CoCaFeatures:
        """open_clip's forward, and what the hooks saw of it."""
        self.model.coca(batch.images[:, 0], batch.tokens, output_labels=False)
        seen = self.manager.pop_io_dict()
        trace = CoCaFeatures(decoded=seen[LAST]["output"])
        _, words, pairs = _text_masks(self.model.coca, batch.tokens)
        _, read, allowed = _decoder_masks(self.model.coca, batch.tokens, 1, 0)
        trace.token_mask = {"image": None, "text": words, "decoder": read}
        trace.pair_mask = {"image": None, "text": pairs, "decoder": allowed}
        for module, attn, output, attention in self._watched():
            trace.hidden.setdefault(module, []).append(seen[output]["output"])
            trace.attention.setdefault(module, []).append(_scores(attn, seen[attention]["input"][0]))
        return trace


def _scores(attn: Any, x: Tensor) -> Tensor:
    """Head-averaged scores of a self-attention whose input is `x`."""
    d, h = attn.embed_dim, attn.num_heads
    q, k = F.linear(x, attn.in_proj_weight[: 2 * d], attn.in_proj_bias[: 2 * d]).split(d, -1)
    return q @ k.transpose(1, 2) / (h * sqrt(d / h))


def padded(batch: DeviceBatch, length: int) -> DeviceBatch:
    """Texts as long as open_clip's forward wants them."""
    return DeviceBatch(batch.images, F.pad(batch.tokens, (0, length - batch.tokens.shape[1])), batch.targets)


def theirs(setting: Setting, length: int = 0) -> Callable[[], list[float]]:
    """STEPS steps of LWD through torchdistill's hooks, and their total losses."""
    c, data, arm = setting.config, setting.data, parse_arm(LWD)
    (student,) = setting.students(LWD)
    task = setting.task([student])
    small, large = Hooked(student.model, task.student_layers), Hooked(setting.teacher, task.teacher_layers)
    steps, alpha, head = iter(range(1, ENDLESS)), student.alpha, student.model.head
    assert head is not None

    def step(number: int) -> float:
        batch = training_batch(c, data, c.training.batch_size, stream_seed(c, "batches"), number)
        batch = padded(batch, length) if length else batch
        keep = head_dropout(student.model, batch, c.finetuning.dropout, stream_seed(c, "dropout"), number)
        with torch.inference_mode():
            target = large(batch)
        student.optimizer.zero_grad(set_to_none=True)
        trace = small(batch)
        assert trace.decoded is not None and trace.token_mask["decoder"] is not None
        train = training_loss(
            data.task, head(trace.decoded, trace.token_mask["decoder"], keep), batch, data.tokenizer.pad
        )
        hidden = eq.hidden_loss(trace, target, student.projections, arm)
        total = eq.total_loss(eq.Losses(train, None, hidden, eq.attention_loss(trace, target, arm)), alpha)
        total.backward()
        apply(student.optimizer, schedule(number, c.training.steps, c.training.warmup_steps), c.optim.clip)
        return float(total.detach())

    return lambda: [step(next(steps)) for _ in range(STEPS)]


def agree(setting: Setting, length: int) -> bool:
    """Whether both ways give the same losses over the first turn."""
    rounds = setting.rounds(LWD, round_steps=STEPS)
    _, [(_, records)] = next(rounds)
    found = theirs(replace(setting, config=override(setting.config, {"steps": ENDLESS})), length)()
    apart = max(abs(record["total"] - value) for record, value in zip(records, found, strict=True))
    print(f"largest difference of the total loss over {STEPS} steps: {apart:.1e}")
    return apart < 1e-4


def main() -> int:
    """The ratios; 1 where the losses differ."""
    chosen = options(__doc__)
    if not find_spec("torchdistill"):
        print("(d) torchdistill: not measured, it is not installed (pip install torchdistill)")
        return 0
    setting = laptop()
    length = setting.data.tokenizer.tokens
    if not agree(setting, length):
        return 1
    six = ",".join(f"{LWD}:alpha_hidden={1 + n / 16}" for n in range(16))
    runs = {"ours": ours(setting, LWD, STEPS), "theirs": theirs(setting, length), "short": theirs(setting)}
    took = in_turns(runs | {"many": ours(setting, six, STEPS)}, chosen.repeats)
    print(f"our step: {milliseconds(took['ours'], STEPS):.1f} ms; theirs: {milliseconds(took['theirs'], STEPS):.1f} ms")
    line("(d) our step / torchdistill's", ratios(took["ours"], took["theirs"]), 0.85)
    line("    with texts cut as ours are", ratios(took["ours"], took["short"]))
    each = [many / 16 for many in took["many"]]
    line("(d) a student of sixteen / torchdistill's", ratios(each, took["theirs"]), 0.60)
    line("    with texts cut as ours are", ratios(each, took["short"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
