"""What a user's own code is known by: all of it that can decide a number, and what it uses.

`source_of` reads a function, class or object as it stands in a notebook's cell or a module, and follows what it uses:
helper functions, bases, closures, globals, default values. What is installed counts by its name, data by its value.
It cannot see what is looked up by text (`getattr(x, name)`, `eval`), nor files that are read.
"""

import ast
import builtins
import dis
import functools
import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from hashlib import sha256
from inspect import getsource, unwrap
from pathlib import Path
from textwrap import dedent
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from optima_lab.errors import ConfigError
from optima_lab.source.essence import essence, words_of

LIBRARY = Path(__file__).parents[1]
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Source:
    """A user's own code: `id`, twelve hex digits of all that can decide a number; `texts`, its source by name."""

    id: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)


def function_name(function: Any) -> str:
    """What a function or a callable object is called."""
    return getattr(function, "__name__", type(function).__name__)


def source_of(*things: Any) -> Source:
    """The source of functions, classes or objects of a user's own, with all that they use.

    Raises ConfigError where there is no source, or something is used of which no id can be made.
    """
    reader = _Reader()
    parts = [reader.describe(each, _name(each)) for each in things]
    return Source(sha256("\n".join([*parts, *reader.parts]).encode()).hexdigest()[:12], reader.texts)


def cells(*things: Any) -> dict[str, str]:
    """The files, notebooks' cells among them, that these things' source is read from: what another process lacks."""
    reader = _Reader()
    for each in things:
        reader.describe(each, _name(each))
    return reader.files


def keep_cells(files: Mapping[str, str]) -> None:
    """Let source be read from these texts, as notebooks let it from their cells."""
    for name, text in files.items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


class _Reader:
    """What has been read so far: parts of the id, texts by name, files by name."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.texts: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self._seen: set[int] = set()

    def describe(self, value: Any, who: str) -> str:
        """A value in words that are the same in every process; code of the user's is read on the way."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes | Path):
            return repr(value)
        if isinstance(value, tuple | list):
            return f"{type(value).__name__}({', '.join(self.describe(each, who) for each in value)})"
        if isinstance(value, set | frozenset):
            return f"set({', '.join(sorted(self.describe(each, who) for each in value))})"
        if isinstance(value, Mapping):
            pairs = sorted(f"{self.describe(k, who)}: {self.describe(v, who)}" for k, v in value.items())
            return f"{{{', '.join(pairs)}}}"
        if type(value).__module__.startswith("torch") and hasattr(value, "untyped_storage"):
            value = np.asarray(value.detach().cpu())
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            return f"array({array.dtype}, {array.shape}, {sha256(array.tobytes()).hexdigest()})"
        return self._code(value, who)

    def _code(self, value: Any, who: str) -> str:
        if isinstance(value, MethodType):
            return f"{self.describe(value.__self__, who)}.{self.describe(value.__func__, who)}"
        if isinstance(value, functools.partial):
            return f"partial({self.describe([value.func, value.args, value.keywords], who)})"
        if isinstance(value, ModuleType):
            return self._module(value)
        value = unwrap(value) if callable(value) and hasattr(value, "__wrapped__") else value
        if isinstance(value, FunctionType):
            return self._once(value, self._function) if _is_users(value.__code__.co_filename) else _name(value)
        if isinstance(value, type):
            return self._once(value, self._class) if _is_users(_file(value)) else _name(value)
        if callable(value) and hasattr(value, "__name__"):  # a builtin, numpy's ufuncs
            return _name(value)
        if hasattr(value, "__dict__") and (_is_users(_file(type(value))) or is_dataclass(value)):
            return f"{self.describe(type(value), who)}({self.describe(vars(value), who)})"
        raise ConfigError(
            f"{who} uses a {type(value).__name__}, of which no run's id can be made: use numbers, texts, arrays, "
            "functions or classes, or make what it needs inside"
        )

    def _once(self, value: Any, read: Callable[[Any], None]) -> str:
        if id(value) not in self._seen:
            self._seen.add(id(value))
            read(value)
        return value.__qualname__

    def _module(self, module: ModuleType) -> str:
        file = getattr(module, "__file__", None)
        if file and _is_users(file) and id(module) not in self._seen:
            self._seen.add(id(module))
            self.parts.append(essence(_text(file, module.__name__)))
            self.texts[module.__name__] = self._note(file, module.__name__)
        return f"module {module.__name__}"

    def _note(self, file: str, who: str) -> str:
        self.files[file] = _text(file, who)
        return self.files[file]

    def _function(self, function: FunctionType) -> None:
        code = function.__code__
        text = self._note(code.co_filename, _name(function))
        nodes = [node for node in ast.walk(ast.parse(text)) if _begins(node) == (code.co_firstlineno, code.co_name)]
        if len(nodes) != 1:
            raise ConfigError(
                f"{_name(function)} must be found once in its source, got {len(nodes)}: write it as a def"
            )
        self._keep(function, nodes[0], text)
        self._used(function, nodes[0])

    def _class(self, kind: type) -> None:
        members = dict(sorted(vars(kind).items()))  # pickled classes come back in another order
        functions = [each for each in map(_function_of, members.values()) if each]
        own = [each for each in functions if _is_users(each.__code__.co_filename) and _is_written(each)]
        inside = [each for each in own if each.__qualname__.startswith(f"{kind.__qualname__}.")]
        node, text = self._class_node(kind, inside)
        self._keep(kind, node, text)
        for base in kind.__bases__:
            self.parts.append(self.describe(base, kind.__qualname__))
        for name, value in members.items():
            if not name.startswith("__") and isinstance(
                value, bool | int | float | str | tuple | list | dict | np.ndarray
            ):
                self.parts.append(f"{name} = {self.describe(value, kind.__qualname__)}")
        for each in own:
            if each in inside:
                self._used(each, node)
            else:
                self.parts.append(self.describe(each, kind.__qualname__))

    def _class_node(self, kind: type, inside: list[FunctionType]) -> tuple[ast.AST, str]:
        if not inside:  # nothing but values: what Python finds by itself
            try:
                text = dedent(getsource(kind))
            except (OSError, TypeError):
                raise ConfigError(f"{_name(kind)} must have source that can be found: give it a method") from None
            return ast.parse(text).body[0], text
        code = inside[0].__code__
        text = self._note(code.co_filename, _name(kind))
        named = (
            node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef) and node.name == kind.__name__
        )
        around = [node for node in named if node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)]
        if not around:
            raise ConfigError(f"{_name(kind)} must stand in its source as a class, and does not")
        return around[-1], text

    def _keep(self, thing: Any, node: Any, text: str) -> None:
        self.parts.append(words_of(node))
        first = min(each.lineno for each in (node, *getattr(node, "decorator_list", ())))
        lines = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
        written = ast.get_source_segment(text, node) if isinstance(node, ast.Lambda) else dedent(lines)
        self.texts[thing.__qualname__] = written or ""

    def _used(self, function: FunctionType, node: ast.AST) -> None:
        """All that a function reads from outside: closure, default values, globals, parts of the user's modules."""
        who, code = _name(function), function.__code__
        self._check_current(function, node)
        values = [function.__defaults__, function.__kwdefaults__]
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            values += [cell.cell_contents] if name != "__class__" else []
        self.parts.append(self.describe(values, who))
        for name in sorted(_globals(code)):
            if name not in function.__globals__:
                if not hasattr(builtins, name):
                    raise ConfigError(f"{who} uses {name!r}, which is not defined")
                continue
            value = function.__globals__[name]
            described = [*self._parts_of(value, name, node)] or [value]
            self.parts += [f"{name} = {self.describe(each, f'{who}, by its global {name!r},')}" for each in described]

    def _parts_of(self, value: Any, name: str, node: ast.AST) -> Iterator[Any]:
        """What is taken from a module of the user's: `helpers.scale`; nothing for what is no such module."""
        if isinstance(value, ModuleType) and _is_users(getattr(value, "__file__", None) or "<frozen"):
            for part in ast.walk(node):
                if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == name:
                    yield getattr(value, part.attr, None)

    def _check_current(self, function: FunctionType, node: ast.AST) -> None:
        """Raise where a file says something else by now than what runs (pytest rewrites what holds an assert)."""
        code = function.__code__
        if any(isinstance(part, ast.Assert) for part in ast.walk(node)):
            return
        if code not in _codes(_text(code.co_filename, _name(function))):
            raise ConfigError(f"{_name(function)} must be what its file says, and is older: reload its module")


