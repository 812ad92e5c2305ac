"""What a backup says of itself: manifest.json, with each file's digest."""

import hashlib
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from data.errors import BadInput

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


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_name(moment: datetime) -> str:
    """Return the name of a backup's folder."""
    return f"gradecast-{moment:%Y%m%d-%H%M%S}"
