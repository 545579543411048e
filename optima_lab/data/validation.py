"""What a record must hold before it is believed: every refusal is one line with file, record, field, rule and value."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as member
from pathlib import Path
from typing import Any

from optima_lab.errors import DataError, nearest

_KINDS = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class Row:
    """One record, still unchecked: where it stands (`file:line` or `file: key[index]`) and what stands there."""

    where: str
    value: Any


@dataclass(frozen=True)
class Root:
    """A task's folder, and where links in it may lead: into the folder named, or the real folders `places`.

    `places` None lets them lead anywhere.
    """

    path: Path
    places: tuple[str, ...] | None = ()
    _real: dict[str, str] = member(default_factory=dict, compare=False)

    def lines(self, name: str, purpose: str) -> Iterator[Row]:
        """The lines of a JSON-lines file as rows of bytes; empty lines hold no record."""
        return json_lines(self.path / name, purpose, self.places)

    def rows(self, name: str, key: str, purpose: str) -> Iterator[Row]:
        """The members of the list under `key` in a JSON file."""
        return json_rows(self.path / name, key, purpose, self.places)

    def picture(self, row: Row, name: str, inner: str, relative: str) -> Path:
        """The picture `relative` in the folder `inner`: an existing file, not hidden, that links may lead to."""
        folder = self.path / inner
        problem = self._problem(str(folder), relative)
        if problem:
            must = f"field {name!r} must name a picture inside {folder}"
            raise DataError(f"{row.where}: {must}; got {shown(relative)}{problem}")
        return folder / relative

    def _problem(self, folder: str, relative: str) -> str:
        parts = relative.split("/")
        if os.path.isabs(relative) or ".." in parts:
            return ", which leaves that folder"
        if any(part.startswith(".") and part != "." for part in parts):
            return ", which is hidden: hidden files are no data"
        try:
            target = self._real_file(os.path.join(folder, relative))
            if not _may_lead(target, self.real(folder), self.places):
                return ", which leaves that folder by a link: links=true accepts that"
            return "" if os.path.isfile(target) else ", which is missing"
        except (OSError, ValueError) as error:
            return f", which is no file name ({shown(str(error))})"

    def real(self, folder: str) -> str:
        """`os.path.realpath`, once for each folder."""
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return self._real[folder]

    def _real_file(self, path: str) -> str:
        """`os.path.realpath`, without a look at every folder on the way where the file itself is no link."""
        folder, name = os.path.split(path)
        if name in ("", ".") or os.path.islink(path):
            return os.path.realpath(path)
        return os.path.join(self.real(folder), name)


def _may_lead(target: str, folder: str, places: tuple[str, ...] | None) -> bool:
    return places is None or any(os.path.commonpath([place, target]) == place for place in (folder, *places))


def shown(value: object, limit: int = 60) -> str:
    """The value as one short line of printable text."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def refuse(where: str, must: str, came: object) -> DataError:
    """The error to raise: `where: must; got came`."""
    return DataError(f"{where}: {must}; got {shown(came)}")


def fields_of(row: Row) -> dict[str, Any]:
    """The record as a JSON object; lines of a file arrive as bytes and are parsed here, so that each fails alone."""
    value = parse_json(row.value, row.where) if isinstance(row.value, bytes) else row.value
    if not isinstance(value, dict):
        raise refuse(row.where, "a record must be a JSON object", value)
    return value


def field(row: Row, record: dict[str, Any], name: str, kind: type, empty: bool = False) -> Any:
    """`record[name]`, which must be there and of `kind`; strings come stripped and may only be empty if `empty`."""
    if name not in record:
        raise DataError(f"{row.where}: field {name!r} must be there; got fields {shown(sorted(record))}")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise refuse(row.where, f"field {name!r} must be {_KINDS[kind]}", value)
    if kind is not str:
        return value
    if not (empty or value.strip()):
        raise refuse(row.where, f"field {name!r} must not be empty", value)
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise refuse(row.where, f"field {name!r} must be clean text", value)
    return value.strip()


def one_of(row: Row, name: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value`, which must be one of `allowed`."""
    if value not in allowed:
        must = f"field {name!r} must be one of {', '.join(map(repr, allowed))}"
        close = nearest(value, allowed)
        raise DataError(f"{row.where}: {must}; got {shown(value)}{close if 'mean' in close else ''}")
    return value


def json_lines(path: Path, purpose: str, places: tuple[str, ...] | None = ()) -> Iterator[Row]:
    """The lines of a JSON-lines file as rows of bytes; empty lines hold no record. `places` as `Root` has them."""
    for number, line in enumerate(read_bytes(path, purpose, places).splitlines(), start=1):
        if line.strip():
            yield Row(f"{path}:{number}", line)


def json_rows(path: Path, key: str, purpose: str, places: tuple[str, ...] | None = ()) -> Iterator[Row]:
    """The members of the list under `key` in a JSON file. `places` as `Root` has them."""
    content = parse_json(read_bytes(path, purpose, places), str(path))
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise refuse(str(path), f"the file must be a JSON object with a list under {key!r}", content)
    for index, value in enumerate(content[key]):
        yield Row(f"{path}: {key}[{index}]", value)


def parse_json(text: bytes, where: str) -> Any:
    """The JSON value of UTF-8 text in which no object has the same field twice."""
    try:
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_unique_fields)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} " if error.lineno > 1 else ""
        raise DataError(f"{where}: must be JSON; got a break at {place}column {error.colno} ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: must be JSON; {shown(str(error), 100)}") from None


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"field {next(n for n in names if names.count(n) > 1)!r} stands twice in one object")
    return record


def read_bytes(path: Path, purpose: str, places: tuple[str, ...] | None = ()) -> bytes:
    """A file of annotations, which `purpose` is read from. Raises DataError where there is none, or a link leaves."""
    if not path.is_file():
        raise DataError(f"{path} is missing: {purpose} is read from it")
    if not _may_lead(os.path.realpath(path), os.path.realpath(path.parent), places):
        raise DataError(
            f"{path} must be a file inside {path.parent}; it is a link that leaves that folder (links=true accepts it)"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
