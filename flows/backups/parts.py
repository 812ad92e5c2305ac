"""The parts of a backup, its manifest, and what the screen says of it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from data.bundle.manifest import digest
from data.errors import BadInput
from data.sources.databases import hidden
from flows.backups import databases, folders
from flows.runtime.exit_codes import BAD_INPUT, DONE, FAILED
from flows.runtime.progress import open_console
from flows.settings import Settings

NAME = "manifest.json"


class Kept(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True)

    name: str
    place: str
    """Where it was, without a password."""
    file: str
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """All files of a backup."""

    model_config = ConfigDict(frozen=True)

    made: AwareDatetime
    commit: str
    """Of the code that made it."""
    kept: tuple[Kept, ...]
    missing: tuple[str, ...] = ()
    """Parts of which there was nothing."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write what a backup says of itself."""
    (folder / NAME).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read what a backup says of itself; raises BadInput where there is none, or a file is not as it was."""
    try:
        manifest = Manifest.model_validate_json((folder / NAME).read_bytes())
    except (OSError, ValidationError) as error:
        raise BadInput("no backup there.", file=folder / NAME, remedy="Name its folder.") from error
    for kept in manifest.kept:
        path = folder / kept.file
        if not path.is_file() or digest(path) != kept.sha256:
            raise BadInput("is not as it was backed up.", file=path, remedy="Take another backup.")
    return manifest


def kept_file(name: str, place: str, path: Path) -> Kept:
    """Describe a file of a backup."""
    return Kept(name=name, place=place, file=path.name, bytes=path.stat().st_size, sha256=digest(path))


def folder_name(moment: datetime) -> str:
    """Return the name of a backup's folder."""
    return f"gradecast-{moment:%Y%m%d-%H%M%S}"


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


def said(work: Callable[[Console], object]) -> int:
    """Do the work and return the exit code: 0 done, 1 the disk failed, 2 bad input, both said plainly."""
    console = open_console()
    try:
        work(console)
    except BadInput as error:
        console.print(f"[bold red]Bad input[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        return BAD_INPUT
    except OSError as error:
        console.print(f"[bold red]Failed[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        return FAILED
    return DONE


def show_kept(console: Console, backup: Path, word: str) -> None:
    """Print what a backup holds."""
    manifest = read_manifest(backup)
    table = Table("part", "place", "size", "SHA-256", title=f"{word}: {backup}", title_justify="left")
    for kept in manifest.kept:
        table.add_row(kept.name, escape(kept.place), decimal(kept.bytes), kept.sha256[:12])
    console.print(table)
    if manifest.missing:
        console.print(f"There was nothing of: {', '.join(manifest.missing)}.", highlight=False)
