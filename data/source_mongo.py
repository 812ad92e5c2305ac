"""Documents of a MongoDB collection as rows: `mongodb://user@host/database?collection=NAME`.

A field is a column; what lies deeper in a document is not read. Codes and numbers come as the driver gives
them, Decimal128 as a decimal, an ObjectId as its text.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pandas as pd

from data.errors import BadInput
from data.source_secrets import PASSWORD, scheme_of, with_secrets, without_secrets

if TYPE_CHECKING:
    from pymongo.collection import Collection

SCHEMES = frozenset({"mongodb", "mongodb+srv"})
ROWS = 50_000  # of a chunk
PATIENCE = 5_000  # milliseconds for a server to answer
REMEDY = f"Write mongodb://user@host/database?collection=NAME, with the password in {PASSWORD}."


def is_collection(uri: str) -> bool:
    """Tell whether an address is meant to be that of a MongoDB collection."""
    return scheme_of(uri) in SCHEMES


def open_collection(uri: str) -> "Collection[Mapping[str, Any]]":
    """Open a collection, connecting to nothing yet; raises BadInput, which never shows a password."""
    try:
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError
    except ImportError as error:
        raise BadInput(
            "the package pymongo is not there.", remedy="Install the Pipfile's packages."
        ) from error
    address = with_secrets(uri)
    try:
        parts = urlsplit(address)
    except ValueError as error:
        reason = f"{without_secrets(uri)}: the address cannot be read."
        raise BadInput(reason, remedy=REMEDY) from error
    options = dict(parse_qsl(parts.query))
    name, database = options.pop("collection", ""), parts.path.strip("/")
    if not name or not database:
        raise BadInput(f"{without_secrets(uri)}: it names no database or no collection.", remedy=REMEDY)
    options.setdefault("serverSelectionTimeoutMS", str(PATIENCE))
    plain = urlunsplit(parts._replace(query=urlencode(options)))
    try:
        client: MongoClient[Mapping[str, Any]] = MongoClient(plain, connect=False, tz_aware=True)
    except (PyMongoError, ValueError) as error:
        raise BadInput(f"{without_secrets(uri)}: the address cannot be read.", remedy=REMEDY) from error
    return client[database][name]


@contextmanager
def open_documents(uri: str, columns: frozenset[str] | None = None) -> Iterator[Iterator[pd.DataFrame]]:
    """Give all documents, or fields of them, as frames in the order of their `_id`; raises BadInput."""
    wanted = None if columns is None else dict.fromkeys(sorted(columns), 1)
    with _answering(uri) as collection:
        yield document_chunks(collection.find(projection=wanted, batch_size=ROWS).sort("_id"))


def collection_names(uri: str) -> tuple[str, ...]:
    """Return the fields of the first document, without its `_id`; raises BadInput."""
    with _answering(uri) as collection:
        return tuple(name for name in (collection.find_one(sort=[("_id", 1)]) or {}) if name != "_id")


def count_documents(uri: str) -> int:
    """Return about how many documents there are; raises BadInput."""
    with _answering(uri) as collection:
        return collection.estimated_document_count()


@contextmanager
def _answering(uri: str) -> Iterator["Collection[Mapping[str, Any]]"]:
    collection = open_collection(uri)
    from pymongo.errors import PyMongoError

    try:
        with collection.database.client:
            yield collection
    except PyMongoError as error:
        reason = str(error).partition(",")[0]
        remedy = "Is the server up, and may you read?"
        raise BadInput(f"{without_secrets(uri)}: {reason}.", remedy=remedy) from error


def document_chunks(documents: Iterable[Mapping[str, Any]]) -> Iterator[pd.DataFrame]:
    """Yield frames of up to 50,000 documents each, at least one; a field that one lacks is missing there."""
    rows = iter(documents)
    chunk = list(islice(rows, ROWS))
    yield _frame(chunk)
    while chunk := list(islice(rows, ROWS)):
        yield _frame(chunk)


def _frame(documents: list[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{k: _plain(v) for k, v in row.items()} for row in documents], dtype=object)


def _plain(value: Any) -> Any:
    """Return a value of BSON's own types as one of Python's."""
    from bson import Decimal128, ObjectId

    if isinstance(value, Decimal128):
        return value.to_decimal()
    return str(value) if isinstance(value, ObjectId) else value
