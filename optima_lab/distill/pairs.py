"""A student and its teacher, module by module: what both show to one batch, layer beside matched layer."""

import warnings
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from optima_lab.distill.capture import Capture, CapturedLayer, Layers, Place, find
from optima_lab.distill.layers import ModuleShape, matched_layer
from optima_lab.distill.losses import at_least_fp32
from optima_lab.distill.trace import Features
from optima_lab.errors import ConfigError, nearest

Call = Callable[[Any, Any], Any]  # (model, batch) → the model's output
Mask = Hashable | Callable[[Any], Tensor]  # what of a batch it is, by its key there, or a function of the batch
ATTENTION = ("auto", "scores", "")


def call_model(model: Any, batch: Any) -> Any:
    """A batch by its parts' names, in their order, or as it is."""
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple | list) else model(batch)


@dataclass(frozen=True)
class Calls:
    """How both models are called, and what they read: the positions of a module that count, by module."""

    student: Call = call_model
    teacher: Call = call_model
    masks: Mapping[str, Mask] = field(default_factory=dict)

    def mask(self, module: str, batch: Any) -> Tensor | None:
        """bool (sequence, token), True where a token counts; None where all do. Raises ConfigError without it."""
        if module not in self.masks:
            return None
        where = self.masks[module]
        if callable(where):
            return where(batch).bool()
        keys = list(batch) if isinstance(batch, Mapping) else list(range(len(batch)))
        if where not in keys:
            valid = [str(key) for key in keys]
            raise ConfigError(
                f"masks: {module!r} must name a part of a batch, got {where!r}{nearest(str(where), valid)}"
            )
        return batch[where].bool()


class Pair:
    """Both models with their hooks. `names` are the arms' modules: the modules themselves, or groups of layers of one.

    `seen` are those of them whose attention is compared; known once `probe` has run.
    Raises ConfigError for globs that match nothing and groups that do not fit.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        modules: tuple[Mapping[str, Layers], Mapping[str, Layers]],
        calls: Calls,
        groups: int = 0,
    ) -> None:
        self.student, self.teacher, self.calls = student, teacher, calls
        own, theirs = (find(model, each) for model, each in zip((student, teacher), modules, strict=True))
        matched = {name: _matched(places, theirs[name]) for name, places in own.items()}
        self.names = _named(own, groups)
        self.module = {name: module for name, (module, _) in self.names.items()}
        self.shapes: tuple[dict[str, ModuleShape], dict[str, ModuleShape]] = ({}, {})
        self.attended: frozenset[str] = frozenset()
        self._own, self._theirs = Capture(student, own), Capture(teacher, matched)

    def teacher_forward(self, batch: Any) -> Any:
        """What the teacher returns; it leaves no graph."""
        with torch.no_grad():
            return self._theirs.run(lambda: self.calls.teacher(self.teacher, batch))

    def student_forward(self, batch: Any, call: Call | None = None) -> Any:
        """What the student returns, called in its usual way or by `call`."""
        return self._own.run(lambda: (call or self.calls.student)(self.student, batch))

    def teacher_features(self, names: Collection[str]) -> Features:
        """Of these modules, from the teacher's last forward."""
        features = Features()
        for name in names:
            layers = self._layers(self._theirs, name)
            self._note(features, name, layers)
            features.pair_mask[name] = _allowed(layers)
        return features

    def student_features(self, names: Collection[str], batch: Any, teacher: Features) -> Features:
        """Of these modules, from the student's last forward; masks are True where a position counts in both models."""
        features = Features()
        for name in names:
            layers = self._layers(self._own, name)
            self._note(features, name, layers)
            real = features.token_mask[name] = self._mask(name, batch, layers[0].hidden)
            masks = [_allowed(layers), teacher.pair_mask[name], *_real_pairs(layers[0], real)]
            features.pair_mask[name] = _all([mask for mask in masks if mask is not None])
        return features

    def forget(self) -> None:
        """Let go of the last forward."""
        self._own.forget()
        self._theirs.forget()

    def remove_hooks(self) -> None:
        """Take the hooks off both models."""
        self._own.remove()
        self._theirs.remove()

    def probe(self, attention: str, wanted: Collection[str]) -> None:
        """Find out widths and which attention can be seen, from the last forward.

        attention: as `Optima` has it. wanted: modules whose attention was asked for by name.
        Raises ConfigError for models that read unlike lengths, and for attention that was asked for and is not seen.
        """
        unseen = []
        for name, module in self.module.items():
            own, theirs = self._layers(self._own, name), self._layers(self._theirs, name)
            for shapes, layers in zip(self.shapes, (own, theirs), strict=True):
                shapes[name] = ModuleShape(len(layers), layers[0].hidden.shape[-1])
            pairs = [*zip(own, theirs, strict=True)]
            for s, t in pairs:
                _require_same_length(module, s.hidden, t.hidden)
            reason = next((reason for s, t in pairs if (reason := _unseen(s, t))), "")
            if reason and (attention == "scores" or (attention and module in wanted)):
                raise ConfigError(
                    f"module {module!r}: its attention must be seen, but {reason}; attention='auto' goes on"
                )
            if reason:
                unseen.append(f"{name} ({reason})")
            elif attention:
                self.attended |= {name}
        if unseen and attention:
            reasons = ", ".join(unseen)
            warnings.warn(f"hidden states alone are matched where attention is not seen: {reasons}", stacklevel=3)

    def _layers(self, capture: Capture, name: str) -> list[CapturedLayer]:
        module, rows = self.names[name]
        return capture.captured(module)[rows]

    def _note(self, features: Features, name: str, layers: Sequence[CapturedLayer]) -> None:
        # in the format of the W^i at least; autocast still multiplies in its own
        features.hidden[name] = [at_least_fp32(layer.hidden) for layer in layers]
        if name in self.attended:
            features.attention[name] = [layer.call.scores() for layer in layers if layer.call is not None]

    def _mask(self, name: str, batch: Any, hidden: Tensor) -> Tensor | None:
        mask = self.calls.mask(self.module[name], batch)
        if mask is not None and mask.shape != hidden.shape[:2]:
            must, got = tuple(hidden.shape[:2]), tuple(mask.shape)
            raise ConfigError(f"masks: {self.module[name]!r} must be (sequence, token) {must} as its layers, got {got}")
        return mask


