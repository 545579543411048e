"""`python -m benchmarks [name …]` runs benchmarks one after the other and appends what they print to RESULTS.md."""

import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"
PACKAGES = ("torch", "open_clip_torch", "numpy", "matplotlib")


def names() -> list[str]:
    """Every benchmark there is."""
    return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def machine() -> str:
    """Processor, cores, GPU if any, and versions, in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    processor = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU')"
    gpu = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{processor}, {os.cpu_count()} cores, {gpu}; Python {platform.python_version()}, {versions}"


def run(name: str) -> int:
    """Run one, showing and keeping its lines; its exit code. Ctrl-C keeps what was printed."""
    kept: list[str] = []
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    print(f"# {name}", flush=True)
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                kept.append(line)
        return process.returncode
    finally:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"\n`python -m benchmarks.{name}`\n\n```text\n{''.join(kept)}```\n")


def main() -> int:
    """1 where one of them failed; the others run all the same."""
    wanted = sys.argv[1:] or names()
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(f"error: a benchmark must be one of {', '.join(names())}; got {', '.join(unknown)}", file=sys.stderr)
        return 2
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(f"\n## {date.today()}\n\n{machine()}\n")
    return int(any([run(name) for name in wanted]))


if __name__ == "__main__":
    sys.exit(main())
