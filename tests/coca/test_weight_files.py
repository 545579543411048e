"""What is given as weights: read by its content, wrappers' names and numpy's scalars included; else said what it is."""

import argparse
import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from optima_lab.coca.weight_files import plain_name, read_tensors
from optima_lab.distill.checkpoint import load_tensors
from optima_lab.distill.finite import first_not_finite
from optima_lab.errors import ConfigError

ONES = torch.ones(2, 3)


def torch_bytes(content: Any, **how: Any) -> bytes:
    torch.save(content, buffer := io.BytesIO(), **how)
    return buffer.getvalue()


def zipped(name: str) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr(name, "x")
    return buffer.getvalue()


def tarred(name: str) -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def read(tmp_path: Path, content: bytes, name: str = "model.pt", device: str = "cpu") -> dict[str, torch.Tensor]:
    (tmp_path / name).write_bytes(content)
    return read_tensors(tmp_path / name, "teacher_weights", device)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2554\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (LFS, "a Git-LFS pointer, not the weights: `git lfs pull` in its repository fetches them"),
        (b"<!DOCTYPE html>\n<html lang=en>", "an HTML page: its download ended at a page that asks or refuses"),
        (b"\xef\xbb\xbf\n <HTML><body>Sign in", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "an HTML page"),
        (b"", "an empty file"),
        (bytes(5000), "a file that begins with zeros: its download was not finished"),
        (zipped("coca/model.pt"), "a zip archive with coca/model.pt: unpack it and name the file inside"),
        (tarred("coca.bin"), "a tar archive with coca.bin: unpack it and name the file inside"),
        (b"\x1f\x8b\x08\x00" + bytes(40), "a gzip archive: unpack it and name the file inside"),
        (b'{"error": "Repository not found"}', "a JSON text"),
        (b'{"metadata": {}, "weight_map": {"a": "b"}}', "the index of a checkpoint in pieces: name one whole file"),
        (b"404: Not Found", "a text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "a picture (PNG)"),
        (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file (Keras or TensorFlow)"),
    ],
)
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_what_is_no_checkpoint_is_said_to_be_what_it_is(content: bytes, told: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as said:
        read(tmp_path, content, name)
    assert str(said.value).startswith(f"teacher_weights: {tmp_path / name} must be a checkpoint, got {told}")


def test_a_program_is_told_from_weights(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"a/{name}", "x")
    with pytest.raises(ConfigError, match="got a TorchScript program: save the model's state_dict instead"):
        read_tensors(tmp_path / "a.pt", "teacher_weights", "cpu")


SCALARS = [
    np.float64(1.5),
    np.float32(2),
    np.float16(-1),
    np.int64(3),
    np.uint8(7),
    np.bool_(True),
    np.complex64(1j),
]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: type(scalar).__name__)
@pytest.mark.parametrize("old", [False, True])
def test_numpy_scalars_beside_the_tensors_are_read(scalar: np.generic, old: bool, tmp_path: Path) -> None:
    content = {"epoch": scalar, "best": [scalar], "state_dict": OrderedDict(a=ONES)}
    state = read(tmp_path, torch_bytes(content, _use_new_zipfile_serialization=not old))
    assert list(state) == ["a"] and torch.equal(state["a"], ONES)


def test_scalars_of_numpy_1_are_read(tmp_path: Path) -> None:
    content = torch_bytes({"loss": np.float64(1.5), "state_dict": {"a": ONES}}, _use_new_zipfile_serialization=False)
    assert b"numpy._core.multiarray" in content
    assert list(read(tmp_path, content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))) == ["a"]


