"""A CSV file that only grows: rows are appended as they are found, and a later run skips those that are there."""

import csv
import fcntl
import io
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path


class Table:
    """Rows of text by column name; `key` columns say which row it is. Numbers are written with `repr`."""

    def __init__(self, path: Path, key: Sequence[str], values: Sequence[str]) -> None:
        """Raises ValueError for a file with other columns, and for one that another process writes into."""
        self.path, self.key, self.columns = path, tuple(key), (*key, *values)
        self.rows: dict[Hashable, dict[str, str]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the file is closed, with the process at last
        except BlockingIOError:
            raise ValueError(
                f"another run of this study is writing {path}: wait for it, or give another --out"
            ) from None
        whole = _whole_lines(path)
        if not whole:
            self._write([self.columns])
            return
        header, *lines = csv.reader(io.StringIO(whole))
        if tuple(header) != self.columns:
            raise ValueError(f"{path} has other columns than this study writes: move it away")
        for line in lines:
            self._take(dict(zip(self.columns, line, strict=True)))

    def __contains__(self, row: Mapping[str, object]) -> bool:
        return self._key_of(row) in self.rows

    def get(self, row: Mapping[str, object]) -> dict[str, str] | None:
        """The row with the key of `row`, if it is there."""
        return self.rows.get(self._key_of(row))

    def append(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add rows: all of them or, where the process ends meanwhile, the first lines of them."""
        lines = [[_text(row[name]) for name in self.columns] for row in rows]
        self._write(lines)
        for line in lines:
            self._take(dict(zip(self.columns, line, strict=True)))

    def _take(self, row: dict[str, str]) -> None:
        self.rows[self._key_of(row)] = row

    def _key_of(self, row: Mapping[str, object]) -> Hashable:
        return tuple(_text(row[name]) for name in self.key)

    def _write(self, lines: Iterable[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        self._file.write(text.getvalue().encode())


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _whole_lines(path: Path) -> str:
    """The file's text; a line that a killed process left unfinished is cut off first."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return whole.decode()
