"""What can go wrong by a user's hand: every message is one line that says what must hold and what came."""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class OptimaError(Exception):
    """Base of all errors that the command line prints as one line, whatever text of others it quotes."""

    def __str__(self) -> str:
        return one_line(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the one line, and none of the library's own calls."""
        return [f"{type(self).__name__}: {self}"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a notebook's stop: what is finished is kept. In a notebook it is one line."""

    def _render_traceback_(self) -> list[str]:
        return ["Interrupted: what is finished is kept; run the cell again to go on"]


@contextmanager
def interruptible() -> Iterator[None]:
    """An interrupt inside is an `Interrupted` outside."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted from None


class ConfigError(OptimaError, ValueError):
    """A parameter has a wrong name, type or range."""


class DataError(OptimaError):
    """A data folder, record or picture is missing or broken."""


class RecordError(OptimaError):
    """A run folder cannot be read or written."""


class NotebookError(OptimaError):
    """A notebook could not be executed to its end."""


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless `condition`: parameters are checked at construction."""
    if not condition:
        raise ConfigError(message)


def one_line(text: str, most: int = 2000) -> str:
    """The text as one printable line of at most `most` characters: line breaks and terminal codes are written out."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


# What the paper, or other libraries, call our parameters.
SYNONYMS = {
    **dict.fromkeys(("gamma", "γ", "discount", "forgetting", "halflife", "half_life", "momentum"), "decay"),
    **dict.fromkeys(("t0", "first_plays", "warmup_plays", "initial_rounds"), "initial_plays"),
    **dict.fromkeys(("p", "round_length", "steps_per_round", "interval", "period"), "round_steps"),
    **dict.fromkeys(("learning_rate", "rate", "eta"), "lr"),
    **dict.fromkeys(("epochs", "iterations", "max_steps", "num_steps", "t'"), "steps"),
    **dict.fromkeys(("bs", "batch", "batchsize"), "batch_size"),
    **dict.fromkeys(("alpha1", "alpha_1", "α1", "kl_weight"), "alpha_kl"),
    **dict.fromkeys(("alpha2", "alpha_2", "α2", "hidden_weight"), "alpha_hidden"),
    **dict.fromkeys(("alpha3", "alpha_3", "α3", "attention_weight"), "alpha_attention"),
    **dict.fromkeys(("temperature", "tau", "t"), "kl_temperature"),
    **dict.fromkeys(("task",), "tasks"),
    **dict.fromkeys(("seed",), "seeds"),
    **dict.fromkeys(("out_dir", "run_dir"), "runs"),
}


def nearest(name: str, valid: list[str] | tuple[str, ...]) -> str:
    """'; did you mean X?' for the valid name that means the same, or is closest to `name`; else the valid names."""
    bare = name.lstrip("-")
    same = name[: len(name) - len(bare)] + SYNONYMS.get(bare.lower().replace("-", "_"), "\0")
    close = [same] if same in valid else get_close_matches(name, valid, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; valid: {', '.join(valid)}"
