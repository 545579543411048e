"""How fast is the laboratory? `python -m benchmarks.bandits` prints a table.

What is measured: `simulate` as a user calls it, with all its books (regret, arm counts, hits at 200 points) and no
traces; 200 replications at once, K = 7 arms with noisy rewards whose means stand still, 10,000 rounds (other policies
than the two that have a goal: 1,000); rounds/s = replications · rounds / wall-clock seconds, the best of five runs. One
thread does it all; the same per second of CPU time stands beside it, for that is what a busy machine leaves of it.
Beside it, in the same run: pymab's compiled loop (its `Experiment` with backend "rust", the same number of arms and
replications, Gaussian Thompson sampling) and mabwiser's `predict` and `partial_fit`, one round at a time, as it has no
loop of its own. They are other policies with other books: the ratio says what an experiment of this kind costs, not
which language is faster.

mabwiser is not a dependency; where it is absent that column says so.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from optima_lab.bandits.environments import Clipped, piecewise
from optima_lab.bandits.policies import POLICIES, make_policy
from optima_lab.bandits.simulate import simulate

ARMS, REPLICATIONS, ROUNDS = 7, 200, 10_000
Rates = tuple[float, float]
WANTED = {"optima": 3e6, "gaussian_dts": 3e6}  # rounds/s on two cores


def best_seconds(run: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """Wall-clock and CPU seconds, each of the fastest of `repeats` runs."""
    wall, cpu = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return min(wall), min(cpu)


def ours(name: str, rounds: int, replications: int = REPLICATIONS, arms: int = ARMS, repeats: int = 5) -> Rates:
    """Rounds/s of one of our policies, by the clock and by CPU time."""
    world, policies = piecewise(np.linspace(0.02, 0.06, arms), (), Clipped(0.02)), {name: make_policy(name)}
    wall, cpu = best_seconds(lambda: simulate(world, policies, rounds, replications), repeats)
    return rounds * replications / wall, rounds * replications / cpu


def pymab_speed(rounds: int = 1000) -> float | None:
    """Rounds/s of pymab's compiled loop, or None where it is not installed."""
    if not find_spec("pymab"):
        return None
    from pymab import BanditEnvironment, Experiment, ExperimentConfig, GaussianReward
    from pymab.policies import GaussianThompsonSamplingPolicy

    experiment = Experiment(
        environment=BanditEnvironment(means=np.linspace(0.02, 0.06, ARMS), reward_model=GaussianReward(std=0.02)),
        policies={"it": GaussianThompsonSamplingPolicy(n_arms=ARMS)},
        config=ExperimentConfig(horizon=rounds, n_replicates=REPLICATIONS, seed=0, backend="rust"),
    )
    return rounds * REPLICATIONS / best_seconds(experiment.run, 3)[0]


def mabwiser_speed(rounds: int = 2000) -> float | None:
    """Rounds/s of mabwiser's softmax (its Thompson sampling wants coins), or None where it is not installed."""
    if not find_spec("mabwiser"):
        return None
    from mabwiser.mab import MAB, LearningPolicy  # pyright: ignore[reportMissingImports]

    generator, arms = np.random.default_rng(0), list(range(ARMS))

    def run() -> None:
        bandit = MAB(arms, LearningPolicy.Softmax(tau=0.01))
        bandit.fit(arms, [0.0] * ARMS)
        for _ in range(rounds):
            arm = bandit.predict()
            bandit.partial_fit([arm], [0.02 + 0.04 * arm / 6 + 0.02 * generator.standard_normal()])

    return rounds / best_seconds(run, 3)[0]


def scaling() -> list[tuple[str, float, float]]:
    """(what was multiplied by four, CPU seconds at 1×, at 4×) for OPTIMA's sampler at 1,000 replications."""
    shapes = {"rounds": (4, 1, 1), "replications": (1, 4, 1), "arms": (1, 1, 4)}
    base = 2000 * 1000 / ours("optima", 2000, 1000, ARMS, 3)[1]
    rows = []
    for what, (t, r, k) in shapes.items():
        rounds, replications = 2000 * t, 1000 * r
        rows.append((what, base, rounds * replications / ours("optima", rounds, replications, ARMS * k, 3)[1]))
    return rows


def round_seconds(name: str, modules: int, rounds: int = 200) -> float:
    """Seconds of CPU time that one choice and one update take in a training run: one replication, 2^c − 1 arms."""
    policy, generator = make_policy(name), np.random.default_rng(0)
    state = policy.init(2**modules - 1, 1, generator)

    def run() -> None:
        now = state
        for _ in range(rounds):
            now = policy.update(now, policy.select(now, generator).arm, np.array([0.05]))

    return best_seconds(run, 3)[1] / rounds


def versus(speed: float, other: float | None) -> str:
    """'23.4×', or why there is no ratio."""
    return f"{speed / other:.0f}×" if other else "not installed"


def main() -> None:
    """Print the table."""
    rivals = {"pymab": pymab_speed(), "mabwiser": mabwiser_speed()}
    for name, speed in rivals.items():
        print(f"{name:18s} {f'{speed:12,.0f} rounds/s' if speed else 'not installed'}")
    print(f"\n{'policy':18s} {'rounds/s':>12s} {'per CPU s':>12s} {'to pymab':>13s} {'to mabwiser':>13s}")
    for name in sorted(POLICIES, key=lambda name: name not in WANTED):
        speed, by_cpu = ours(name, ROUNDS if name in WANTED else 1000, repeats=5 if name in WANTED else 2)
        ratios = [f"{versus(speed, other):>13s}" for other in rivals.values()]
        goal = f"  wanted {WANTED[name]:,.0f}: {'yes' if speed >= WANTED[name] else 'NO'}" if name in WANTED else ""
        print(f"{name:18s} {speed:12,.0f} {by_cpu:12,.0f} {ratios[0]} {ratios[1]}{goal}")
    print(f"\n{'four times the':18s} {'CPU s before':>15s} {'after':>8s} {'factor':>8s}")
    for what, before, after in scaling():
        print(f"{what:18s} {before:15.2f} {after:8.2f} {after / before:8.1f}")
    print(f"\n{'modules':18s} {'arms':>15s} {'linear_ts, ms a round':>22s} {'shared_ts':>10s}")
    for modules in (3, 8, 16, 24):
        linear, many = 1000 * round_seconds("linear_ts", modules), modules > 8
        shared = "" if many else f"{1000 * round_seconds('shared_ts', modules, 20):10.2f}"
        goal = "" if modules < 24 else f"  wanted 1.00: {'yes' if linear <= 1 else 'NO'}"
        print(f"{modules:<18d} {2**modules - 1:15,d} {linear:22.3f} {shared:>10s}{goal}")


if __name__ == "__main__":
    main()