def _text(file: str, who: str) -> str:
    lines = linecache.getlines(file)
    if not lines:
        raise ConfigError(f"{who} must have source that can be found; define it in a cell or in a module")
    return "".join(lines)


@functools.lru_cache(maxsize=16)
def _codes(text: str) -> frozenset[CodeType]:
    """The code of every function of a text, compiled as a module is, and statement by statement as IPython does."""
    tree = ast.parse(text)
    units = [tree, *(ast.Module([statement], []) for statement in tree.body)]
    codes, waiting = set[CodeType](), [compile(unit, "", "exec", dont_inherit=True) for unit in units]
    while waiting:
        inside = [each for each in waiting.pop().co_consts if isinstance(each, CodeType)]
        codes.update(inside)
        waiting += inside
    return frozenset(codes)


def _begins(node: ast.AST) -> tuple[int, str]:
    """(first line, name) of a function, as its code has them."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.name
    return (node.lineno, "<lambda>") if isinstance(node, ast.Lambda) else (0, "")


def _globals(code: CodeType) -> set[str]:
    """The names that a function, or one within it, reads from its module."""
    names = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_globals(each) for each in code.co_consts if isinstance(each, CodeType)))


def _function_of(value: Any) -> FunctionType | None:
    """The function behind a member of a class."""
    for name in ("fget", "__func__", "func"):
        value = getattr(value, name, value) if not isinstance(value, FunctionType) else value
    value = unwrap(value) if callable(value) and hasattr(value, "__wrapped__") else value
    return value if isinstance(value, FunctionType) else None


def _is_written(member: FunctionType) -> bool:
    """Whether a member of a class is not one that dataclasses made."""
    return member.__code__.co_filename != "<string>"


def _file(kind: type) -> str:
    """The file of a class's module; '' in a notebook."""
    if kind.__module__ in ("__main__", "__mp_main__") or kind.__module__ not in sys.modules:
        return ""
    return getattr(sys.modules[kind.__module__], "__file__", None) or "<frozen"


def _is_users(file: str) -> bool:
    """Whether a file is neither Python's, nor installed, nor of this library."""
    path = Path(file)
    ours = path.is_relative_to(LIBRARY) or path.is_relative_to(sysconfig.get_path("stdlib"))
    return not (ours or _INSTALLED & set(path.parts) or file.startswith("<frozen"))


def _name(value: Any) -> str:
    """'numpy.maximum', 'MyPolicy'; a module of the user's is left out."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__
    module = getattr(value, "__module__", None) or ""
    return name if module in ("__main__", "", "builtins") else f"{module}.{name}"
