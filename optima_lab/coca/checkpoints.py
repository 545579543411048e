"""Where released weights lie: a checkpoint file, a folder that holds one, or open_clip's tag. No torch, no loading.

`teacher_weights` and `base_weights` name one of
  coca.safetensors          a file; its shapes tell which of open_clip's CoCa models it is
  folder/                   with one checkpoint and, for any other CoCa, its `open_clip_config.json`
  open_clip:MODEL/TAG       downloaded by open_clip where the network allows
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from optima_lab.config import Pretraining
from optima_lab.errors import ConfigError, nearest
from optima_lab.files import expand

TAG = "open_clip:"
CONFIG_NAME = "open_clip_config.json"
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
_USUAL = ("open_clip_model", "open_clip_pytorch_model", "model", "pytorch_model")  # what open_clip writes and looks for


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights, the configuration beside it (None: told by its shapes), or open_clip's name of the model."""

    weights: Path
    config: Path | None = None
    model: str = ""


def find(text: str, name: str) -> Checkpoint:
    """The checkpoint that the parameter `name` asks for with `text`; a tag is downloaded.

    Raises ConfigError where there is none, saying what to put where.
    """
    if text.startswith(TAG):
        return _downloaded(text, name)
    path = expand(text)
    if path.is_dir():
        path = _in_folder(path, name)
    elif not path.is_file():
        raise ConfigError(f"{name} must be a checkpoint file, a folder with one, or {TAG}MODEL/TAG; got {text!r}")
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{name} must be a file that ends in {', '.join(SUFFIXES)}; got {text!r}")
    config = path.with_name(CONFIG_NAME)
    return Checkpoint(path, config if config.is_file() else None)


def _in_folder(folder: Path, name: str) -> Path:
    checkpoints = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    usual = [folder / (stem + suffix) for stem in _USUAL for suffix in SUFFIXES]
    chosen = [path for path in usual if path in checkpoints] or checkpoints
    if not chosen:
        raise ConfigError(f"{name} must be a folder with a checkpoint ({', '.join(SUFFIXES)}); {folder} has none")
    if len(checkpoints) > 1 and chosen is checkpoints:
        names = ", ".join(path.name for path in checkpoints)
        raise ConfigError(f"{name} must name one of the checkpoints of {folder}; it holds {names}")
    return chosen[0]


def _downloaded(text: str, name: str) -> Checkpoint:
    """A tag's file, from the cache of Hugging Face's library or through open_clip."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip import download_pretrained, get_pretrained_cfg

    model, tag = parse_tag(text, name)
    source = get_pretrained_cfg(model, tag)
    repository = source["hf_hub"].strip("/")
    cached = (try_to_load_from_cache(repository, stem + suffix) for stem in _USUAL for suffix in SUFFIXES)
    path = next((path for path in cached if isinstance(path, str)), "")
    try:
        if not path:
            _reach()
            path = download_pretrained(source)
        return Checkpoint(Path(path), None, model)
    except Exception as error:  # a network fails in many ways
        raise ConfigError(
            f"{name}={text!r} could not be downloaded ({type(error).__name__}); where there is a network, download "
            f"open_clip_model.safetensors (or open_clip_pytorch_model.bin) and {CONFIG_NAME} of the Hugging Face "
            f"repository {repository}, put both into a folder here and give that folder as {name}"
        ) from None


def _reach() -> None:
    """Wait for any answer of Hugging Face; raises OSError where there is none (open_clip would try for a minute)."""
    from huggingface_hub.constants import ENDPOINT

    try:
        with urlopen(Request(ENDPOINT, method="HEAD"), timeout=10):
            return
    except HTTPError:
        return


def parse_tag(text: str, name: str) -> tuple[str, str]:
    """('coca_ViT-B-32', 'laion2b_s13b_b90k') of 'open_clip:coca_ViT-B-32/laion2b_s13b_b90k'.

    Raises ConfigError for a tag that open_clip does not know.
    """
    from open_clip import list_pretrained

    tags = [f"{TAG}{model}/{tag}" for model, tag in list_pretrained() if model.startswith("coca")]
    if text not in tags:
        raise ConfigError(f"{name} must be one of open_clip's CoCa weights; got {text!r}{nearest(text, tags)}")
    model, tag = text.removeprefix(TAG).split("/")
    return model, tag


def fingerprint(pretraining: Pretraining) -> dict[str, str]:
    """What identifies the released weights of a configuration, by parameter: their content, wherever they lie."""
    texts = {"teacher_weights": pretraining.teacher_weights, "base_weights": pretraining.base_weights}
    return {name: text if text.startswith(TAG) else _content(find(text, name)) for name, text in texts.items() if text}


def _content(checkpoint: Checkpoint) -> str:
    files = [path for path in (checkpoint.weights, checkpoint.config) if path is not None]
    return "-".join(_digest(path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)


@lru_cache(maxsize=16)
def _digest(path: Path, size: int, changed: int) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()[:16]
