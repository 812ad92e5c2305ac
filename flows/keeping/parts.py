"""What is kept: three databases, the registry's artifacts, the spool and the rest of the state."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from data.database_tables import hidden
from data.errors import BadInput
from flows.keeping import databases, folders
from flows.settings import Settings

DATABASES = ("predictions.db", "mlflow.db")
NOT_STATE = (
    *(f"{name}{suffix}" for name in DATABASES for suffix in ("", "-wal", "-shm", "-journal")),
    *("mlartifacts", "spool", "prefect"),  # parts of their own
    *(".drafts", "metrics", "bundle", "measured.json", "mlflow.lock"),  # made again when they are needed
)
SPOOLED = 2
"""So many parts, the first ones, between which answers go: nothing is drained while they are saved."""


@dataclass(frozen=True)
class Part:
    """One thing that is kept, in a file of its own in the backup."""

    name: str
    place: str
    """Where it is, as it may be shown."""
    file: str
    exists: Callable[[], bool]
    dump: Callable[[Path], None]
    load: Callable[[Path], None]


def parts(settings: Settings) -> list[Part]:
    """Return what is kept, in the order in which nothing can slip through.

    A version is in the registry's database only when its artifacts are in their place, so those come later.

    Raises:
        BadInput: an address cannot be read, or the registry's database is behind a server and not named.
    """
    home = settings.home
    spool = home / "spool"
    return [
        _folder("spool", spool, (".lock",)),
        _database("log", settings.database_url),
        _database("registry", registry_url(settings)),
        _database("prefect", prefect_url(settings)),
        _folder("artifacts", artifacts_folder(settings)),
        _folder("state", home, NOT_STATE),
    ]


def registry_url(settings: Settings) -> str:
    """Return the URL of MLflow's database: as its server is told, or that of the registry itself."""
    url = os.environ.get("MLFLOW_BACKEND_STORE_URI") or settings.mlflow_uri
    if url.startswith(("http:", "https:")):
        remedy = "Set MLFLOW_BACKEND_STORE_URI (and MLFLOW_ARTIFACTS_DESTINATION) as its server has them."
        raise BadInput("the registry's database is behind a server.", remedy=remedy)
    return url


def prefect_url(settings: Settings) -> str:
    """Return the URL of the Prefect server's database."""
    local = f"sqlite:///{(settings.home / 'prefect' / 'prefect.db').absolute()}"
    return os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL") or local


def artifacts_folder(settings: Settings) -> Path:
    """Return the folder of the registry's artifacts; raises BadInput where they are in no folder."""
    place = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or str(settings.home / "mlartifacts")
    folder = place.removeprefix("file://")
    if "://" in folder:
        raise BadInput(f"{place} is no folder.", remedy="Back it up with its own means.")
    return Path(folder)


def _database(name: str, address: str) -> Part:
    try:
        url = sa.make_url(address)
    except sa.exc.ArgumentError as error:
        raise BadInput(f"the address of the {name} database cannot be read.") from error
    ending = "db" if databases.is_sqlite(url) else "dump"
    return Part(
        name,
        hidden(url),
        f"{name}.{ending}",
        exists=lambda: databases.exists(url),
        dump=lambda file: databases.dump(url, file),
        load=lambda file: databases.load(file, url),
    )


def _folder(name: str, folder: Path, but: tuple[str, ...] = ()) -> Part:
    return Part(
        name,
        str(folder.absolute()),
        f"{name}.tar",
        exists=lambda: folders.exists(folder, but),
        dump=lambda file: folders.dump(folder, file, but),
        load=lambda file: folders.load(file, folder),
    )
