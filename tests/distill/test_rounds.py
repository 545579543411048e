"""A bandit that drives the rounds of one run."""

import json
from dataclasses import replace

import numpy as np
import pytest

from optima_lab.bandits.arms import Arms
from optima_lab.bandits.policies import POLICIES, make_policy
from optima_lab.distill.rewards import ProbeLosses
from optima_lab.distill.rounds import Rounds

ARMS = Arms(("image", "text", "audio"))


def played(rounds: Rounds, count: int, start: int = 0) -> list[dict]:
    """Rounds of ten steps in which the image's losses fall by a tenth, others by a hundredth."""
    for number in range(start, start + count):
        share = 0.9 if "image" in rounds.arm else 0.99
        rounds.learn(10 * (number + 1), ProbeLosses(None, 1.0, 1.0, None), ProbeLosses(None, share, share, None))
    return rounds.records


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"oracle"}))
def test_every_policy_drives_rounds_and_goes_on_where_it_stopped(name: str):
    policy = make_policy(name)
    through, first, again = (Rounds(ARMS, policy, "all", seed) for seed in (3, 3, 4))
    whole = played(through, 30)
    played(first, 17)
    again.load_state_dict(json_free(first.state_dict()))
    assert played(again, 13, 17) == whole
    assert [record["step"] for record in whole] == [10 * n for n in range(1, 31)]
    assert {record["arm"] for record in whole} <= set(ARMS.labels)


def json_free(state: dict) -> dict:
    """What a file without pickles keeps of it."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_the_reward_is_the_mean_over_losses_that_there_are():
    record = played(Rounds(ARMS, make_policy("fixed", arm=0), "all", 0), 1)[0]
    assert record["arm"] == "image" and record["reward"] == pytest.approx(0.1)
    assert record["ratio_attention"] is None and record["probe_train"] is None
    assert json.loads(json.dumps(record)) == record


def test_arms_too_many_to_list_are_recorded_by_their_modules():
    many = Arms(tuple(f"layer{n}" for n in range(20)))
    record = played(Rounds(many, replace(make_policy("linear_ts")), "all", 0), 1)[0]
    assert record["mean_after"] is record["plays_after"] is None
    assert len(record["theta_after"]) == 21 and sum(record["module_plays_after"]) == record["arm"].count("+") + 1
    assert np.isfinite(record["theta_after"]).all()
    listed = played(Rounds(ARMS, make_policy("linear_ts"), "all", 0), 1)[0]
    assert sum(listed["plays_after"]) == 1 and len(listed["theta_after"]) == len(listed["theta_deviation_after"]) == 4
    assert "theta_after" not in played(Rounds(ARMS, make_policy("optima"), "all", 0), 1)[0]
