"""The same things from a shell: `optima-lab figures`, `train`, `table`, `sizes`, `status`, …"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optima_lab.cli.arguments import SET_BY_OPTION, checked, parser_of_commands
from optima_lab.cli.terminal import check_folder, exit_code
from optima_lab.config import TASKS
from optima_lab.config.fields import cast
from optima_lab.config.parameters import about, flat, parameters
from optima_lab.distill.torchrun import launch
from optima_lab.errors import ConfigError, OptimaError
from optima_lab.experiments.cluster import check_scheduler
from optima_lab.files import expand
from optima_lab.presets import preset
from optima_lab.report.questions import gallery
from optima_lab.report.shipped import execute_lessons, require, require_lessons


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is that of `terminal.exit_code`."""
    return exit_code(lambda: _run(sys.argv[1:] if arguments is None else list(arguments)))


def _run(arguments: list[str]) -> int:
    parser = parser_of_commands()
    options = vars(parser.parse_args(checked(parser, arguments)))
    command = options.pop("command")
    for name in ("data", "runs", "figures", "folder"):
        check_folder(name, options.get(name) or "", to_write=name == "figures" and name in options)
    if command in ("figures", "claims", "train", "rerun"):
        _see_torchrun()
    return COMMANDS[command](options)


def _see_torchrun() -> None:
    """Refuse variables left over from elsewhere before anything is read."""
    if launch().world_size > 1:  # torch prints the stack of every try to reach the others; we say it in a line
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")


def _join() -> None:
    """Under torchrun: meet the other processes before anything is trained."""
    if launch().world_size > 1:
        from optima_lab.distill.parallel import init_process_group

        init_process_group()


def _plan(options: dict[str, Any]) -> dict[str, Any]:
    """Everything typed, checked for all tasks before anything loads."""
    tasks = tuple(TASKS) if options["tasks"] == "all" else tuple(name.strip() for name in options["tasks"].split(","))
    changes = {name: options[name] for name in parameters() if options.get(name) is not None}
    changes = {name: value for name, value in changes.items() if name not in SET_BY_OPTION}
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
    if options.get("watch"):
        from optima_lab.experiments.watchers import switch_on

        switch_on(options["watch"])
    for name, low in (("seeds", 1), ("jobs", 0)):
        if plan[name] < low:
            raise ConfigError(f"{name} must be at least {low}, got {plan[name]}")
    from optima_lab.data.datasets import locate
    from optima_lab.distill.strategies import parse_strategies

    for task in tasks:
        config = preset(task, options["preset"], data=options["data"], **changes)
        parse_strategies(plan["strategies"], config)
        locate(config, expand(plan["runs"]))
    return plan


def _train(options: dict[str, Any]) -> int:
    from optima_lab.experiments.sweep import Sweep
    from optima_lab.report.draw import report

    sweep = Sweep(**_plan(options))
    _join()
    sweep.train()
    return report(sweep)


def _figures(options: dict[str, Any]) -> int:
    from optima_lab.experiments.sweep import Sweep
    from optima_lab.report.draw import NOTEBOOKS, draw, report

    plan = _plan(options)
    sweep = Sweep(**plan)
    require(NOTEBOOKS)
    _join()
    sweep.train()
    try:
        _exercises(gallery(expand(options["figures"]), plan))
        draw(sweep, gallery(expand(options["figures"]), plan))
    except Exception:
        report(sweep)
        raise
    return report(sweep)


def _claims(options: dict[str, Any]) -> int:
    from optima_lab.report.claims.run import BY_TASK, OVER_TASKS, run_claims

    plan = _plan(options)
    require([*BY_TASK, *OVER_TASKS])
    _join()
    return run_claims(plan, gallery(expand(options["figures"]), plan), options["populations"])


def _exercises(figures: Path) -> None:
    """The page of exercises, which the gallery links."""
    from optima_lab.lessons.quiz import write_page

    if not launch().helps:
        write_page(figures / "exercises.html")


def _lessons(options: dict[str, Any]) -> int:
    require_lessons()
    if options["assignments"]:
        from optima_lab.lessons.assignments import write

        print(*write(expand(options["assignments"])), sep="\n")
        return 0
    _exercises(expand(options["figures"]))
    failed, index = execute_lessons(expand(options["figures"]))
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    print(f"gallery: {index}")
    return 1 if failed else 0


