"""OPTIMA in the `Trainer` of Hugging Face transformers (extra `hf`)."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments  # pyright: ignore[reportMissingImports]

from optima_lab.distill.optima import Optima
from optima_lab.files import replacing

STATE = "optima.pt"  # in a checkpoint's folder, beside the optimizer's


class OptimaTrainer(Trainer):
    """A `Trainer` whose student also imitates a teacher; arguments after `optima` are the `Trainer`'s own.

    The model is the student of `optima`, on the device of training already. Its W^i are trained at the student's
    learning rate without weight decay; their state and the bandit's are in every checkpoint, and a resumed training
    plays the same rounds. The matching terms are means over a batch: of accumulated batches each counts the same, while
    the Trainer weighs the model's own loss in its way. Its clipping of gradients knows the student's alone.
    """

    def __init__(self, optima: Optima, args: TrainingArguments, **others: Any) -> None:
        super().__init__(model=optima.pair.student, args=args, **others)
        self.optima = optima
        self.add_callback(_Steps(optima))

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The Trainer's own loss, and while training the matching terms of the arm."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        own: list[torch.Tensor] = []

        def forward(_: nn.Module, batch: dict[str, Any]) -> Any:
            loss, output = super(OptimaTrainer, self).compute_loss(model, batch, True, num_items_in_batch)
            own.append(loss)
            return output

        output, losses = self.optima.compare(inputs, forward)
        share = self.current_gradient_accumulation_steps if self._is_scaled(num_items_in_batch) else 1
        matching = self.optima.total(losses) - losses.train
        return (own[0] + matching / share, output) if return_outputs else own[0] + matching / share

    def _is_scaled(self, num_items_in_batch: Any) -> bool:
        """Whether the Trainer takes a loss as a share of the accumulated batches, and leaves it as it is."""
        return (self.model_accepts_loss_kwargs and num_items_in_batch is not None) or self.compute_loss_func is not None

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The Trainer's optimizer, with the W^i."""
        optimizer = super().create_optimizer(model)
        optimized = {id(each) for group in optimizer.param_groups for each in group["params"]}
        matrices = [matrix for matrix in self.optima.parameters() if id(matrix) not in optimized]
        if matrices:
            optimizer.add_param_group({"params": matrices, "weight_decay": 0.0})
        return optimizer

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        path = None if checkpoint is None else Path(checkpoint) / STATE
        if path is not None and path.is_file():
            self.optima.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))


class _Steps(TrainerCallback):
    """Counts the optimizer's updates, and keeps what a checkpoint needs."""

    def __init__(self, optima: Optima) -> None:
        self.optima = optima

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """A round may end here. The Trainer clears the gradients of its model alone."""
        for matrix in self.optima.parameters():
            matrix.grad = None
        self.optima.step()

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        """Beside what the Trainer has saved."""
        folder = Path(args.output_dir or ".") / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero:
            with replacing(folder / STATE) as part:
                torch.save(self.optima.state_dict(), part)
