"""The command line's commands and their options; what they do stands in `cli`."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from optima_lab.config import TASKS
from optima_lab.config.parameters import about, parameters
from optima_lab.errors import ConfigError, nearest

WHAT = "Adaptive distillation of multimodal models, and the bandits behind it."
SET_BY_OPTION = ("task", "preset", "data", "seed")


class _Parser(argparse.ArgumentParser):
    """argparse, but what is wrong is said in our one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


def parser_of_commands() -> argparse.ArgumentParser:
    """Every command with its options."""
    program = "optima-lab" if Path(sys.argv[0]).stem == "optima-lab" else "python -m optima_lab"
    parser = _Parser(prog=program, description=WHAT, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, allow_abbrev=False)

    command("sizes", "print the parameters of the paper's shapes beside Table 1")
    text = "time Large, Tiny12 and Tiny6 at the paper's shapes, keep the seconds in RUNS/speed.json"
    _timing(command("speed", text))
    for name, text in (
        ("figures", "train what is missing, execute the notebooks, build the gallery"),
        ("claims", "train what the paper's claims need, seed by seed, and write the ledger of verdicts"),
        ("train", "train what is missing, print the table"),
        ("table", "print the table of what is recorded"),
        ("instrument", "say whether finished runs can answer the paper's question: five properties, yes or no"),
        ("parameters", "print every parameter with its value and meaning"),
    ):
        _runs(command(name, text), name, program)
    text = "execute the lessons on bandits, which need no training, and build the gallery"
    lessons = command("lessons", text)
    _pictures(lessons)
    text = "instead write the lessons for a class into this folder, their exercises as nbgrader's cells"
    lessons.add_argument("--assignments", default="", metavar="FOLDER", help=text)
    text = "list what is recorded: progress, age, size, what was interrupted, is stale or broken"
    _with_runs(command("status", text), "runs")
    watch = _with_runs(command("watch", "show the newest run as it is trained, in a browser of this machine"), "runs")
    watch.add_argument("--port", default="0", help="to listen on, at 127.0.0.1 (default: any that is free)")
    text = "remove the named folders of runs, or what was interrupted, is stale, broken or half-written (parts)"
    clean = _with_runs(command("clean", text), "runs")
    text = "vqa/laptop-s0-1a2b3c4d, one run in it, interrupted, stale, broken, parts"
    clean.add_argument("what", nargs="*", help=text)
    clean.add_argument("--yes", action="store_true", help="do not ask")
    rerun = _with_runs(command("rerun", "train again what a run's folder holds, into another folder of runs"), "reruns")
    rerun.add_argument("folder", help="of an experiment or of one run in it")
    text = "send finished runs to TensorBoard, Weights & Biases or MLflow"
    sent = command("send", text)
    sent.add_argument("folder", help="of a finished run, an experiment or of runs")
    _watched(sent, "what was recorded")
    text = "write a student's answers to a split, in the form that the task's evaluation server takes"
    predict = _student(command("predict", text), "file to write")
    predict.add_argument("--data", required=True, help="folder in the official layouts")
    predict.add_argument("--split", default="test", help="train, dev, test (default); VQA: also test2015, …")
    predict.add_argument("--batch", default="128", help="examples a forward (default: 128)")
    text = "write a student as a folder of its own: weights (safetensors), config.json, tokenizer"
    export = _student(command("export", text), "a new folder")
    export.add_argument("--onnx", action="store_true", help="also as model.onnx (extra `onnx`)")
    return parser


def _timing(command: argparse.ArgumentParser) -> None:
    command.add_argument("--runs", default="runs", help="where speed.json is kept (default: runs)")
    for name, of in (("batch", "examples a forward (1; on a GPU 32)"), ("repeats", "repetitions (5; on a GPU 50)")):
        command.add_argument(f"--{name}", default="0", help=of)
    command.add_argument("--pixels", default="576", help="pixels a side, a multiple of 18 (default: 576)")


def _runs(command: argparse.ArgumentParser, name: str, program: str) -> None:
    """What asks for runs: which, and every parameter of theirs."""
    command.add_argument("--tasks", default="all", help="all, or names between commas: " + ", ".join(TASKS))
    command.add_argument("--preset", default="laptop", help="smoke, laptop (default), study or paper")
    command.add_argument("--data", default="", help="folder in the official layouts; default: the embedded world")
    command.add_argument("--runs", default="runs", help="where records are kept (default: runs)")
    command.add_argument("--seeds", default="1", help="how many seeds, 0, 1, … (default: 1)")
    if name in ("figures", "train"):
        command.add_argument("--strategies", default="all", help="names between commas (default: all)")
    if name in ("figures", "claims", "train"):
        command.add_argument("--jobs", default="0", help="tasks trained at once (default: one per two cores' half)")
        command.add_argument("--scheduler", default="", help="of a Dask cluster, tcp://…: train on its workers")
        _watched(command, "live, beside the records")
    if name in ("figures", "claims"):
        _pictures(command)
    if name == "claims":
        text = "names between commas, main among them, of optima_lab/experiments/plans.py (default: all)"
        command.add_argument("--populations", default="", help=text)
    meanings = about()
    group = command.add_argument_group(f"parameters of the run (a preset's values: {program} parameters)")
    for field, kind in parameters().items():
        if field not in SET_BY_OPTION:
            group.add_argument(f"--{field}", metavar=kind.__name__, help=meanings[field].replace("%", "%%"))


def _watched(command: argparse.ArgumentParser, when: str) -> None:
    for name, title in (("tensorboard", "TensorBoard"), ("wandb", "Weights & Biases"), ("mlflow", "MLflow")):
        text = f"log for {title}, {when}"
        command.add_argument(f"--{name}", action="append_const", dest="watch", const=name, help=text)


def _pictures(command: argparse.ArgumentParser) -> None:
    command.add_argument("--figures", default="figures", help="where pictures go (default: figures)")


def _with_runs(command: argparse.ArgumentParser, default: str) -> argparse.ArgumentParser:
    command.add_argument("--runs", default=default, help=f"where records are kept (default: {default})")
    return command


def _student(command: argparse.ArgumentParser, out: str) -> argparse.ArgumentParser:
    command.add_argument("folder", help="of a finished run, RUNS/vqa/…/img, or an exported one")
    command.add_argument("--out", required=True, help=out)
    return command


def _commands(parser: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    return next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction)).choices.values()


def checked(parser: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """Name the nearest option for one that does not exist; argparse would not."""
    options = [option for command in _commands(parser) for option in command._option_string_actions]
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in options:
            raise ConfigError(f"unknown parameter {name!r}{nearest(name, options)}")
    return arguments