def _table(options: dict[str, Any]) -> int:
    from optima_lab.experiments import records
    from optima_lab.experiments.run import open_experiments
    from optima_lab.experiments.variants import alike
    from optima_lab.report.tables import results as tables

    plan = _plan(options)
    opened = [e for e in open_experiments(options["runs"]) if e.task in plan["tasks"]]
    experiments = [e for e in opened if e.config.preset == options["preset"]]
    if plan["changes"]:
        experiments = [e for e in experiments if alike(flat(e.config), plan["changes"])]
    if not experiments:
        question = " ".join([options["preset"], *(f"{name}={value}" for name, value in plan["changes"].items())])
        raise OptimaError(f"no {question} experiment is recorded below {options['runs']!r}; train one first")
    print(tables.text(tables.results(records.read_runs(experiments), experiments)))
    return 0


def _instrument(options: dict[str, Any]) -> int:
    from optima_lab.report.claims.instrument import report

    plan = _plan(options)
    print(*report(plan["tasks"], plan["preset"], expand(plan["runs"]), plan["data"], **plan["changes"]), sep="\n")
    return 0


def _parameters(options: dict[str, Any]) -> int:
    plan = _plan(options)
    config = preset(plan["tasks"][0], plan["preset"], data=plan["data"], **plan["changes"])
    values = flat(config)
    for name, text in about().items():
        print(f"{name:24}{values[name]!s:>12}  {text}")
    return 0


def _sizes(_: dict[str, Any]) -> int:
    from optima_lab.coca.parameter_counts import table

    print(table())
    return 0


def _speed(options: dict[str, Any]) -> int:
    from optima_lab.experiments.inference_speed import Timing, run, table

    batch, repeats, pixels = (int(cast(int, options[name], name)) for name in ("batch", "repeats", "pixels"))
    print(table(run(Timing(batch, repeats, pixels), expand(options["runs"]))))
    return 0


def _status(options: dict[str, Any]) -> int:
    from optima_lab.experiments.manage import report

    print(*report(expand(options["runs"])), sep="\n")
    return 0


def _watch(options: dict[str, Any]) -> int:
    from optima_lab.widgets.watch import watch

    watch(expand(options["runs"]), int(cast(int, options["port"], "port")))
    return 0


def _clean(options: dict[str, Any]) -> int:
    from optima_lab.experiments.manage import clean

    print(*clean(expand(options["runs"]), options["what"], None if options["yes"] else _ask), sep="\n")
    return 0


def _ask(question: str) -> str:
    try:
        return input(question)
    except EOFError:  # nobody is there to answer
        return ""


def _rerun(options: dict[str, Any]) -> int:
    from optima_lab.experiments.reproduce import rerun

    _join()
    experiment = rerun(expand(options["folder"]), expand(options["runs"]))
    print(f"{experiment.folder}: {', '.join(experiment.only)}")
    return 0


def _send(options: dict[str, Any]) -> int:
    from optima_lab.experiments.watchers import WATCHERS, send, switch_on

    names = options["watch"] or []
    if not names:
        raise ConfigError(f"send must be told where to: {', '.join(f'--{name}' for name in WATCHERS)}")
    switch_on(names)
    for line in send(expand(options["folder"]), [WATCHERS[name]() for name in names]):
        print(f"sent: {line}")
    return 0


def _predict(options: dict[str, Any]) -> int:
    from optima_lab.experiments.predict import predict_split

    batch = int(cast(int, options["batch"], "batch"))
    folder, data, out = (expand(options[name]) for name in ("folder", "data", "out"))
    print(f"{out}: {predict_split(folder, data, out, options['split'], batch)} answers")
    return 0


def _export(options: dict[str, Any]) -> int:
    from optima_lab.experiments.export import export

    print(export(expand(options["folder"]), expand(options["out"]), options["onnx"]))
    return 0


COMMANDS = {
    "figures": _figures,
    "claims": _claims,
    "lessons": _lessons,
    "train": _train,
    "table": _table,
    "instrument": _instrument,
    "parameters": _parameters,
    "sizes": _sizes,
    "speed": _speed,
    "status": _status,
    "watch": _watch,
    "clean": _clean,
    "rerun": _rerun,
    "send": _send,
    "predict": _predict,
    "export": _export,
}
