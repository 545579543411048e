"""The same things from a shell: `python -m optima_lab figures`, `train`, `table`, `sizes`, `status`, …"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from optima_lab.boards import switch_on
from optima_lab.cluster import check_scheduler
from optima_lab.config import TASKS, about, cast, parameters, preset
from optima_lab.errors import ConfigError, OptimaError, nearest

_SET_BY_OPTION = ("task", "preset", "data", "seed")


class _Parser(argparse.ArgumentParser):
    """argparse, but what is wrong is said in our one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 on success, 1 if a part failed, 2 for wrong input, 130 after Ctrl-C."""
    try:
        options = vars(_parser().parse_args(_checked(sys.argv[1:] if arguments is None else list(arguments))))
        command = options.pop("command")
        return COMMANDS[command](options)
    except OptimaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is kept, run the same command to go on", file=sys.stderr)
        return 130


def _parser() -> _Parser:
    parser = _Parser(prog="python -m optima_lab", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    text = "print the parameters of the paper's shapes beside Table 1"
    commands.add_parser("sizes", help=text, description=text, allow_abbrev=False)
    text = "time Large, Tiny12 and Tiny6 at the paper's shapes, keep the seconds in RUNS/speed.json"
    timed = commands.add_parser("speed", help=text, description=text, allow_abbrev=False)
    timed.add_argument("--runs", default="runs", help="where speed.json is kept (default: runs)")
    for name, of in (("batch", "examples a forward (1; on a GPU 32)"), ("repeats", "repetitions (5; on a GPU 50)")):
        timed.add_argument(f"--{name}", default="0", help=of)
    timed.add_argument("--pixels", default="576", help="pixels a side, a multiple of 18 (default: 576)")
    for name, text in (
        ("figures", "train what is missing, execute the notebooks, build the gallery"),
        ("claims", "train what the paper's claims need, seed by seed, and write the ledger of verdicts"),
        ("train", "train what is missing, print the table"),
        ("table", "print the table of what is recorded"),
        ("parameters", "print every parameter with its value and meaning"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument("--tasks", default="all", help="all, or names between commas: " + ", ".join(TASKS))
        command.add_argument("--preset", default="laptop", help="smoke, laptop (default) or paper")
        command.add_argument("--data", default="", help="folder in the official layouts; default: the embedded world")
        command.add_argument("--runs", default="runs", help="where records are kept (default: runs)")
        command.add_argument("--seeds", default="1", help="how many seeds, 0, 1, … (default: 1)")
        if name in ("figures", "train"):
            command.add_argument("--strategies", default="all", help="names between commas (default: all)")
        if name in ("figures", "claims", "train"):
            command.add_argument("--jobs", default="0", help="tasks trained at once (default: one per two cores' half)")
            command.add_argument("--scheduler", default="", help="of a Dask cluster, tcp://…: train on its workers")
            command.add_argument(
                "--tensorboard", action="store_true", help="log live for TensorBoard, beside the records"
            )
        if name in ("figures", "claims"):
            command.add_argument("--figures", default="figures", help="where pictures go (default: figures)")
        group = command.add_argument_group("parameters of the run (see: python -m optima_lab parameters)")
        for field in parameters():
            if field not in _SET_BY_OPTION:
                group.add_argument(f"--{field}", default=None, help=argparse.SUPPRESS)
    for name, default, text in (
        ("status", "runs", "list what is recorded: progress, age, size, what is stale or broken"),
        ("clean", "runs", "remove the named folders of runs, or what is stale, broken or half-written (parts)"),
        ("rerun", "reruns", "train again what a run's folder holds, into another folder of runs"),
    ):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.add_argument("--runs", default=default, help=f"where records are kept (default: {default})")
        if name == "clean":
            command.add_argument("what", nargs="*", help="vqa/laptop-s0-1a2b3c4d, one run in it, stale, broken, parts")
            command.add_argument("--yes", action="store_true", help="do not ask")
        if name == "rerun":
            command.add_argument("folder", help="of an experiment or of one run in it")
    return parser


def _checked(arguments: list[str]) -> list[str]:
    """Name the nearest option for one that does not exist; argparse would not."""
    options = "help yes tensorboard scheduler tasks seeds jobs runs figures strategies preset data batch repeats pixels"
    known = [f"--{option}" for option in options.split()]
    known += [f"--{field}" for field in parameters() if field not in _SET_BY_OPTION]
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in known:
            raise ConfigError(f"unknown parameter {name!r}{nearest(name, known)}")
    return arguments


def _plan(options: dict[str, Any]) -> dict[str, Any]:
    """Everything typed, checked for all tasks before anything loads."""
    tasks = tuple(TASKS) if options["tasks"] == "all" else tuple(name.strip() for name in options["tasks"].split(","))
    changes = {name: options[name] for name in parameters() if options.get(name) is not None}
    changes = {name: value for name, value in changes.items() if name not in _SET_BY_OPTION}
    plan = {
        "tasks": tasks,
        "preset": options["preset"],
        "data": options["data"],
        "runs": options["runs"],
        "seeds": cast(int, options["seeds"], "seeds"),
        "strategies": options.get("strategies", "all"),
        "jobs": cast(int, options.get("jobs", "0"), "jobs"),
        "changes": changes,
        "scheduler": options.get("scheduler", ""),
    }
    if plan["scheduler"]:
        check_scheduler(plan["scheduler"])
    if options.get("tensorboard"):
        switch_on()
    for name, low in (("seeds", 1), ("jobs", 0)):
        if plan[name] < low:
            raise ConfigError(f"{name} must be at least {low}, got {plan[name]}")
    from optima_lab.data.corpus import locate
    from optima_lab.distill.strategies import parse_strategies

    for task in tasks:
        config = preset(task, options["preset"], data=options["data"], **changes)
        parse_strategies(plan["strategies"], config)
        locate(config, Path(plan["runs"]))
    return plan


def _train(options: dict[str, Any]) -> int:
    from optima_lab.sweep import Sweep

    sweep = Sweep(**_plan(options))
    sweep.train()
    return sweep.report()


def _figures(options: dict[str, Any]) -> int:
    from optima_lab.sweep import Sweep

    sweep = Sweep(**_plan(options))
    sweep.train()
    sweep.draw(Path(options["figures"]))
    return sweep.report()


def _claims(options: dict[str, Any]) -> int:
    from optima_lab.claims import judge

    return judge(_plan(options), Path(options["figures"]))


def _table(options: dict[str, Any]) -> int:
    from optima_lab import records
    from optima_lab.experiment import open_experiments
    from optima_lab.views import tables

    tasks = _plan(options)["tasks"]
    experiments = [
        e for e in open_experiments(options["runs"]) if e.task in tasks and e.config.preset == options["preset"]
    ]
    if not experiments:
        raise OptimaError(f"no {options['preset']} experiment is recorded below {options['runs']!r}; train one first")
    print(tables.text(tables.results(records.read_runs(experiments), experiments)))
    return 0


def _parameters(options: dict[str, Any]) -> int:
    plan = _plan(options)
    config = preset(plan["tasks"][0], plan["preset"], data=plan["data"], **plan["changes"])
    for name, text in about().items():
        print(f"{name:24}{getattr(config, name)!s:>12}  {text}")
    return 0


def _sizes(_: dict[str, Any]) -> int:
    from optima_lab.distill.sizes import table

    print(table())
    return 0


def _speed(options: dict[str, Any]) -> int:
    from optima_lab.distill.speed import Timing, run, table

    batch, repeats, pixels = (int(cast(int, options[name], name)) for name in ("batch", "repeats", "pixels"))
    print(table(run(Timing(batch, repeats, pixels), Path(options["runs"]))))
    return 0


def _status(options: dict[str, Any]) -> int:
    from optima_lab.keeping import report

    print(*report(Path(options["runs"])), sep="\n")
    return 0


def _clean(options: dict[str, Any]) -> int:
    from optima_lab.keeping import clean

    print(*clean(Path(options["runs"]), options["what"], None if options["yes"] else _ask), sep="\n")
    return 0


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError:  # nobody is there to answer
        return ""


def _rerun(options: dict[str, Any]) -> int:
    from optima_lab.rerun import rerun

    found = rerun(Path(options["folder"]), Path(options["runs"]))
    print(f"{found.folder}: {', '.join(found.only)}")
    return 0


COMMANDS = {
    "figures": _figures,
    "claims": _claims,
    "train": _train,
    "table": _table,
    "parameters": _parameters,
    "sizes": _sizes,
    "speed": _speed,
    "status": _status,
    "clean": _clean,
    "rerun": _rerun,
}


if __name__ == "__main__":
    sys.exit(main())
