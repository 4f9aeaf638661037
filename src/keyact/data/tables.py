"""Tables that list samples: CSV and Parquet, read row by row with all limits checked."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from keyact.data.base import MAX_SAMPLES, MAX_TABLE_BYTES, extra
from keyact.errors import InputError

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq")

_DELIMITERS = ",;\t"
_PARQUET_BATCH = 10_000
_SHORT = 3  # letters of a name that is too short to be misspelled
_ALIKE = 0.74  # difflib's ratio: grp is group


def delimiter_of(head: str) -> str:
    """What separates the fields of a table whose first line is ``head``.

    German and French spreadsheets write semicolons.
    """
    return max(_DELIMITERS, key=head.count)


def read_table(
    path: Path, columns: Sequence[str], required: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table as text.

    Parameters
    ----------
    columns : which to read; case and spaces round the names do not matter, others are left out.
    required : those that must be there.

    Yields
    ------
    number of the row, 1 for the first one below the names (in a CSV file: its line), and its
    fields by column, those that the file lacks empty.

    Raises
    ------
    InputError : no such file, too large, not a table, without a required column, or with one
        that is nearly called as another should be.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        yield from _parquet(path, columns, required)
        return
    text = read_text(path)
    head = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=delimiter_of(head))
    try:
        found = _places(path, next(rows, []), columns, required)
        for count, row in enumerate(rows):
            if count >= MAX_SAMPLES:
                raise InputError(f"{path}: more than {MAX_SAMPLES} rows")
            if any(row):
                yield (
                    rows.line_num,
                    {name: row[i] if i < len(row) else "" for name, i in found.items()},
                )
    except csv.Error as error:
        raise InputError(f"{path}: line {rows.line_num}: not a CSV table: {error}") from None


def read_text(path: Path, limit: int = MAX_TABLE_BYTES) -> str:
    """A text file in UTF-8.

    Raises
    ------
    InputError : missing, larger than ``limit`` bytes, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > limit:
        raise InputError(f"{path}: larger than {limit >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not a text in UTF-8 ({error.reason}); save it as UTF-8"
        ) from None


def _places(
    path: Path, names: Sequence[str], columns: Sequence[str], required: Sequence[str]
) -> dict[str, int]:
    """Column -> its place in the row."""
    known = {name.strip().casefold(): i for i, name in enumerate(names)}
    missing = [name for name in required if name not in known]
    if missing:
        have = ", ".join(name.strip()[:40] for name in names[:20]) or "none"
        raise InputError(
            f"{path}: has no column {' and no column '.join(missing)} (columns: {have}); the "
            "first line names the columns"
        )
    for name in columns:  # a column that is passed over for a letter costs a split or a group
        strange = [one for one in known if one not in columns]
        if name not in known and len(name) > _SHORT:
            for near in get_close_matches(name, strange, 1, _ALIKE):
                raise InputError(
                    f"{path}: has a column {near!r}; call it {name!r} if it is that, or something "
                    "else if it is not"
                )
    return {name: known[name] for name in columns if name in known}


def _parquet(
    path: Path, columns: Sequence[str], required: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    parquet = extra("pyarrow.parquet")
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(f"{path}: larger than {MAX_TABLE_BYTES >> 20} MiB")
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            places = _places(path, names, columns, required)
            if file.metadata.num_rows > MAX_SAMPLES:
                raise InputError(f"{path}: more than {MAX_SAMPLES} rows")
            wanted = {column: names[i] for column, i in places.items()}
            number = 0
            for batch in file.iter_batches(_PARQUET_BATCH, columns=list(wanted.values())):
                for row in batch.to_pylist():
                    number += 1
                    yield (
                        number,
                        {c: "" if row[n] is None else str(row[n]) for c, n in wanted.items()},
                    )
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except extra("pyarrow").ArrowException as error:
        raise InputError(f"{path}: not a Parquet file: {str(error).splitlines()[0]}") from None
