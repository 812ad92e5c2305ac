"""The registry as a local SQLite file, looked at without MLflow: which would make or migrate it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from data.errors import BadInput

PREFIX = "sqlite:///"
REMEDY = "Make one with `make pipeline`."


def registry_file(uri: str) -> Path | None:
    """Return the file of a registry's address, or None if it is not a SQLite file."""
    return Path(uri.removeprefix(PREFIX).partition("?")[0]) if uri.startswith(PREFIX) else None


def check_registry_file(uri: str) -> None:
    """Raise BadInput unless a SQLite registry is there and holds a model.

    MLflow must not be let at one that holds none: the pipeline may be making it right now, and two
    that make it at once ruin it.
    """
    path = registry_file(uri)
    if path is None:
        return
    if not path.is_file():
        raise BadInput(f"there is no registry yet at {path}.", remedy=REMEDY)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT 1 FROM model_versions LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        raise BadInput(f"there is no registry yet at {path} ({error}).", remedy=REMEDY) from error
    except sqlite3.DatabaseError as error:
        raise BadInput(f"{path} is not a registry ({error}).", remedy=REMEDY) from error
    if not found:
        raise BadInput(f"there is no model yet in the registry at {path}.", remedy=REMEDY)


def file_identity(uri: str) -> tuple[int, int] | None:
    """Return which file a registry is, for one put in its place has the same name; None where none is."""
    path = registry_file(uri)
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_dev, stat.st_ino) if stat else None
