"""Programs of Debian's packages that a test needs, unpacked beside this clone and not installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "debian"


def program(package: str, name: str) -> str:
    """Return the path of a program, fetched if need be; skip the test where it cannot be had."""
    installed = shutil.which(name)
    if installed:
        return installed
    unpacked = CACHE / package
    if not unpacked.exists():
        _fetch(package, unpacked)
    return str(unpacked / "usr" / "bin" / name)


def _fetch(package: str, place: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        pytest.skip(f"{package} is not installed, and there is no apt-get to fetch it with")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as draft:
        fetched = subprocess.run(
            ["apt-get", "download", package], cwd=draft, capture_output=True, text=True, check=False
        )
        if fetched.returncode:
            pytest.skip(f"{package} is not installed, and cannot be fetched: {fetched.stderr.strip()}")
        (archive,) = Path(draft).glob("*.deb")
        subprocess.run(["dpkg", "-x", archive, Path(draft) / "root"], check=True)
        (Path(draft) / "root").rename(place)
