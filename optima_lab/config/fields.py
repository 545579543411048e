"""Fields of a configuration: their types, ranges and meanings, checked when a group of them is made.

A range is data beside the field, so that the one line which refuses a value can say what must hold.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import Field, field, fields
from math import isfinite
from typing import Any, get_type_hints

from optima_lab.errors import ConfigError, nearest

Value = int | float | str | bool
SAME = {"same": True}  # changes no record: no part of any id


def at_least(low: float) -> dict[str, Any]:
    """A number of at least `low`."""
    return {"check": lambda value: value >= low, "must": f"at least {low:g}"}


def between(low: float, high: float, *, closed: bool = False) -> dict[str, Any]:
    """A number between two others, or from one `to` the other where `closed`."""
    inside: Callable[[float], bool] = (lambda v: low <= v <= high) if closed else (lambda v: low < v < high)
    return {"check": inside, "must": f"{'from' if closed else 'between'} {low:g} {'to' if closed else 'and'} {high:g}"}


def one_of(*names: str) -> dict[str, Any]:
    """One of these words."""
    return {"check": lambda value: value in names, "must": f"one of {', '.join(names)}", "names": names}


def _are_layers(text: str) -> bool:
    parts = text.split("/")
    return len(parts) == 3 and all(part.isdecimal() and int(part) > 0 for part in parts)


LAYERS = {"check": _are_layers, "must": "layers of image/text/decoder such as 4/2/2"}
MAYBE_LAYERS = {"check": lambda text: not text or _are_layers(text), "must": f"empty or {LAYERS['must']}"}


def parameter(default: Any, rule: dict[str, Any], description: str) -> Any:
    """A dataclass field with its range and what it is, in one line."""
    return field(default=default, metadata={**rule, "about": description})


def layers(text: str) -> tuple[int, int, int]:
    """(image, text, decoder) layers of '4/2/2'."""
    image, words, decoder = (int(part) for part in text.split("/"))
    return image, words, decoder


def flat_name(f: Field[Any]) -> str:
    """A field's name at a shell: unique over all groups."""
    return f.metadata.get("flat", f.name)


class Checked:
    """Every field of a group is checked when the group is made."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in fields(self):  # pyright: ignore[reportArgumentType]
            if "about" in f.metadata:
                _check_field(flat_name(f), hints[f.name], f.metadata, getattr(self, f.name))


def _check_field(name: str, kind: type, rule: Mapping[str, Any], value: Any) -> None:
    if type(value) is not kind:
        raise ConfigError(f"{name} must be {_kind(kind)}, got {value!r} ({type(value).__name__})")
    if kind is float and not isfinite(value):
        raise ConfigError(f"{name} must be finite, got {value!r}")
    if "check" in rule and not rule["check"](value):
        hint = nearest(value, rule["names"]) if "names" in rule else ""
        raise ConfigError(f"{name} must be {rule['must']}, got {value!r}{hint}")


def _kind(kind: type) -> str:
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[kind]


def cast(kind: type, text: Any, name: str) -> Value:
    """A value typed in a shell or notebook as the type its parameter has; nothing is evaluated.

    Raises ConfigError where the text is not of that type.
    """
    if isinstance(text, bool) or not isinstance(text, str):
        fits = type(text) is kind or (kind is float and type(text) is int)
        with suppress(OverflowError):  # a whole number may be too large for a float
            if fits:
                return kind(text)
    else:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        try:
            return words[text.strip().lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            pass
    raise ConfigError(f"{name} must be {_kind(kind)}, got {text!r}")
