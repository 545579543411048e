"""Hidden states and attention scores of any model, by the names of its layers: hooks that a forward of ours wakes.

A module of a model is a list of layers, named by a glob over the dotted names of `model.named_modules()`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from optima_lab.distill.attention import AttentionCall, Kernels, patched_attention
from optima_lab.distill.projected import in_order, projected, require_multiplied
from optima_lab.errors import ConfigError


@dataclass(frozen=True)
class Layers:
    """Where a module's layers are: globs in which `*` stands for a part of a name between two dots.

    hidden: parts of the model whose outputs are the hidden states, one a layer.
    attention: parts within which the first attention is the layer's; by default those of `hidden`.
    heads: for attention that no kernel of PyTorch computes: `attention` then names the projections to queries and keys,
    one part a layer whose output is both (and values), or two; this many heads of queries are read from them.
    """

    hidden: str
    attention: str = ""
    heads: int = 0


@dataclass(frozen=True)
class CapturedLayer:
    """One layer in one forward: its output, and the attention that was seen in it, if any was."""

    hidden: Tensor
    call: AttentionCall | None


class Place(NamedTuple):
    """One layer: where its hidden state is, the part with its attention, and what projects to it where it is named."""

    hidden: str
    attention: str
    projections: tuple[str, ...] = ()
    heads: int = 0

    @property
    def parts(self) -> tuple[str, ...]:
        """Every part that is watched."""
        return self.hidden, self.attention, *self.projections


class Capture:
    """Watches these layers of one model in the forwards that go through `run`; other forwards pass unseen.

    Hooks are set once, here: before the model's first forward, where it is compiled.
    """

    def __init__(self, model: nn.Module, layers: Mapping[str, Sequence[Place]]) -> None:
        self.layers = layers
        self._kernels = Kernels(self._call)
        self._active = self._trains = False
        self._open: list[str] = []
        self._outputs: dict[str, list[Any]] = {}
        self._calls: dict[str, AttentionCall] = {}
        self._cut: list[str] = []
        self._handles: list[RemovableHandle] = []
        inner = unwrapped(model)
        for path in sorted({path for places in layers.values() for place in places for path in place.parts}):
            part = inner.get_submodule(path)
            self._handles.append(part.register_forward_pre_hook(_Enter(self, path)))
            self._handles.append(part.register_forward_hook(_Leave(self, path)))

    def run(self, forward: Callable[[], Any]) -> Any:
        """What `forward` returns; `seen` tells of it until the next call.

        Raises ConfigError where a layer's gradient would be lost: under reentrant checkpointing.
        """
        self._open, self._outputs, self._calls, self._cut = [], {}, {}, []
        with self._watching():
            output = forward()
        if self._cut:
            raise ConfigError(
                f"layers must run with gradients, but {self._cut[0]} ran without: "
                "checkpoint with use_reentrant=False, or leave frozen modules out"
            )
        return output

    def captured(self, module: str) -> list[CapturedLayer]:
        """The module's layers in the last forward. Raises ConfigError for one that did not run exactly once."""
        return [
            CapturedLayer(self._output(module, place.hidden), self._attention(module, place))
            for place in self.layers[module]
        ]

    def forget(self) -> None:
        """Let go of what was seen."""
        self._outputs, self._calls = {}, {}

    @contextmanager
    def _watching(self) -> Iterator[None]:
        self._active, self._trains = True, torch.is_grad_enabled()
        try:
            with patched_attention(self._kernels):
                yield
        finally:
            self._active = False

    def _attention(self, module: str, place: Place) -> AttentionCall | None:
        call = self._calls.get(place.attention)
        if not place.projections:
            return call
        if call is not None:
            raise ConfigError(
                f"module {module!r}: heads must be left out where a kernel is called, as in {place.attention}: "
                "it is given what is multiplied"
            )
        return projected([self._output(module, path) for path in place.projections], place.heads, place.attention)

    def _output(self, module: str, path: str) -> Tensor:
        outputs = self._outputs.get(path, [])
        if len(outputs) != 1:
            raise ConfigError(f"module {module!r}: layer {path} must run once in a forward, ran {len(outputs)} times")
        output = hidden_state(outputs[0])
        if output is None or output.ndim != 3:
            got = type(outputs[0]).__name__ if output is None else tuple(output.shape)
            raise ConfigError(f"module {module!r}: layer {path} must return (sequence, token, width), got {got}")
        return output

    def remove(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()

    def enter(self, path: str) -> None:
        """A part begins."""
        if self._active:
            self._open.append(path)

    def leave(self, path: str, output: Any) -> None:
        """A part ends."""
        if self._active:
            self._open.remove(path)
            self._outputs.setdefault(path, []).append(output)
            if self._trains and not torch.is_grad_enabled():
                self._cut.append(path)

    def _call(self, call: AttentionCall) -> None:
        """Note the first attention within each part that is running."""
        for path in self._open:
            self._calls.setdefault(path, call)


@dataclass(frozen=True)
class _Enter:
    """Tells a capture that a part begins."""

    capture: Capture
    path: str

    def __call__(self, *_: Any) -> None:
        self.capture.enter(self.path)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Asleep, ()


@dataclass(frozen=True)
class _Leave:
    """Tells a capture that a part ends, and with what."""

    capture: Capture
    path: str

    def __call__(self, _: nn.Module, __: Any, output: Any) -> None:
        self.capture.leave(self.path, output)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Asleep, ()


class _Asleep:
    """What a hook becomes in a copy or a file of the model: those are watched by nobody."""

    def __call__(self, *_: Any) -> None:
        pass


def hidden_state(output: Any) -> Tensor | None:
    """The hidden state in what a layer returns: a tensor, or the first of a tuple, or of an output by name."""
    if isinstance(output, Mapping):
        output = next(iter(output.values()), None)
    elif isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def unwrapped(model: nn.Module) -> nn.Module:
    """The model within `torch.compile` and data-parallel wrappers."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def find(model: nn.Module, modules: Mapping[str, Layers]) -> dict[str, list[Place]]:
    """Where every module's layers are, in the model's order.

    Raises ConfigError for a glob that matches nothing, naming the lists of layers there are, for one that matches more
    or fewer parts with attention than with hidden states, and for projections that are not yet what is multiplied.
    """
    model, places = unwrapped(model), {}
    for name, layers in modules.items():
        hidden = _matching(model, layers.hidden, name)
        scopes = _matching(model, layers.attention or layers.hidden, name)
        several = 2 if layers.heads and len(scopes) == 2 * len(hidden) else 1
        if len(scopes) != several * len(hidden):
            raise ConfigError(
                f"module {name!r} must have as many parts for attention as for hidden states, "
                f"got {len(scopes)} of {layers.attention!r} and {len(hidden)} of {layers.hidden!r}"
            )
        if layers.heads:
            parts = [in_order(name, tuple(scopes[n : n + several])) for n in range(0, len(scopes), several)]
            for each in parts:
                require_multiplied(model, name, each[0])
            blocks = [each[0].rpartition(".")[0] for each in parts]
            places[name] = [Place(*place, layers.heads) for place in zip(hidden, blocks, parts, strict=True)]
        else:
            places[name] = [Place(*place) for place in zip(hidden, scopes, strict=True)]
    return places


def _matching(model: nn.Module, glob: str, module: str, most: int = 12) -> list[str]:
    pattern = glob.split(".")
    names = [name for name, _ in model.named_modules() if name and _matches(name.split("."), pattern)]
    if not names:
        lists = [*layer_lists(model)]
        more = f" and {len(lists) - most} more" if len(lists) > most else ""
        available = f"its lists of layers are {', '.join(lists[:most])}{more}" if lists else "it has no list of layers"
        raise ConfigError(f"module {module!r}: a part of the model must match {glob!r}, none does; {available}")
    return names


def layer_lists(model: nn.Module) -> Iterator[str]:
    """Globs of the model's lists of layers: lists with at least two parts, all of one class."""
    for name, part in model.named_modules():
        kinds = {type(each) for each in part.children()}
        if isinstance(part, nn.ModuleList | nn.Sequential) and len(part) > 1 and len(kinds) == 1:
            yield f"{name}.*" if name else "*"


def _matches(name: list[str], pattern: list[str]) -> bool:
    return len(name) == len(pattern) and all(fnmatchcase(*pair) for pair in zip(name, pattern, strict=True))
