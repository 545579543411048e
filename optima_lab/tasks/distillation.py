"""CoCa as what is distilled: the teacher, its students and their batches, for the generic loop of `distill`."""

from dataclasses import replace

import torch
from torch import Tensor

from optima_lab.bandits.arms import MODULES, Arm
from optima_lab.coca.forward import CoCaFeatures, decoded, every_layer, mask_counts, walk
from optima_lab.coca.grids import grid_resampling, resampled
from optima_lab.coca.model import TaskModel
from optima_lab.config import Config
from optima_lab.data.batches import probe
from optima_lab.data.datasets import TaskData
from optima_lab.distill.compile import compiled
from optima_lab.distill.layers import ModuleShape, matched_layer
from optima_lab.distill.losses import MicrobatchWeights
from optima_lab.distill.parallel import device
from optima_lab.distill.population import DistillationTask, Required, TeacherOutput
from optima_lab.distill.seeds import stream_seed
from optima_lab.distill.trace import AttentionSpec
from optima_lab.tasks.feeding import TrainingBatches
from optima_lab.tasks.objectives import (
    DeviceBatch,
    head_dropout,
    logits,
    prediction_kl,
    real_next_tokens,
    shown,
    to_device,
    training_loss,
)

ENCODERS = frozenset({"image", "text"})


class CoCaDistillation(DistillationTask[DeviceBatch]):
    """A fine-tuned teacher, students shaped like `student`, and one task's data."""

    modules = MODULES

    def __init__(self, config: Config, teacher: TaskModel, student: TaskModel, data: TaskData) -> None:
        self.config, self.teacher, self.data = config, teacher, data
        self.student = student  # any of them: they are all of one shape
        fast = config.distillation.compiled
        self.walk, self.decoded = (compiled(walk), compiled(decoded)) if fast else (walk, decoded)
        self.student_layers = every_layer(student.coca)
        self.teacher_layers = {
            module: [matched_layer(i, len(layers), teacher.depth(module)) for i in layers]
            for module, layers in self.student_layers.items()
        }
        training, seed = config.training, stream_seed(config, "batches")
        self.batches = TrainingBatches(config, data, training.batch_size, seed, training.student_texts)
        self.grid = grid_resampling(teacher, student) if config.distillation.resample else None

    def shapes(self, model: TaskModel) -> dict[str, ModuleShape]:
        """Layers and width of image encoder, text encoder and decoder."""
        return model.shapes()

    def probe_batch(self) -> DeviceBatch:
        """Rows of the training (or dev) split from a stream of their own."""
        split, size = getattr(self.data, self.config.distillation.probe_split), self.config.distillation.probe_size
        texts = self.config.training.student_texts if split is self.data.train else 0
        rows = probe(stream_seed(self.config, "probe"), shown(split, texts), size)
        return to_device(split.take(rows), device(self.config.model.device))

    def batch(self, step: int) -> DeviceBatch:
        """The batch of a step, augmented where the configuration says so."""
        return self.batches(step)

    def dropout(self, batch: DeviceBatch, step: int) -> Tensor | None:
        """The mask of the task layer's input; None without a head."""
        seed = stream_seed(self.config, "dropout")
        return head_dropout(self.student, batch, self.config.finetuning.dropout, seed, step)

    def microbatch_weights(self, part: DeviceBatch, whole: DeviceBatch, spec: AttentionSpec) -> MicrobatchWeights:
        """Shares of examples (captions: of real tokens), and of each module's tokens and pairs."""
        coca, pictures = self.student.coca, self.data.task.pictures
        ours, all = (mask_counts(coca, batch.tokens, pictures, spec) for batch in (part, whole))
        examples = len(part) / len(whole)
        tokens, pairs = ({m: ours[m][kind] / all[m][kind] for m in ours} | {"image": examples} for kind in (0, 1))
        pad = self.data.tokenizer.pad
        words = [real_next_tokens(b.tokens, pad).sum() for b in (part, whole)] if self.data.task.captions else []
        return MicrobatchWeights(words[0] / words[1] if words else examples, tokens, pairs)

    @torch.inference_mode()
    def teacher_forward(self, batch: DeviceBatch, required: Required) -> dict[AttentionSpec, TeacherOutput]:
        """The teacher on a batch. Kinds of the same attention share one walk of the encoders; the decoder is walked
        once for each."""
        coca, layers, pictures = self.teacher.coca, self.teacher_layers["decoder"], batch.images.shape[1]
        encoded = {kind: self._encode(batch, kind, required) for kind in {spec.attention for spec in required}}
        answers = {}
        for spec, (arm, predict) in required.items():
            features, noted = encoded[spec.attention], layers if "decoder" in arm else ()
            if predict or noted:
                features = self.decoded(coca, batch.tokens, pictures, features, noted, spec)
            prediction = logits(self.teacher, features) if predict else None
            answers[spec] = TeacherOutput(swapped(features, self.config.distillation.noise_module), prediction)
        return answers

    def _encode(self, batch: DeviceBatch, kind: str, required: Required) -> CoCaFeatures:
        """One walk of the encoders that this kind of attention is matched or decoded from, on the student's grid."""
        needs = [need for spec, need in required.items() if spec.attention == kind]
        matched = frozenset[str]().union(*(arm for arm, _ in needs))
        run = ENCODERS if "decoder" in matched or any(predict for _, predict in needs) else matched
        collect = {module: self.teacher_layers[module] for module in matched & ENCODERS}
        patches = batch.patches(self.teacher.patch_size)
        features = self.walk(
            self.teacher.coca, patches, batch.tokens, run=run, collect=collect, spec=AttentionSpec(kind)
        )
        return resampled(features, self.grid)

    def student_forward(
        self, model: TaskModel, batch: DeviceBatch, arm: Arm, spec: AttentionSpec, keep: Tensor | None = None
    ) -> tuple[CoCaFeatures, Tensor]:
        """One walk; `keep` is the task layer's dropout."""
        collect = {module: self.student_layers[module] for module in arm}
        features = self.walk(model.coca, batch.patches(model.patch_size), batch.tokens, collect=collect, spec=spec)
        return features, logits(model, features, keep)

    def training_loss(self, prediction: Tensor, batch: DeviceBatch) -> Tensor:
        """Cross-entropy over classes, or CoCa's captioning loss."""
        return training_loss(self.data.task, prediction, batch, self.data.tokenizer.pad)

    def prediction_kl(self, student: Tensor, teacher: Tensor, batch: DeviceBatch, temperature: float) -> Tensor:
        """KL(student ‖ teacher), for captions per token."""
        return prediction_kl(self.data.task, student, teacher, batch, self.data.tokenizer.pad, temperature)


def swapped(features: CoCaFeatures, module: str) -> CoCaFeatures:
    """What a teacher saw, but of one module what it saw of another example, half a batch away: noise to a student.

    It plants a world in which the best arm is known: the best of those without the module.
    """
    if module not in features.hidden:
        return features
    hidden, attention = (
        {**layers, module: [layer.roll(len(layer) // 2, 0) for layer in layers[module]]}
        for layers in (features.hidden, features.attention)
    )
    return replace(features, hidden=hidden, attention=attention)
