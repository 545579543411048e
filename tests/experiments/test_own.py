"""A user's own policy, reward, loss and callback in real runs: docs/own_ideas.md as it is written, and in workers."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell
from test_run import SMALL, ask, files

from optima_lab.distill.strategies import Adaptive, Given
from optima_lab.errors import ConfigError
from optima_lab.experiments.records import read_json, read_lines, read_runs
from optima_lab.experiments.reproduce import rerun
from optima_lab.experiments.run import open_experiments, pending, run
from optima_lab.experiments.sweep import Sweep

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = Path(__file__).parents[2] / "docs" / "own_ideas.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
POLICY, REWARD, LOSS, CALLBACK, RUN, WORKERS = BLOCKS


def asked(text: str, runs: Path) -> str:
    """An example at the size of this file's tests, in its folder."""
    return re.sub(
        r'"smoke",|\("vqa", "coco"\), seeds=2', lambda found: f"{found[0].rstrip(',')}, **SMALL,", text
    ).replace("**SMALL", f"runs={str(runs)!r}, **SMALL")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page's cells after they have run one after another; `runs` is where."""
    runs, space = tmp_path_factory.mktemp("own") / "runs", cell("")
    for text in (POLICY, REWARD, LOSS, CALLBACK):
        cell(text, space)
    cell(asked(RUN, runs), space, SMALL=SMALL)
    return {**space, "runs": runs}


@pytest.fixture
def runs(first: dict[str, Any], tmp_path: Path) -> Path:
    """A copy that a test may go on with."""
    shutil.copytree(first["runs"], tmp_path / "runs")
    return tmp_path / "runs"


def test_examples_are_short() -> None:
    assert max(len(re.findall(r"^.*\S", block, re.MULTILINE)) for block in BLOCKS) <= 15 and len(BLOCKS) == 6


def test_everything_of_ones_own_works_in_one_run(first: dict[str, Any]) -> None:
    (experiment,) = open_experiments(first["runs"])
    found = read_runs([experiment]).set_index("strategy")
    own = {
        "Greedy": "Greedy:step=0.2:reward=kl_drop:losses=cosine",
        "optima": "optima:reward=kl_drop:losses=cosine",
    }
    assert set(found.index) == {*own.values(), "img+txt:losses=cosine"} and found["done"].all()
    folder = next(experiment.folder.glob("greedy-*"))
    about, rounds = read_json(folder / "run.json"), read_lines(folder / "rounds.jsonl")
    assert set(about["own"]["source"]) == {"Greedy", "kl_drop", "cosine"}
    assert about["own"]["source"]["Greedy"] == "\n".join(POLICY.splitlines()[4:]).strip(), "the class as it was written"
    assert [line["reward"] for line in rounds] == [pytest.approx(line["ratio_kl"]) for line in rounds], (
        "Eq. 6, KL alone"
    )
    cosine = [line["own_cosine"] for line in read_lines(folder / "steps.jsonl")]
    assert all(0 < value < 2 for value in cosine)
    step = read_lines(folder / "steps.jsonl")[0]
    parts = step["train"] + step["hidden"] + 1e-2 * step["attention"] + step["own_cosine"]
    assert step["total"] == pytest.approx(parts, rel=1e-5)


def test_a_changed_body_is_another_run_and_changed_words_are_not(first: dict[str, Any]) -> None:
    (experiment,) = open_experiments(first["runs"])

    def left(policy: str = POLICY, reward: str = REWARD, loss: str = LOSS) -> int:
        space: dict[str, Any] = cell(policy)
        cell(loss, cell(reward, space))
        given = Given([space["Greedy"](step=0.2), "img+txt", "optima"], space["kl_drop"], [space["cosine"]])
        return len(pending(experiment.config, first["runs"], given))

    assert left() == 0
    assert left(POLICY.replace("count_play(state, cell)", "count_play(state, cell)  # counted")) == 0
    assert left(policy=POLICY.replace("np.ones", "np.zeros")) == 1
    assert left(reward=REWARD.replace("max(0.0, ", "abs(")) == 1 or left(reward=REWARD.replace("0.0", "0.1")) == 2
    assert left(loss=LOSS.replace("1 - ", "2 - ")) == 3


