"""Running notebooks: typed parameters, whole results or none, and one line for what went wrong.

A notebook's parameters are the annotated assignments of its cell tagged `parameters`; they are read as syntax and never
evaluated. A notebook whose bytes, parameters, library and records are those of its last success is not run again.
"""

import ast
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing import active_children, get_context
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from optima_lab.config.fields import Value, cast
from optima_lab.errors import ConfigError, NotebookError, OptimaError, nearest
from optima_lab.files import expand, explained, json_text, temporary, write_text
from optima_lab.progress import progress
from optima_lab.report.captions import readings
from optima_lab.report.kernels import NAME, empty_kernel, own_kernel

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

KINDS: Mapping[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
ROOT = Path(__file__).parents[2]
STATE_BYTES = 600_000  # of widgets that an executed notebook keeps: it stays below 1 MB


@dataclass(frozen=True)
class Job:
    """A notebook to run: where its result goes, its parameters, and what stands for the records that it reads."""

    notebook: Path
    output: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        for name in ("notebook", "output"):
            object.__setattr__(self, name, expand(getattr(self, name)))


@dataclass(frozen=True)
class Result:
    """What became of a job: `error` is one line, empty on success; `skipped` where nothing had changed."""

    job: Job
    seconds: float
    error: str = ""
    skipped: bool = False


def chdir_to_root() -> Path:
    """From `notebooks/` change to the repository's root, so that `runs` and `figures` mean the same by hand."""
    if (here := Path.cwd()).name == "notebooks" and (here.parent / "optima_lab").is_dir():
        os.chdir(here.parent)
    return Path.cwd()


def parameters(notebook: Path | str) -> dict[str, tuple[type, Value]]:
    """The type and default of every parameter of a notebook, read without running anything.

    Raises NotebookError for a missing or broken notebook, a missing cell, or a parameter without a plain annotation.
    """
    path = expand(notebook)
    cells = [cell for cell in _read(path)["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    if not cells:
        raise NotebookError(f"{path.name} must have a cell tagged 'parameters', found none")
    try:
        statements = ast.parse(cells[0]["source"]).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotebookError(f"{path.name}: the cell 'parameters' is no Python: {error}") from error
    return dict(_parameter(path, statement) for statement in statements if not _is_text(statement))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _parameter(path: Path, statement: ast.stmt) -> tuple[str, tuple[type, Value]]:
    match statement:
        case ast.AnnAssign(ast.Name(name), ast.Name(kind), ast.expr() as value) if kind in KINDS:
            try:
                return name, (KINDS[kind], cast(KINDS[kind], ast.literal_eval(value), name))
            except (ValueError, TypeError, RecursionError) as error:
                raise NotebookError(f"{path.name}: default of {name} must be a plain {kind}: {error}") from error
    came = ast.unparse(statement).splitlines()[0]
    raise NotebookError(
        f"{path.name}: parameters must read like 'seeds: int = 1' (int, float, str, bool), got {came!r}"
    )


def check_parameters(notebook: Path | str, values: Mapping[str, Any]) -> dict[str, Value]:
    """`values` with the types that the notebook declares; '007' stays text where text is declared.

    Raises ConfigError for an unknown name or a wrong type.
    """
    declared = parameters(notebook)
    for name in values:
        if name not in declared:
            raise ConfigError(f"{Path(notebook).name} has no parameter {name!r}{nearest(name, list(declared))}")
    plain = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in values.items()}
    return {name: cast(declared[name][0], value, name) for name, value in plain.items()}


def execute(notebook: Path | str, output: Path | str, values: Mapping[str, Any], fingerprint: str = "") -> Path:
    """Run a notebook with these parameters in the current directory and keep it at `output`, whole or not at all.

    While it runs it lies beside `output`; if a cell fails it is kept as '<name>.failed.ipynb' beside `output`, whose
    older version stays. Nothing is run where nothing has changed since the last success (see `unchanged`).

    Raises ConfigError for parameters, NotebookError in one line (notebook, parameters, cell, error) for a failed run.
    """
    job = Job(Path(notebook), Path(output), values, fingerprint)
    key = job_key(job)
    return job.output if unchanged(job.output, key) else _run(job, key)


def _run(job: Job, key: str, kernel: "AsyncKernelManager | None" = None) -> Path:
    """Execute a job whatever was there before, in this kernel or one of its own; on success it is known by `key`."""
    source, target, typed = job.notebook, job.output, check_parameters(job.notebook, job.parameters)
    everything = {name: default for name, (_, default) in parameters(source).items()} | typed
    failed, started = failed_name(target), perf_counter()
    with explained(target, NotebookError), temporary(target) as part:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _papermill(source, part, typed, kernel)
        except Exception as error:
            line = _one_line(f"{source.name} ({_words(typed)}): {_error_text(error)}")
            with suppress(NotebookError):  # on a full disk there may be nothing to keep
                _finish(part, failed, {"error": line, "parameters": everything})
            raise NotebookError(line) from error
        drawn = [reading.name for reading in readings(_read(part)) if (target.parent / f"{reading.name}.png").exists()]
        record = {"key": key, "seconds": round(perf_counter() - started, 1), "figures": drawn, "parameters": everything}
        _finish(part, target, record)
        failed.unlink(missing_ok=True)
    return target


def execute_all(jobs: Sequence[Job], workers: int = 2) -> list[Result]:
    """Run notebooks, `workers` at a time, with a bar; a failure ends its own notebook only. Results in order of jobs.

    Raises ConfigError for wrong parameters of any job before running one.
    """
    keys = [job_key(job) for job in jobs]
    todo = [n for n, job in enumerate(jobs) if not unchanged(job.output, keys[n])]
    results = {n: Result(job, 0.0, skipped=True) for n, job in enumerate(jobs) if n not in todo}
    others = set(active_children())
    with ProcessPoolExecutor(max(1, min(workers, len(todo))), get_context("spawn")) as pool:
        try:
            futures = {pool.submit(_attempt, jobs[n], keys[n]): n for n in todo}
            for future in progress(as_completed(futures), "notebooks", len(futures)):
                results[futures[future]] = future.result()
        except BaseException:  # Ctrl-C above all: stop the workers, whose kernels end with them
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(active_children()) - others:
                child.terminate()
            raise
    return [results[n] for n in range(len(jobs))]


def _attempt(job: Job, key: str) -> Result:
    started = perf_counter()
    try:
        _run(job, key, empty_kernel())
        return Result(job, perf_counter() - started)
    except OptimaError as error:
        return Result(job, perf_counter() - started, error=str(error))
    except OSError as error:
        return Result(job, perf_counter() - started, error=f"{job.notebook.name}: {error}")


def failed_name(output: Path) -> Path:
    """Where a notebook that failed is kept."""
    return output.with_name(output.stem + ".failed.ipynb")


def unchanged(output: Path, key: str) -> bool:
    """Whether `output` is the last success of the same question and the figures that it drew are still there."""
    if not output.exists() or failed_name(output).exists():
        return False
    try:
        record = _read(output)["metadata"].get("optima_lab", {})
    except NotebookError:
        return False
    drawn = record.get("figures") if isinstance(record, dict) and record.get("key") == key else None
    return isinstance(drawn, list) and all((output.parent / f"{name}.png").exists() for name in drawn)


def job_key(job: Job) -> str:
    """A hash of all that a notebook's result depends on: itself, its parameters, the library, the records.

    Raises ConfigError for parameters that the notebook refuses.
    """
    typed = check_parameters(job.notebook, job.parameters)
    digest = sha256(job.notebook.read_bytes())
    digest.update(json.dumps([sorted(typed.items()), job.fingerprint]).encode())
    for path in sorted((ROOT / "optima_lab").rglob("*")):
        if path.suffix in {".py", ".js", ".csv", ".css"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> Any:
    try:
        if path.exists() and not path.is_file():  # a named pipe would be waited for
            raise NotebookError(f"{path} must be a file, got a folder or a pipe")
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(notebook["cells"], list) and notebook["nbformat"] == 4:
            return _joined(notebook)
    except OSError as error:
        raise NotebookError(f"{path}: no such notebook ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotebookError(f"{path} is no notebook: {error}") from error
    raise NotebookError(f"{path} must be a notebook of format 4, got {notebook.get('nbformat')!r}")


def _joined(notebook: Any) -> Any:
    """Cell sources as one text each (the format allows lists of lines); what readers rely on is of its kind."""
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        if not isinstance(cell["cell_type"], str):
            raise TypeError(f"cell_type must be text, got {cell['cell_type']!r}")
    for metadata in (notebook["metadata"], *(cell["metadata"] for cell in notebook["cells"])):
        if not (isinstance(metadata, dict) and isinstance(metadata.get("tags", []), list)):
            raise TypeError(f"metadata must be an object, its tags a list, got {metadata!r}")
    return notebook


def _papermill(
    source: Path, part: Path, typed: Mapping[str, Value], kernel: "AsyncKernelManager | None" = None
) -> None:
    """Run once, and once more where the kernel died before it said anything (a hiccup of its start)."""
    import nbformat

    with _silence():
        from papermill import execute_notebook

        for attempt in (1, 2):
            try:
                node = nbformat.from_dict(_read(source))  # a node, not a path: papermill would format braces in paths
                target = str(part).replace("{", "{{").replace("}", "}}")
                quiet = {"progress_bar": False, "start_timeout": 300}
                options = {"km": kernel if attempt == 1 else None, "kernel_manager_class": own_kernel()}
                execute_notebook(node, target, dict(typed), kernel_name=NAME, language="python", **options, **quiet)
                return
            except RuntimeError as error:
                if attempt == 2 or "Kernel died before replying" not in str(error):
                    raise


@contextmanager
def _silence() -> Iterator[None]:
    """No log lines and no warnings of papermill's own: what matters is raised."""
    logger = logging.getLogger("papermill")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with catch_warnings():
            simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _finish(part: Path, target: Path, record: Mapping[str, Any]) -> None:
    """Keep a notebook as `target`, with this record in its metadata."""
    if part.exists():
        notebook = _read(part)
        notebook["metadata"]["optima_lab"] = dict(record)
        if len(json.dumps(notebook["metadata"].get("widgets", {}))) > STATE_BYTES:
            del notebook["metadata"]["widgets"]  # a long record: its page shows it, and running the cell again
        write_text(target, json_text(notebook, ensure_ascii=False, indent=1) + "\n", NotebookError)


def _words(typed: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={value}" for name, value in typed.items()) or "no parameters"


def _error_text(error: Exception) -> str:
    """'cell In [4]: ValueError: what it says', or what ended the run outside of a cell."""
    if hasattr(error, "ename"):
        count, name, text = (getattr(error, key) for key in ("exec_count", "ename", "evalue"))
        return f"cell In [{count}]: {name}: {text}"
    return f"{type(error).__name__}: {error}"


def _one_line(text: str) -> str:
    """Without colours and line breaks, at most 400 characters."""
    line = " ".join(re.sub("\x1b\\[[0-9;]*m", "", text).split())
    return line if len(line) <= 400 else line[:399] + "…"
