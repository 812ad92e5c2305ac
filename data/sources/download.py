"""Download the original A–F data set by its published name, and keep it only if its bytes are right."""

import hashlib
import io
import os
import sys
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from data.durable import write_whole
from data.errors import BadInput

NAME = "rabieelkharoua/students-performance-dataset"
URL = f"https://www.kaggle.com/api/v1/datasets/download/{NAME}"
SHA256 = "211b5cc8fb656bcaf96f6badefd2bd0f2700f8c329f7666a8c93cacd68ce8ce9"
TIMEOUT = 60  # seconds
BROKEN = (OSError, HTTPException, zipfile.BadZipFile, zlib.error, RuntimeError)
"""What an address that does not answer, stops halfway or sends something else ends in."""
REMEDY = "Check the connection, or download it in a browser and give its path: make pipeline DATA=…"


def download(target: Path, url: str = URL, sha256: str = SHA256) -> Path:
    """Download an archive and write the file in it that has the expected SHA-256.

    Returns the target at once if it is there already. Raises BadInput, and writes nothing, when the
    address does not answer or none of its files is the published one.
    """
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == sha256:
        return target
    try:
        with urlopen(url, timeout=TIMEOUT) as answer, zipfile.ZipFile(io.BytesIO(answer.read())) as archive:
            files = [archive.read(name) for name in archive.namelist()]
    except BROKEN as error:
        if isinstance(error, HTTPError):  # which is the open answer as well
            error.close()
        raise BadInput(f"{url} gave no archive: {error}.", remedy=REMEDY) from error
    for content in files:
        if hashlib.sha256(content).hexdigest() == sha256:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content)
            return target
    raise BadInput(f"{url}: no file has the SHA-256 {sha256}; nothing was kept.", remedy=REMEDY)


def main() -> int:
    """Download into the state folder and say what to do with it."""
    target = Path(os.environ.get("GRADECAST_HOME", "var")) / "data" / "grade_class.csv"
    try:
        print(f"{download(target)} is the published file. Now: make pipeline DATA={target}")
    except BadInput as error:
        print(f"Bad input: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
