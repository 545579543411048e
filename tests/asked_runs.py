"""Invented experiments of any configuration, with two runs each, as training leaves them."""

import json
from pathlib import Path
from typing import Any

from optima_lab.config.parameters import flat
from optima_lab.experiments.experiment import Experiment
from optima_lab.experiments.ids import content_hash
from optima_lab.presets import preset

ROUND = {"arm": "Img", "initial": False, "reward": 0.5} | dict.fromkeys(
    ("draws", "mean_before", "mean_after", "plays_before", "plays_after")
)
ROUND |= {f"ratio_{name}": 0.1 for name in ("kl", "hidden", "attention")}
ROUND |= {f"probe_{name}": 1.0 for name in ("train", "kl", "hidden", "attention")}


def record(runs: Path, score: float, decay: float = 0.98, data: str = "", **changes: Any) -> Experiment:
    """One experiment with runs of OPTIMA and Img, as training leaves them."""
    config = preset("vqa", "smoke", **changes)
    id_ = f"smoke-s{config.seed}-{content_hash(flat(config), data)}"
    about = {"config": flat(config), "data_fingerprint": data, "teacher": {"score_test": 80.0}}
    known = {"img": {"strategy": "Img", "arm": "Img"}}
    known[f"optima-{decay}"] = {"strategy": "OPTIMA", "policy": "optima", "parameters": {"decay": decay}}
    folder = runs / "vqa" / id_
    for name, each in known.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "run.json").write_text(json.dumps(each | {"config": flat(config), "reward": "all"}))
        (place / "rounds.jsonl").write_text(json.dumps({"round": 1, "step": 2, **ROUND}) + "\n")
        line = {"step": 2, "round": 1, "split": "test", "metric": "score", "value": score}
        (place / "evals.jsonl").write_text(json.dumps(line) + "\n")
        (place / "student.safetensors").write_bytes(b"")
        (place / "done.json").write_text("{}")
    (folder / "experiment.json").write_text(json.dumps(about))
    only = tuple(sorted(path.parent.name for path in folder.glob("*/run.json")))
    return Experiment(folder, only, config.seed, config, about)
