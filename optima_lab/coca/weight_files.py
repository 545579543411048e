"""Files that are given as weights: what they really are, and the tensors of those that are weights.

The content decides, not the name. Nothing that a file holds is executed: safetensors hold numbers alone; of a pickle
only tensors, plain Python values and numpy's scalars are read.
"""

import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from warnings import catch_warnings
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from optima_lab.distill.checkpoint import load_tensors
from optima_lab.errors import ConfigError, one_line

_HEAD_BYTES = 4096
# How files begin that are taken for weights: a magic number, and what such a file is.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git-LFS pointer, not the weights: `git lfs pull` in its repository fetches them",
    ),
    (b"\x89HDF", "an HDF5 file (Keras or TensorFlow)"),
    (b"GGUF", "a GGUF file (llama.cpp)"),
    (b"\x1f\x8b", "a gzip archive: unpack it and name the file inside"),
    (b"BZh", "a bzip2 archive: unpack it and name the file inside"),
    (b"\xfd7zXZ", "an xz archive: unpack it and name the file inside"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it and name the file inside"),
    (b"Rar!", "a RAR archive: unpack it and name the file inside"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive: unpack it and name the file inside"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
)
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")
# What wrappers of models put between the names of their parts; DataParallel's `module` stands at the front alone.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def read_tensors(path: Path, name: str, device: str) -> dict[str, Tensor]:
    """A checkpoint's tensors by the model's own names, on `device` ('meta': shapes alone).

    Raises ConfigError naming the parameter `name`, the file, and what it is if not a checkpoint.
    """
    where = f"{name}: {path}"
    kind = what_it_is(path)
    if kind:
        raise ConfigError(f"{where} must be a checkpoint, got {kind}")
    try:
        content = _safetensors(path, device) if _is_safetensors(path) else _pickled(path, device)
    except UnpicklingError as error:
        raise ConfigError(f"{where} must hold tensors alone; refused, nothing executed: {_reason(error)}") from None
    except Exception as error:  # damaged bytes may raise anything
        reason = one_line(" ".join(str(error).split()), 120) or type(error).__name__
        raise ConfigError(f"{where} must be a whole checkpoint; it is broken: {reason}") from None
    content = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not isinstance(content, dict) or not content or not all(isinstance(each, Tensor) for each in content.values()):
        raise ConfigError(f"{where} must hold a model's tensors by name (a state_dict)")
    state = {plain_name(str(key)): value for key, value in content.items()}
    if len(state) < len(content):
        raise ConfigError(f"{where} must hold every tensor once; some names differ in 'module' or '_orig_mod' alone")
    return state


def plain_name(key: str) -> str:
    """'visual.proj' of 'module._orig_mod.visual.proj': without what compiling and parallel training put there."""
    parts = [part for part in key.split(".") if part not in _WRAPPERS]
    while len(parts) > 1 and parts[0] == "module":
        parts = parts[1:]
    return ".".join(parts)


def what_it_is(path: Path) -> str:
    """What a file is that can be no checkpoint, with what to do about it; '' for one that may be a checkpoint."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if not head.strip(b"\x00"):
        return "an empty file" if not head else "a file that begins with zeros: its download was not finished"
    for magic, text in _BEGINNINGS:
        if head.startswith(magic):
            return text
    if head.startswith(b"PK"):
        return _in_zip(path)
    if head[257:262] == b"ustar":
        return _in_tar(path)
    return _in_text(head) if not _is_safetensors(path) else ""


def _in_text(head: bytes) -> str:
    """What a text is; '' for bytes that are none. Pickles of protocol 0 are texts, too, and no checkpoints of today."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if re.match(rb"<(!doctype html|html|head|\?xml|!--)", start):
        return "an HTML page: its download ended at a page that asks or refuses; fetch the file itself"
    if start.startswith((b"{", b"[")) and _TEXT.fullmatch(head):
        index = b'"weight_map"' in head
        return "the index of a checkpoint in pieces: name one whole file" if index else "a JSON text"
    return "a text" if _TEXT.fullmatch(head) and not head.startswith((b"(", b"c", b"\x80")) else ""


def _in_zip(path: Path) -> str:
    """torch writes zip archives itself: with a pickle in it, and TorchScript with code beside that."""
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return ""  # half of one: torch says what it lacks
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript program: save the model's state_dict instead"
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return ""
    return f"{_archive('zip', names)}"


def _in_tar(path: Path) -> str:
    try:
        with tarfile.open(path) as archive:
            names = archive.getnames()
    except (tarfile.TarError, OSError, EOFError):
        names = []
    return _archive("tar", names)


def _archive(kind: str, names: list[str]) -> str:
    first = f" with {one_line(names[0], 60)}" if names else ""
    return f"a {kind} archive{first}: unpack it and name the file inside"


def _is_safetensors(path: Path) -> bool:
    """Eight bytes that count the header's, then the header: an object of JSON."""
    with path.open("rb") as file:
        length, first = int.from_bytes(file.read(8), "little"), file.read(1)
    return first == b"{" and length >= 2 and (length < path.stat().st_size or path.suffix == ".safetensors")


def _safetensors(path: Path, device: str) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        if device == "meta":
            return {key: torch.empty(file.get_slice(key).get_shape(), device="meta") for key in file.keys()}  # noqa: SIM118
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def _pickled(path: Path, device: str) -> Any:
    allowed = torch.serialization.safe_globals(_numpy_scalars())
    # Warnings are of what is refused anyway; by a path torch would go by the name's ending.
    with catch_warnings(action="ignore"), allowed, path.open("rb") as file:
        return load_tensors(file, device)


def _numpy_scalars() -> list[Callable | tuple[Callable, str]]:
    """What a pickled numpy scalar names, in numpy 1 and 2: our own maker of numbers, and the kinds of number."""
    kinds = {type(np.dtype(code)) for code in "?bhilqBHILQefdgFDG"}
    makers = [(_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*makers, np.dtype, *kinds]


def _number(dtype: np.dtype, content: bytes | str = b"") -> np.generic:
    """A numpy scalar of its bytes, and nothing else that numpy's own function would make (objects, arrays)."""
    content = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufc" or not isinstance(content, bytes):
        raise UnpicklingError("a numpy scalar must be a number")
    if len(content) != dtype.itemsize:
        raise UnpicklingError(f"a numpy scalar of {dtype} must have {dtype.itemsize} bytes, got {len(content)}")
    return np.frombuffer(content, dtype)[0]


def _reason(error: UnpicklingError) -> str:
    """What torch refuses, without its advice to programmers."""
    text = " ".join(str(error).split("WeightsUnpickler error:")[-1].split())
    match = re.search(r"(?:GLOBAL |got <class ')([\w.]+)", text)
    if match:
        return f"it holds {match[1]}, which is no tensor; a file of the model's state_dict alone can be read"
    if "Unsupported operand" in text:
        return "it is a pickle that torch did not write"
    return one_line(re.split(r"\. |Please |Check the doc", text)[0].strip(), 160) or "it is no file of tensors"
