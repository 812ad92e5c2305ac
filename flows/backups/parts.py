"""The parts of a backup, each in a file of its own, and the manifest of them."""

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from data.durable import digest
from data.errors import BadInput
from data.sources.databases import hidden
from flows.backups import databases
from flows.runtime.exit_codes import DONE, FAILED, explain
from flows.runtime.progress import open_console, print_line
from flows.settings import Settings

NAME = "manifest.json"


class BackupFile(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True)

    name: str
    place: str
    """Where it was, without a password."""
    file: str
    bytes: int
    sha256: str


class BackupManifest(BaseModel):
    """All files of a backup."""

    model_config = ConfigDict(frozen=True)

    made: AwareDatetime
    commit: str
    """Of the code that made it."""
    kept: tuple[BackupFile, ...]
    missing: tuple[str, ...] = ()
    """Parts of which there was nothing."""


def write_manifest(folder: Path, manifest: BackupManifest) -> None:
    """Write what a backup says of itself."""
    (folder / NAME).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")


def read_manifest(folder: Path) -> BackupManifest:
    """Read what a backup says of itself; raises BadInput where there is none, or a file is not as it was."""
    try:
        manifest = BackupManifest.model_validate_json((folder / NAME).read_bytes())
    except (OSError, ValidationError) as error:
        raise BadInput("no backup there.", file=folder / NAME, remedy="Name its folder.") from error
    for kept in manifest.kept:
        path = folder / kept.file
        if not path.is_file() or digest(path) != kept.sha256:
            raise BadInput("is not as it was backed up.", file=path, remedy="Take another backup.")
    return manifest


DATABASES = ("predictions.db", "mlflow.db")
NOT_STATE = (
    *(f"{name}{suffix}" for name in DATABASES for suffix in ("", "-wal", "-shm", "-journal")),
    *("mlartifacts", "spool", "prefect"),  # parts of their own
    *(".drafts", "metrics", "bundle", "measured.json", "mlflow.lock"),  # made again when they are needed
)
SPOOLED = 2
"""So many parts, the first ones, between which answers go: nothing is drained while they are saved."""


@dataclass(frozen=True)
class BackupPart:
    """One thing that is kept, in a file of its own in the backup."""

    name: str
    place: str
    """Where it is, as it may be shown."""
    file: str
    exists: Callable[[], bool]
    dump: Callable[[Path], None]
    load: Callable[[Path], None]

    def saved_in(self, folder: Path) -> BackupFile:
        """Describe its file in a backup's folder."""
        path = folder / self.file
        size = path.stat().st_size
        return BackupFile(name=self.name, place=self.place, file=path.name, bytes=size, sha256=digest(path))


def parts(settings: Settings) -> list[BackupPart]:
    """Return what is kept, in the order in which nothing can slip through.

    A version is in the registry's database only when its artifacts are in their place, so those come later.

    Raises:
        BadInput: an address cannot be read, or the registry's database is behind a server and not named.
    """
    home = settings.home
    prefect = f"sqlite:///{(home / 'prefect' / 'prefect.db').absolute()}"
    return [
        _folder("spool", home / "spool", (".lock",)),
        _database("log", settings.database_url),
        _database("registry", registry_url(settings)),
        _database("prefect", os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL") or prefect),
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


def artifacts_folder(settings: Settings) -> Path:
    """Return the folder of the registry's artifacts; raises BadInput where they are in no folder."""
    place = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION") or str(settings.home / "mlartifacts")
    folder = place.removeprefix("file://")
    if "://" in folder:
        raise BadInput(f"{place} is no folder.", remedy="Back it up with its own means.")
    return Path(folder)


def _database(name: str, address: str) -> BackupPart:
    try:
        url = sa.make_url(address)
    except sa.exc.ArgumentError as error:
        raise BadInput(f"the address of the {name} database cannot be read.") from error
    ending = "db" if databases.is_sqlite(url) else "dump"
    return BackupPart(
        name,
        hidden(url),
        f"{name}.{ending}",
        exists=lambda: databases.exists(url),
        dump=lambda file: databases.dump(url, file),
        load=lambda file: databases.load(file, url),
    )


def _folder(name: str, folder: Path, but: tuple[str, ...] = ()) -> BackupPart:
    """Describe a folder as a part, without the names of `but` at its top."""
    return BackupPart(
        name,
        str(folder.absolute()),
        f"{name}.tar",
        exists=lambda: any(_files(folder, but)),
        dump=lambda file: _pack(folder, file, but),
        load=lambda file: _unpack(file, folder),
    )


def _files(folder: Path, but: tuple[str, ...]) -> Iterator[Path]:
    """Yield files and links, at any depth."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.relative_to(folder).parts[0] not in but and (path.is_symlink() or path.is_file()):
            yield path


def _pack(folder: Path, file: Path, but: tuple[str, ...]) -> None:
    """Put a folder's files into a tar file; one that others take away meanwhile is left out."""
    with tarfile.open(file, "w") as archive:
        for path in sorted(_files(folder, but)):
            try:
                archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
            except FileNotFoundError:
                continue


def _unpack(file: Path, folder: Path) -> None:
    """Put the files of a tar file into a folder; raises BadInput for one that would leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise BadInput(f"cannot be unpacked: {error}.", file=file) from error


def run_plainly(work: Callable[[Console], object]) -> int:
    """Do the work and return the exit code; a disk that fails has no room for the trace of it."""
    console = open_console()
    try:
        work(console)
    except BadInput as error:
        return explain(console, error, Settings())
    except OSError as error:
        print_line(console, Text.assemble(("Failed", "bold red"), f": {error}"))
        return FAILED
    return DONE


def show_backup(console: Console, backup: Path, word: str) -> None:
    """Print what a backup holds."""
    manifest = read_manifest(backup)
    table = Table("part", "place", "size", "SHA-256", title=f"{word}: {backup}", title_justify="left")
    for kept in manifest.kept:
        table.add_row(kept.name, escape(kept.place), decimal(kept.bytes), kept.sha256[:12])
    console.print(table)
    if manifest.missing:
        console.print(f"There was nothing of: {', '.join(manifest.missing)}.", highlight=False)