def test_what_a_pickle_names_is_told_in_brief(tmp_path: Path) -> None:
    """torch searches its own message in time that grows with the square of such a name: minutes of one file."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        pickled = b"\x80\x02c" + b"x" * 20_000 + b"\nname\n."
        for name, content in (("data.pkl", pickled), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"a/{name}", content)
    with pytest.raises(pickle.UnpicklingError) as said:
        load_tensors(tmp_path / "a.pt")
    assert "xxx" in str(said.value) and len(str(said.value)) < 3000


class Malice:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (argparse.Namespace(lr=1), "it holds argparse.Namespace, which is no tensor"),
        (np.arange(3), "it holds numpy._core.multiarray._reconstruct, which is no tensor"),
        (np.str_("a"), "it holds numpy.dtypes.StrDType, which is no tensor"),
        (np.datetime64("2020-01-01"), "it holds numpy.dtypes.DateTime64DType, which is no tensor"),
        (Path("x"), "which is no tensor; a file of the model's state_dict alone can be read"),
    ],
)
def test_nothing_else_is_made_of_a_pickle(more: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must hold tensors alone; refused, nothing executed: ") as said:
        read(tmp_path, torch_bytes({"more": more, "state_dict": {"a": ONES}}))
    assert told in str(said.value) and "add_safe_globals" not in str(said.value)


@pytest.mark.parametrize("where", ["dtype", "data", "alone"])
def test_a_scalar_is_no_door_for_code(where: str, tmp_path: Path) -> None:
    """A command where numpy's own function would take a type or an object."""
    bait = Malice(tmp_path / "planted")

    class Scalar:
        def __reduce__(self) -> Any:
            dtype = bait if where == "dtype" else np.dtype("O" if where == "data" else "f8")
            return np._core.multiarray.scalar, (dtype, bait if where == "data" else b"12345678")

    content = bait if where == "alone" else Scalar()
    for written in (torch_bytes({"x": content}), pickle.dumps({"x": content}, 2)):
        with pytest.raises(ConfigError):
            read(tmp_path, written)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize(
    ("key", "plain"),
    [
        ("_orig_mod.visual.proj", "visual.proj"),
        ("module.visual.proj", "visual.proj"),
        ("module._orig_mod.visual.proj", "visual.proj"),
        ("_orig_mod.module.visual.proj", "visual.proj"),
        ("visual._orig_mod.proj", "visual.proj"),
        ("_fsdp_wrapped_module.text._checkpoint_wrapped_module.proj", "text.proj"),
        ("visual.module.proj", "visual.module.proj"),
        ("my_orig_mod.proj", "my_orig_mod.proj"),
        ("module", "module"),
    ],
)
def test_names_that_wrappers_add_are_taken_away(key: str, plain: str, tmp_path: Path) -> None:
    assert plain_name(key) == plain
    for content, name in ((torch_bytes({key: ONES}), "a.pt"), (save({key: ONES}), "a.safetensors")):
        for device in ("cpu", "meta"):
            assert {k: tuple(v.shape) for k, v in read(tmp_path, content, name, device).items()} == {plain: (2, 3)}


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must hold every tensor once"):
        read(tmp_path, torch_bytes({"a": ONES, "module.a": ONES}))


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.pt", "a.bin"):
        for content in (save({"a": ONES}), torch_bytes({"a": ONES})):
            assert torch.equal(read(tmp_path, content, name)["a"], ONES)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.tensor([1.0, float("nan"), 3.0]), "b holds 1 numbers of 3 that are not finite (nan)"),
        (torch.full((2, 2), float("inf")), "b holds 4 numbers of 4 that are not finite (inf)"),
        (torch.tensor([-float("inf")], dtype=torch.bfloat16), "b holds 1 numbers of 1 that are not finite (inf)"),
        (torch.tensor([complex(0, float("nan"))]), "b holds 1 numbers of 1 that are not finite (nan)"),
        (torch.tensor([3]), ""),
        (torch.tensor([3.4e38]), ""),
        (torch.empty(3, device="meta"), ""),
    ],
)
def test_numbers_that_are_none(tensor: torch.Tensor, told: str) -> None:
    assert first_not_finite({"a": ONES, "b": tensor, "c": tensor}) == told
