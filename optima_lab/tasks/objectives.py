"""What a task adds to a CoCa: its head, its training loss, and the device-side batch both models see."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.transforms.v2 import RandAugment

from optima_lab.coca.forward import CoCaFeatures, patches, token_logits, walk
from optima_lab.coca.model import TaskModel, dropout_mask, pixels
from optima_lab.config import FinetuningStage, Task
from optima_lab.data.batches import Batch as HostBatch
from optima_lab.data.batches import Split, order
from optima_lab.data.datasets import TaskData
from optima_lab.distill import losses
from optima_lab.distill.parallel import device
from optima_lab.distill.population import Batch
from optima_lab.distill.seeds import derive_seed


@dataclass(frozen=True)
class DeviceBatch(Batch):
    """One batch on the device, as student and teacher see it."""

    images: Float[Tensor, "batch pictures 3 height width"]
    tokens: Int[Tensor, "batch token"]
    targets: Float[Tensor, "batch classes"]
    _cut: dict[int, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, rows: slice) -> "DeviceBatch":
        """Some of its rows."""
        return DeviceBatch(self.images[rows], self.tokens[rows], self.targets[rows])

    def patches(self, side: int) -> Float[Tensor, "batch pictures patch values"]:
        """The pictures as a model with patches of `side` pixels takes them, cut once for all such models."""
        if side not in self._cut:
            with torch.inference_mode(False):  # whoever asks first, a student's backward may need them
                self._cut[side] = patches(self.images, side)
        return self._cut[side]


def to_device(batch: HostBatch, where: torch.device, augment_seed: tuple[int, int] | None = None) -> DeviceBatch:
    """Move a batch; pictures travel as bytes, are augmented (given a seed) and become floats there.

    Apple's GPU lacks some of the augmentations: the CPU does them before.
    """
    arrays = (batch.images, batch.tokens, batch.targets)
    images, tokens, targets = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    first = where if where.type != "mps" else torch.device("cpu")
    images = _sent(images, first)
    if augment_seed is not None:
        images = rand_augment(images, augment_seed)
    return DeviceBatch(pixels(images.to(where)), _sent(tokens, where), _sent(targets, where))


def _sent(array: Tensor, where: torch.device) -> Tensor:
    """On the device; from pinned memory, so that what the GPU still has to do is not waited for."""
    return array.pin_memory().to(where, non_blocking=True) if where.type == "cuda" else array.to(where)


def rand_augment(images: Tensor, seed: tuple[int, int]) -> Tensor:
    """RandAugment(1, 10) of Tables 2 and 3 on uint8 pictures (batch, pictures, height, width, 3), each on its own."""
    # The paper is silent: 10 of how many; here of torchvision's 31 levels, a third of the strongest.
    transform = RandAugment(num_ops=1, magnitude=10)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*seed))
        flat = [transform(picture) for picture in images.flatten(0, 1).permute(0, 3, 1, 2)]
    return torch.stack(flat).permute(0, 2, 3, 1).view_as(images)


def logits(model: TaskModel, trace: CoCaFeatures, keep: Tensor | None = None) -> Tensor:
    """The model's prediction: (batch, classes), or for captions (batch, token - 1, vocabulary) of the next tokens."""
    if model.head is None:
        return token_logits(model.coca, trace)[:, :-1]
    assert trace.decoded is not None
    mask = trace.token_mask["decoder"]
    assert mask is not None
    return model.head(trace.decoded, mask, keep)


def predict(model: TaskModel, batch: DeviceBatch) -> Tensor:
    """`logits` of a plain forward, nothing collected."""
    return logits(model, walk(model.coca, batch.patches(model.patch_size), batch.tokens))


def real_next_tokens(tokens: Int[Tensor, "batch token"], pad: int) -> Tensor:
    """(batch, token - 1): where a caption's next token is a real one."""
    return tokens[:, 1:] != pad


def training_loss(task: Task, prediction: Tensor, batch: DeviceBatch, pad: int) -> Float[Tensor, ""]:
    """L_train of Eq. 1: cross-entropy over classes (soft targets for VQA), or CoCa's captioning loss."""
    if task.captions:
        return losses.caption_loss(prediction, batch.tokens[:, 1:], real_next_tokens(batch.tokens, pad))
    return losses.cross_entropy(prediction, batch.targets)


def prediction_kl(
    task: Task, student: Tensor, teacher: Tensor, batch: DeviceBatch, pad: int, temperature: float = 1.0
) -> Float[Tensor, ""]:
    """D_KL of Eq. 1 between predictions; for captions per token, the mean over real tokens."""
    mask = real_next_tokens(batch.tokens, pad) if task.captions else None
    return losses.kl_divergence(student, teacher, mask, temperature)


def training_batch(
    stage: FinetuningStage, data: TaskData, batch_size: int, seed: int, step: int, texts: int = 0
) -> DeviceBatch:
    """The batch of a step (from 1), augmented where the configuration says so; of the first `texts` (0: of all)."""
    batch = data.train.take(order(seed, step - 1, batch_size, shown(data.train, texts)))
    augment_seed = (seed, step) if stage.finetuning.rand_augment else None
    return to_device(batch, device(stage.model.device), augment_seed)


def shown(split: Split, texts: int) -> int:
    """How many rows of a split a student sees that is shown `texts` of them (0: all)."""
    return min(texts, len(split.tokens)) or len(split.tokens)


def head_dropout(model: TaskModel, batch: DeviceBatch, rate: float, seed: int, step: int) -> Tensor | None:
    """The task layer's dropout mask of a step, on the device; None without a head."""
    if model.head is None:
        return None
    mask = dropout_mask(derive_seed(seed, step), len(batch), model.head.classifier.in_features, rate)
    return None if mask is None else mask.to(batch.images.device)
