"""Random streams: one for every use, seed and task, and none of them another's."""

from itertools import product

import numpy as np

from optima_lab.bandits.arms import ARMS
from optima_lab.bandits.policies import make_policy
from optima_lab.config import TASKS
from optima_lab.data.batches import order
from optima_lab.distill.seeds import STREAMS, derive_seed, stream_seed
from optima_lab.presets import preset

ROUNDS = 400


def test_no_two_uses_tasks_or_seeds_share_a_stream():
    seeds = {
        stream_seed(preset(task, "smoke", seed=seed), name) for task, seed, name in product(TASKS, range(9), STREAMS)
    }
    assert len(seeds) == len(TASKS) * 9 * len(STREAMS)
    assert not seeds & {derive_seed(seed, number) for seed, number in product(range(9), range(9))}


def test_everything_else_of_a_run_leaves_its_streams_alone():
    one, other = preset("vqa", "smoke", seed=3), preset("vqa", "laptop", seed=3, lr=0.01, decay=0.5)
    assert [stream_seed(one, name) for name in STREAMS] == [stream_seed(other, name) for name in STREAMS]


def played(task: str, policy: str, seed: int) -> np.ndarray:
    """The arms of one run in a world without rewards, where luck alone decides."""
    rule = make_policy(policy)
    luck = np.random.default_rng(stream_seed(preset(task, "smoke", seed=seed), "policy"))
    state, arms = rule.init(len(ARMS), 1, luck), []
    for _ in range(ROUNDS):
        selection = rule.select(state, luck)
        state = rule.update(state, selection.arm, np.zeros(1))
        arms.append(int(selection.arm[0]))
    return np.array(arms)


def test_bandits_of_one_seed_agree_across_tasks_as_often_as_chance():
    """Runs of one seed are pooled over tasks as independent: were a stream shared, all of 400 rounds would agree."""
    expected, scatter = 1 / len(ARMS), (1 / len(ARMS) * (1 - 1 / len(ARMS)) / ROUNDS) ** 0.5
    for policy in ("random", "optima"):
        arms = [played(task, policy, seed=0) for task in TASKS]
        pairs = [(i, j) for i in range(len(arms)) for j in range(i)]
        agreement = np.mean([(arms[i] == arms[j]).mean() for i, j in pairs])
        assert abs(agreement - expected) < 4 * scatter, (policy, agreement)


def test_the_order_of_examples_differs_between_tasks_of_one_seed():
    vqa, nlvr2 = (order(stream_seed(preset(task, "smoke"), "batches"), 0, 64, 1000) for task in ("vqa", "nlvr2"))
    assert len(set(vqa.tolist()) & set(nlvr2.tolist())) < 20
