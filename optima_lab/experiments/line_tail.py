"""A file of JSON lines that somebody else is writing: what is new in it since one last looked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optima_lab.experiments.records import parsed, read_lines


@dataclass
class LineTail:
    """The records of a .jsonl file that grows: together those of `read_lines`, each parsed once."""

    path: Path
    count: int = 0  # lines that were read
    offset: int = 0  # bytes of them
    last: bytes = b""  # of these lines; where it does not stand there any more, the file was begun anew

    def read(self) -> tuple[int, list[dict[str, Any]]]:
        """How many of the lines that were read before still stand, all or none of them; and the whole lines since."""
        if not self.path.is_file() or self.path.is_symlink():
            self.count, self.offset, self.last = 0, 0, b""
            return 0, read_lines(self.path)
        with self.path.open("rb") as file:
            file.seek(self.offset - len(self.last))
            if file.read(len(self.last)) != self.last:
                file.seek(0)
                self.count, self.offset, self.last = 0, 0, b""
            new, newline, _ = file.read().rpartition(b"\n")
        before, lines = self.count, new.split(b"\n") if newline else []
        records = parsed(self.path, [*(line.decode("utf-8", "replace") for line in lines), ""], before + 1)
        if newline:
            self.count, self.offset = before + len(lines), self.offset + len(new) + 1
            self.last = lines[-1] + newline
        return before, records
