"""The files that an address means: one, a folder's, those that a pattern matches, or objects of a store."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from data.errors import BadInput
from data.source_secrets import scheme_of, without_secrets
from data.yaml_files import shortened

READERS = ".csv .tsv .txt .parquet"
STORES = frozenset({"s3"})
"""Schemes that are fetched through fsspec, each with a package of its own."""
CHECK = "Check the path; it is taken from where you are."
PATTERN = re.compile(r"[*?\[]")


def is_stored(uri: str) -> bool:
    """Tell whether an address is that of an object store."""
    return scheme_of(uri) in STORES


def check_store(uri: str) -> None:
    """Raise BadInput where an address names no bucket."""
    if not uri.partition("://")[2].partition("/")[0]:
        remedy = "Write s3://bucket/file.csv, s3://bucket/folder/ or a pattern."
        raise BadInput(f"{without_secrets(uri)}: it names no bucket.", remedy=remedy)


def local_files(uri: str) -> list[Path]:
    """Return the files of a path, a `file://` address, a folder or a pattern, in the order of their names.

    Raises BadInput where there is none, and where one is empty.
    """
    scheme = scheme_of(uri)
    if scheme not in ("", "file"):
        remedy = "Give a path, a database's table, a MongoDB collection or s3://…."
        raise BadInput(f"{without_secrets(uri)}: nothing here reads {scheme}://.", remedy=remedy)
    try:
        return _found(uri, Path(unquote(urlsplit(uri).path) if scheme else uri))
    except BadInput:
        raise
    except (OSError, ValueError) as error:  # a name too long, a pattern that is none
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"it cannot be looked for: {reason}.", file=shortened(uri), remedy=CHECK) from error


def _found(uri: str, path: Path) -> list[Path]:
    if uri and path.is_dir():
        return _checked(_readable(path.iterdir()), f"{path}: no file in this folder can be read.")
    if PATTERN.search(str(path)) and not path.exists():
        root = Path(path.anchor) if path.is_absolute() else Path()
        found = root.glob(str(path.relative_to(path.anchor)))
        return _checked(_readable(found), f"{path}: no file that can be read matches this.")
    if not path.is_file():
        raise BadInput("there is no such file.", file=path, remedy=CHECK)
    return _checked([path], "")


@contextmanager
def fetched(uri: str) -> Iterator[list[Path]]:
    """Fetch the objects of an address into a temporary folder for as long as they are needed.

    `s3://bucket/key`, a prefix that ends in `/`, or a pattern. Credentials are those of the store's own
    chain: the AWS_… variables, a profile, the machine's role. Raises BadInput.
    """
    check_store(uri)
    with tempfile.TemporaryDirectory(prefix="gradecast-") as folder:
        try:
            store, path = _store(uri)
            names = _names(store, path)
            files = [Path(folder) / f"{number:05d}-{Path(name).name}" for number, name in enumerate(names)]
            for name, file in zip(names, files, strict=True):
                store.get_file(name, str(file))
        except _errors_of_stores() as error:
            reason = str(error) or type(error).__name__
            raise BadInput(
                f"{without_secrets(uri)}: it cannot be fetched: {reason}.", remedy="Check name and rights."
            ) from error
        yield _checked(files, f"{without_secrets(uri)}: no object that can be read is there.")


def _store(uri: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # half a second to import

    try:
        store, path = url_to_fs(uri)
    except ImportError as error:
        remedy = f"Install it: {urlsplit(uri).scheme}fs, of the Pipfile's packages."
        raise BadInput(
            f"{without_secrets(uri)}: the package for this store is not there.", remedy=remedy
        ) from error
    return store, str(path)


def _errors_of_stores() -> tuple[type[Exception], ...]:
    """Return what a store raises: beside the errors of files, no credentials, no such host."""
    try:
        from botocore.exceptions import BotoCoreError
    except ImportError:
        return OSError, ValueError
    return OSError, ValueError, BotoCoreError


def _names(store: Any, path: str) -> list[str]:
    if PATTERN.search(path):
        return sorted(name for name in store.glob(path) if _suffix(name) in READERS.split())
    if store.isdir(path):
        return sorted(name for name in store.ls(path, detail=False) if _suffix(name) in READERS.split())
    return [path]


def _readable(paths: Iterator[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file() and _suffix(path.name) in READERS.split())


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _checked(files: list[Path], none: str) -> list[Path]:
    if not files:
        raise BadInput(none, remedy=f"It takes files ending in: {READERS}.")
    for file in files:
        if file.stat().st_size == 0:
            raise BadInput(
                "the file is empty.", file=file, remedy="Give one with a header and students in it."
            )
    return files
