"""What can go wrong by a user's hand: every message is one line that says what must hold and what came."""

from difflib import get_close_matches


class OptimaError(Exception):
    """Base of all errors that the command line prints as one line, whatever text of others it quotes."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class ConfigError(OptimaError, ValueError):
    """A parameter has a wrong name, type or range."""


class DataError(OptimaError):
    """A data folder, record or picture is missing or broken."""


class RecordError(OptimaError):
    """A run folder cannot be read or written."""


class NotebookError(OptimaError):
    """A notebook could not be executed to its end."""


def one_line(text: str, most: int = 2000) -> str:
    """The text as one printable line of at most `most` characters: line breaks and terminal codes are written out."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def nearest(name: str, valid: list[str] | tuple[str, ...]) -> str:
    """'; did you mean X?' for the valid name closest to `name`, else the list of valid names."""
    close = get_close_matches(name, valid, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; valid: {', '.join(valid)}"
