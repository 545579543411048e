"""Only torchrun's whole set of variables is believed; what else an environment holds is refused or not looked at."""

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from optima_lab.distill import parallel
from optima_lab.distill.torchrun import VARIABLES, Launch, launch, without_launch
from optima_lab.errors import ConfigError, OptimaError

WHOLE = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Launch(0, 1, 0)),
        ({"HOME": "/h", "SLURM_PROCID": "3", "SLURM_NTASKS": "8", "OMPI_COMM_WORLD_RANK": "2"}, Launch(0, 1, 0)),
        ({"LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1", "TORCHELASTIC_RUN_ID": "x", "PMI_RANK": "1"}, Launch(0, 1, 0)),
        ({"RANK": "", "WORLD_SIZE": " "}, Launch(0, 1, 0)),  # `export RANK=` is as good as none
        (WHOLE, Launch(1, 4, 1)),
        (WHOLE | {"RANK": "3", "MASTER_ADDR": "fe80::1%eth0", "SLURM_PROCID": "7"}, Launch(3, 4, 1)),
        (WHOLE | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "node-3.local"}, Launch(0, 1, 0)),
    ],
)
def test_a_whole_set_is_believed_and_others_leftovers_are_not_looked_at(environment: dict, expected: Launch) -> None:
    assert launch(environment) == expected


def test_the_first_process_alone_reports() -> None:
    assert [Launch(rank, 3, 0).helps for rank in range(3)] == [False, True, True]


@pytest.mark.parametrize("left", VARIABLES)
def test_each_variable_alone_is_refused_and_named(left: str) -> None:
    missing = [name for name in VARIABLES if name != left]
    with pytest.raises(ConfigError) as raised:
        launch({left: WHOLE[left], "SLURM_PROCID": "1"})
    assert str(raised.value).endswith(
        f"{', '.join(missing[:-1])} and {missing[-1]} are missing: start with torchrun, or unset {left}"
    )


@pytest.mark.parametrize("lost", VARIABLES)
def test_each_variable_lost_is_named(lost: str) -> None:
    kept = {name: value for name, value in WHOLE.items() if name != lost}
    with pytest.raises(ConfigError, match=rf"none; {lost} is missing: start with torchrun, or unset {' '.join(kept)}$"):
        launch(kept)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"RANK": "4"}, "RANK=4 must be below WORLD_SIZE=4"),
        ({"WORLD_SIZE": "0", "RANK": "0", "LOCAL_RANK": "0"}, "RANK=0 must be below WORLD_SIZE=0"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK=2 must be at most RANK=1"),
        ({"RANK": "-1"}, "RANK='-1' must be a whole number"),
        ({"RANK": "one"}, "RANK='one' must be a whole number"),
        ({"WORLD_SIZE": "2.0"}, r"WORLD_SIZE='2\.0' must be a whole number"),
        ({"WORLD_SIZE": "١"}, "WORLD_SIZE='١' must be a whole number"),
        ({"WORLD_SIZE": "9" * 5000}, "must be a whole number"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT=65536 must be between 1 and 65535"),
        ({"MASTER_PORT": "0"}, "MASTER_PORT=0 must be between 1 and 65535"),
        ({"MASTER_ADDR": "$(hostname -s)"}, "MASTER_ADDR='.*' must be a host's name or address"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused(change: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        launch(WHOLE | change)


def test_a_process_of_ones_own_sees_nothing_of_it() -> None:
    more = {"LOCAL_WORLD_SIZE": "1", "ROLE_NAME": "default", "GROUP_RANK": "0", "TORCHELASTIC_MAX_RESTARTS": "0"}
    assert without_launch(WHOLE | more | {"HOME": "/h", "ROLE": "admin"}) == {"HOME": "/h", "ROLE": "admin"}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize("rank", ["0", "1"])
def test_who_waits_for_nobody_gives_up_in_one_line(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole set that is left over: the first waits for the others, the others for the first."""
    for name, value in (WHOLE | {"RANK": rank, "LOCAL_RANK": "0", "MASTER_PORT": free_port()}).items():
        monkeypatch.setenv(name, value)
    assert timedelta(minutes=1) <= parallel.RENDEZVOUS <= timedelta(minutes=10)
    monkeypatch.setattr(parallel, "RENDEZVOUS", timedelta(seconds=1))
    with pytest.raises(
        OptimaError, match=r"the 4 processes that RANK, .* must meet within 1 s; got '.*': start with"
    ) as e:
        parallel.init_process_group()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("command", ["figures", "claims", "train", "rerun"])
@pytest.mark.parametrize(
    "left",
    [{"RANK": "1"}, {"WORLD_SIZE": "2"}, {"LOCAL_RANK": "0", "MASTER_PORT": "1"}, WHOLE | {"WORLD_SIZE": "1"}],
    ids=lambda left: " ".join(left),
)
def test_commands_that_train_say_it_and_nothing_is_done(
    command: str,
    left: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from optima_lab.cli import main

    for name, value in left.items():
        monkeypatch.setenv(name, value)
    words = ["nothing"] if command == "rerun" else ["--preset", "smoke"]
    assert main([command, *words, "--runs", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and told.err.startswith("error: the environment must hold all")
    assert not list(tmp_path.iterdir())


def test_commands_that_only_look_do_not_care() -> None:
    command = [sys.executable, "-m", "optima_lab", "parameters", "--preset", "smoke"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"RANK": "1"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("task ")
