"""Names of what is kept: a hash of all that it depends on, so that the same question finds it and no other does."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from optima_lab.coca.checkpoints import fingerprint
from optima_lab.config import Config, PretrainingStage
from optima_lab.config.parameters import changes_no_record, non_default, override, parameters
from optima_lab.errors import ConfigError

RECORD_VERSION = 5  # raise it when the same configuration would leave other records


def experiment_id(config: Config, data_fingerprint: str) -> str:
    """'laptop-s0-1a2b3c4d': readable, and another one for whatever changes a student's records."""
    return f"{config.preset}-s{config.seed}-{stage_id(config, data_fingerprint)}"


def config_of(values: Mapping[str, Any], data_fingerprint: str, name: str) -> Config:
    """The configuration of the experiment `name`, of values recorded under flat names.

    Values that are not recorded are older than their parameters where the defaults give the experiment its name: then
    they were meant. Raises ConfigError where they do not, for defaults may be others since.
    """
    config = override(Config(), values)
    missing = [each for each in parameters() if each not in {*values, *changes_no_record()}]
    if missing and name != experiment_id(config, data_fingerprint):
        raise ConfigError(f"{', '.join(missing)} are not recorded: train it anew in another folder of runs")
    return config


def stage_id(stage: PretrainingStage, data_fingerprint: str, *more: Any) -> str:
    """Eight hex digits of all that a stage is given: its parameters, released weights, the data's content."""
    parts = non_default(stage) | fingerprint(stage.pretraining)
    return content_hash(RECORD_VERSION, type(stage).__name__, parts, data_fingerprint, *more)


def content_hash(*parts: Any) -> str:
    """Eight hex digits of JSON-able content."""
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
