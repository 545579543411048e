"""Do two folders of runs hold the same numbers, to the last digit? `python tools/compare_records.py RUNS OTHER`

For a redesign: train with two checkouts, each into its own folder, then compare. Runs are found by task, preset, seed
and strategy, whatever ids their versions give them; compared are the lines of rounds, steps and evals.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

LINES = ("rounds", "steps", "evals")


def runs(folder: Path) -> dict[tuple[str, str, str], Path]:
    """(task, preset and seed, strategy) → a run's folder. The strategy's name leaves its hash aside."""
    found = {}
    for path in sorted(folder.glob("*/*/*/run.json")):
        name = json.loads(path.read_text())["strategy"]
        found[path.parents[2].name, path.parents[1].name.rpartition("-")[0], name] = path.parent
    return found


def differences(one: Path, other: Path) -> Iterator[str]:
    """A line for every run that only one of them has, and for the first line in which two runs differ."""
    ours, theirs = runs(one), runs(other)
    for key in sorted(ours.keys() ^ theirs.keys()):
        yield f"{' '.join(key)}: only in {one if key in ours else other}"
    for key in sorted(ours.keys() & theirs.keys()):
        for name in LINES:
            mine, yours = ((run[key] / f"{name}.jsonl").read_text().splitlines() for run in (ours, theirs))
            lengths = f"{len(mine)} and {len(yours)} lines" if len(mine) != len(yours) else ""
            first = next((n for n, (a, b) in enumerate(zip(mine, yours, strict=False), 1) if a != b), 0)
            if first or lengths:
                yield f"{' '.join(key)}: {name} differ{f' from line {first}' if first else ''} {lengths}".rstrip()


def main(arguments: list[str]) -> int:
    """0 where they hold the same numbers, 1 where not, 2 for wrong use."""
    folders = [Path(argument) for argument in arguments]
    if len(folders) != 2 or not all(folder.is_dir() for folder in folders):
        print("usage: python tools/compare_records.py RUNS OTHER, two folders of runs", file=sys.stderr)
        return 2
    found = list(differences(*folders))
    print(*found, f"{len(runs(folders[0]))} runs compared, {len(found)} differences", sep="\n")
    return 1 if found or not runs(folders[0]) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