def _matched(own: Sequence[Place], theirs: Sequence[Place]) -> list[Place]:
    """The teacher's layer ⌈g·i⌉ for every layer of the student."""
    return [theirs[matched_layer(i, len(own), len(theirs)) - 1] for i in range(1, len(own) + 1)]


def _named(own: Mapping[str, Sequence[Place]], groups: int) -> dict[str, tuple[str, slice]]:
    """Which of whose layers each name stands for: all, or one of `groups` parts of one module as equal as can be."""
    if not groups:
        return {name: (name, slice(None)) for name in own}
    if len(own) != 1:
        raise ConfigError(f"groups must cut one module in layer groups, got groups={groups} and {', '.join(own)}")
    ((name, layers),) = own.items()
    if not 1 <= groups <= len(layers):
        raise ConfigError(f"groups must be from 1 to the student's {len(layers)} layers, got {groups}")
    edges = [len(layers) * n // groups for n in range(groups + 1)]
    return {f"{name}{n + 1}": (name, slice(edges[n], edges[n + 1])) for n in range(groups)}


def _unseen(own: CapturedLayer, theirs: CapturedLayer) -> str:
    """Why the attention of two layers cannot be compared, or ''."""
    for whose, layer in (("the student's", own), ("the teacher's", theirs)):
        if layer.call is None:
            return f"{whose} kernel was not called"
        if len(layer.call.query) != len(layer.hidden):
            return f"{whose} is cut into windows"
    assert own.call is not None and theirs.call is not None
    lengths = [(call.query.shape[2], call.key.shape[2]) for call in (own.call, theirs.call)]
    return "" if lengths[0] == lengths[1] else f"it is {lengths[0]} in the student and {lengths[1]} in the teacher"


def _require_same_length(module: str, own: Tensor, theirs: Tensor) -> None:
    if own.shape[:2] != theirs.shape[:2]:
        s, t = tuple(own.shape[:2]), tuple(theirs.shape[:2])
        raise ConfigError(
            f"module {module!r}: both models must read the same (sequence, token), got student {s}, teacher {t}"
        )


def _allowed(layers: Sequence[CapturedLayer]) -> Tensor | None:
    """bool (sequence or 1, query, key): what every layer's kernel lets through; layers often share one mask."""
    calls = {(id(layer.call.mask), layer.call.causal): layer.call for layer in layers if layer.call is not None}
    return _all([mask for call in calls.values() if (mask := call.allowed()) is not None])


def _real_pairs(layer: CapturedLayer, real: Tensor | None) -> list[Tensor]:
    """Masks of real queries and, where a module attends to itself, of real keys."""
    if real is None or layer.call is None:
        return []
    keys = layer.call.key.shape[2]
    return [real[:, :, None].expand(-1, -1, keys), *([real[:, None]] if keys == real.shape[1] else [])]


def _all(masks: Sequence[Tensor]) -> Tensor | None:
    whole = None
    for mask in masks:
        whole = mask if whole is None else whole & mask
    return whole
