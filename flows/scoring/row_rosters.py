"""Rosters of a database: the rows of a table or a query, the documents of a collection, in chunks."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from data.errors import BadInput
from data.source_mongo import collection_names, count_documents, is_collection, open_documents
from data.source_secrets import without_secrets
from data.source_tables import RowSource

ORDERED = re.compile(r"\border\s+by\b", re.IGNORECASE)
Opened = tuple[str, tuple[str, ...], int, Callable[[], Iterator[pa.Table]]]
"""What it is called, its columns, how many rows, and how to read them in chunks."""


def open_rows(uri: str) -> Opened:
    """Open a table, a query or a collection; raises BadInput.

    A query says its order, so that a run that goes on meets the same chunks; a table is read in that of
    its primary key, a collection in that of its `_id`.
    """
    if is_collection(uri):
        names = collection_names(uri)
        chunks = functools.partial(_documents, uri, names)
        return without_secrets(uri), names, count_documents(uri), chunks
    source = RowSource.of(uri)
    if source.query and not ORDERED.search(source.query):
        raise BadInput(f"{source}: it says no order.", remedy="End the query with ORDER BY and the id.")
    return str(source), tuple(source.names()), source.count(), functools.partial(_rows, source)


def _rows(source: RowSource) -> Iterator[pa.Table]:
    with source.open() as found:
        names = list(found.keys())
        for rows in found.partitions():
            yield _table_of(names, rows)


def _table_of(names: list[str], rows: Sequence["sa.Row[Any]"]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(cells) for name, cells in zip(names, columns, strict=True)})


def _documents(uri: str, names: tuple[str, ...]) -> Iterator[pa.Table]:
    with open_documents(uri) as chunks:
        for frame in chunks:
            yield pa.table(
                {
                    name: pa.array(frame[name].tolist() if name in frame else [None] * len(frame))
                    for name in names
                }
            )