def test_runs_of_two_bodies_are_never_averaged(runs: Path, first: dict[str, Any]) -> None:
    space = cell(POLICY.replace("np.ones", "np.zeros"))
    given = Adaptive(space["Greedy"](step=0.2), first["kl_drop"], losses=[first["cosine"]])
    run("vqa", "smoke", runs=str(runs), strategies=given, verbose=False, **SMALL)
    names = [name for name in read_runs(open_experiments(runs))["strategy"] if name.startswith("Greedy")]
    assert len(set(names)) == 2 and all(re.search(r"\[source=[0-9a-f]{6}\]$", name) for name in names)


def test_it_is_done_again_from_what_is_given_and_never_from_the_record(runs: Path, first: dict[str, Any]) -> None:
    folder = next(runs.glob("vqa/*/greedy-*"))
    with pytest.raises(
        ConfigError, match=r"greedy-\w+ needs its own code, unchanged, as it is in .*own=\[…\]"
    ) as caught:
        rerun(folder, runs.parent / "again")
    assert "\n" not in str(caught.value)
    shutil.copytree(runs / "cache", runs.parent / "again" / "cache")
    given = Given(first["mine"][:1], first["kl_drop"], [first["cosine"]])
    again = rerun(folder, runs.parent / "again", given)
    for name in ("rounds.jsonl", "steps.jsonl", "evals.jsonl", "run.json"):
        assert (again.folder / folder.name / name).read_bytes() == (folder / name).read_bytes()
    other = Given([cell(POLICY.replace("np.ones", "np.zeros"))["Greedy"](step=0.2)], given.reward, given.losses)
    with pytest.raises(ConfigError, match="needs its own code, unchanged"):
        rerun(folder, runs.parent / "third", other)


def test_watching_changes_no_number_and_tells_of_every_round(runs: Path) -> None:
    seen: list[tuple[str, int]] = []

    def tampers(run: Any, record: dict, steps: list[dict]) -> None:
        seen.append((run.folder.name, record["round"]))
        record["reward"] = steps[0]["train"] = 1e9
        if record["round"] == 2:
            raise ValueError("mine")

    watched, alone = runs, runs.parent / "alone"
    shutil.copytree(runs / "cache", alone / "cache")
    (one,) = ask(watched, "optima", callbacks=[tampers])
    (other,) = ask(alone, "optima")
    assert one.folder.name == other.folder.name, "callbacks are no part of the id"
    (name,) = one.only
    for file in ("rounds.jsonl", "steps.jsonl", "evals.jsonl", "run.json"):
        assert (one.folder / name / file).read_bytes() == (other.folder / name / file).read_bytes()
    assert seen == [(name, 1), (name, 2)]
    before = files(watched)
    ask(watched, "optima", callbacks=[tampers])
    assert files(watched) == before and len(seen) == 2, "what is finished is not trained for a callback"


def test_a_run_goes_on_in_the_process_that_was_interrupted(runs: Path) -> None:
    """Where the interrupt fell into the exit of a context, gradients are still off when the cell is run again."""

    def interrupts(run: Any, record: dict, steps: list[dict]) -> None:
        raise KeyboardInterrupt

    again, alone = runs, runs.parent / "alone"
    shutil.copytree(runs / "cache", alone / "cache")
    with pytest.raises(KeyboardInterrupt):
        ask(again, "img", callbacks=[interrupts])
    with torch.inference_mode():
        (one,) = ask(again, "img")
    (other,) = ask(alone, "img")
    for file in ("rounds.jsonl", "steps.jsonl", "evals.jsonl"):
        assert (one.folder / "img" / file).read_bytes() == (other.folder / "img" / file).read_bytes()


def test_what_a_cell_defines_goes_along_to_workers(runs: Path, first: dict[str, Any]) -> None:
    """Two processes, neither of which has the cells; the records are those of this process."""
    strategies, folder = first["mine"][:1], runs.parent / "workers"
    shutil.copytree(runs / "cache", folder / "cache")
    given = Given(strategies, first["kl_drop"], [first["cosine"]])
    sweep = Sweep(("vqa",), "smoke", "", str(folder), 2, given, 2, SMALL, callbacks=[first["Best"]()])
    sweep.train()
    assert not sweep.failures and [e.seed for e in sweep.experiments] == [0, 1]
    ours = next(runs.glob("vqa/*/greedy-*"))
    theirs = sweep.experiments[0].folder / ours.name
    for name in ("rounds.jsonl", "steps.jsonl", "run.json"):
        assert (theirs / name).read_bytes() == (ours / name).read_bytes()


def test_the_example_of_workers_is_read(first: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sweep, "train", lambda self: None)
    space = cell(WORKERS, dict(first))
    assert len(space["sweep"].calls()) == 4 and json.dumps(space["sweep"].changes) == "{}"
