"""The rows of a database's table, query or collection, chunk by chunk, as often as they are asked for."""

from collections.abc import Iterator

import pandas as pd

from data.database_tables import is_table
from data.source_mongo import open_documents
from data.source_tables import RowSource


class DatabaseRows:
    """A source that is read a first time to learn what it has; a single chunk of it is kept.

    names: the columns, or the fields that any document has. kept: all rows, where they are one chunk.
    """

    def __init__(self, uri: str, columns: frozenset[str]) -> None:
        self._uri, self._columns = uri, columns
        self.names = RowSource.of(uri).names() if is_table(uri) else []
        self.kept: pd.DataFrame | None = None

    def first_time(self) -> Iterator[pd.DataFrame]:
        """Yield the chunks, and learn the names and whether one chunk is all."""
        number = 0
        for number, frame in enumerate(self._chunks(), start=1):
            self.names += [name for name in map(str, frame.columns) if name not in self.names]
            self.kept = frame if number == 1 else None
            yield frame
        if not number:
            self.kept = pd.DataFrame(columns=[name for name in self.names if name in self._columns])

    def again(self) -> Iterator[pd.DataFrame]:
        """Yield the chunks, each with all the columns: a document may lack a field that others have."""
        declared = [name for name in self.names if name in self._columns]
        for frame in self._chunks():
            yield frame if list(frame.columns) == declared else frame.reindex(columns=declared)

    def _chunks(self) -> Iterator[pd.DataFrame]:
        for frame in self._all():
            yield frame[[name for name in frame.columns if name in self._columns]]

    def _all(self) -> Iterator[pd.DataFrame]:
        if not is_table(self._uri):
            with open_documents(self._uri, self._columns) as documents:
                yield from documents
            return
        with RowSource.of(self._uri).open(self._columns) as found:
            names = list(found.keys())
            for rows in found.partitions():
                yield pd.DataFrame(list(rows), columns=names, dtype=object)
