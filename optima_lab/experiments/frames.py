"""Frames of records (`records.read_rounds`, `read_steps`, `read_evals`, `read_runs`) for other tools: parquet files."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from optima_lab.errors import ConfigError
from optima_lab.files import expand, json_text, replacing


def write_parquet(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a frame as a parquet file, whole or not at all, and return its path.

    Arrays of numbers become lists; what maps names to values (`parameters`, `own`) becomes JSON, for its names differ
    from row to row. Raises ConfigError where the extra is missing, RecordError where the file cannot be written.
    """
    if find_spec("pyarrow") is None:
        raise ConfigError("parquet needs the optional extra: pip install 'optima-lab[parquet]'")
    target = expand(path)
    with replacing(target) as part:
        plain(frame).to_parquet(part, engine="pyarrow", index=False)
    return target


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with mappings as JSON."""
    result = frame.copy()
    for name in (name for name in result.columns if result[name].dtype.kind == "O"):
        if any(isinstance(value, Mapping) for value in result[name]):
            texts = [json_text(value, sort_keys=True) if isinstance(value, Mapping) else None for value in result[name]]
            result[name] = pd.Series(texts, index=result.index, dtype=object)
    return result
