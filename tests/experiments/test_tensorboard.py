"""What TensorBoard is shown."""

from pathlib import Path

import pytest

from optima_lab.errors import ConfigError
from optima_lab.experiments import tensorboard as boards
from optima_lab.experiments.tensorboard import SWITCH, _scalars, show, switch_on

ROUND = {"round": 1, "step": 2, "arm": "Txt", "reward": 0.5, "mean_after": [0.0] * 6 + [1.5], "plays_after": [1.0] * 7}
STEPS = [{"step": 1, "train": 2.0, "kl": None, "lr": 0.1}, {"step": 2, "train": 1.0, "kl": None, "lr": 0.2}]
EVAL = {"step": 2, "split": "dev", "metric": "score", "value": 40.0}


def test_losses_rewards_posteriors_arms_and_scores_are_shown() -> None:
    found = {(name, step): value for name, value, step in _scalars([ROUND], STEPS, [EVAL])}
    assert found["loss/train", 1] == 2.0 and found["loss/kl", 1] is None and found["lr", 2] == 0.2
    assert found["reward", 2] == 0.5 and found["arm", 2] == 1
    assert found["posterior mean/Img+Txt+Multi", 2] == 1.5 and found["plays/Img", 2] == 1.0
    assert found["dev/score", 2] == 40.0


def test_nothing_is_written_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    show(tmp_path, [ROUND], STEPS, [EVAL])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="tensorboard needs the optional extra"):
        switch_on()


@pytest.mark.filterwarnings("default")
def test_what_is_logged_can_be_read_by_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra 'tensorboard'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv(SWITCH, "1")
    show(tmp_path, [ROUND], STEPS, [EVAL])
    show(tmp_path, [{**ROUND, "step": 4, "arm": None}], [], [])
    log = EventAccumulator(str(tmp_path / boards.FOLDER))
    log.Reload()
    assert [(event.step, event.value) for event in log.Scalars("loss/train")] == [(1, 2.0), (2, 1.0)]
    assert [(event.step, event.value) for event in log.Scalars("arm")] == [(2, 1.0)]
    assert [event.step for event in log.Scalars("reward")] == [2, 4]
    assert "loss/kl" not in log.Tags()["scalars"]
    boards._board.cache_clear()
