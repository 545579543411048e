"""What of code counts: all that can decide a number, as one text. Docstrings, comments and annotations do not."""

import ast

_WORDS = {"typing", "collections.abc", "jaxtyping", "__future__"}  # modules that annotations need
_PLACES = {"lineno", "col_offset", "end_lineno", "end_col_offset"}
_NO_NUMBERS = _PLACES | {"annotation", "returns", "type_comment", "type_params", "type_ignores", "kind", "ctx"}


def essence(source: str | bytes) -> str:
    """All of a module that can decide a number, as one text that is the same in every version of Python."""
    return words_of(ast.parse(source))


def words_of(node: ast.AST) -> str:
    """The same of a part of a module."""
    words: list[str] = []
    _put(node, words)
    return " ".join(words)


def _put(node: ast.AST, words: list[str]) -> None:
    if isinstance(node, ast.stmt) and _says_nothing(node):
        return
    words.append(type(node).__name__)
    if isinstance(node, ast.Raise):  # that it is raised, not in which words
        return
    for name, value in vars(node).items():
        if name in _NO_NUMBERS or value is None:
            continue
        if isinstance(value, ast.AST):
            _put(value, words)
        elif isinstance(value, list):
            words.append("[")
            for each in value:
                _put(each, words) if isinstance(each, ast.AST) else words.append(repr(each))
            words.append("]")
        else:
            words.append(repr(value))


def _says_nothing(node: ast.AST) -> bool:
    """Whether a statement is a text (a docstring), a gap, or there for annotations alone."""
    match node:
        case ast.Expr(ast.Constant()) | ast.Pass() | ast.If(ast.Name("TYPE_CHECKING")):
            return True
        case ast.ImportFrom(module):
            return module in _WORDS
    return False
