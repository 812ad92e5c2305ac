"""A folder into one tar file and back."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from data.errors import BadInput


def exists(folder: Path, but: tuple[str, ...] = ()) -> bool:
    """Tell whether a folder has a file in it, names of `but` at its top aside."""
    return next(_files(folder, but), None) is not None


def dump(folder: Path, file: Path, but: tuple[str, ...] = ()) -> None:
    """Put a folder's files into a tar file, without the names of `but` at its top.

    Others may add files and take them away meanwhile: one that is gone is left out.
    """
    with tarfile.open(file, "w") as archive:
        for path in sorted(_files(folder, but)):
            try:
                archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
            except FileNotFoundError:
                continue


def load(file: Path, folder: Path) -> None:
    """Put the files of a tar file into a folder; raises BadInput for one that would leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise BadInput(f"cannot be unpacked: {error}.", file=file) from error


def _files(folder: Path, but: tuple[str, ...]) -> Iterator[Path]:
    """Yield files and links, at any depth."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.relative_to(folder).parts[0] not in but and (path.is_symlink() or path.is_file()):
            yield path
