"""The folder in which the workers' counters meet, one file a process and kind.

A dead worker's counts are added to one file that no worker writes and its own files go: nothing
falls, nothing is left behind. The lock keeps whoever reads from seeing a count twice or not at all.
"""

import fcntl
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

# prometheus_client reads FOLDER when it is imported, and Gunicorn's settings, which set it, import this.
if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client knows the folder."""
DEAD = "0"
"""Stands for the process in the names of the files that hold the dead workers' counts."""


def empty_folder(folder: Path) -> None:
    """Make the folder anew; the master calls it before there are workers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def fold_dead(folder: Path, process: int) -> None:
    """Add a dead worker's counts to those of the dead, and remove its files."""
    with _locked(folder, fcntl.LOCK_EX):
        for file in folder.glob(f"*_{process}.db"):
            _add(file, file.with_name(f"{file.name.removesuffix(f'_{process}.db')}_{DEAD}.db"))
            file.unlink()


def read_folder(folder: Path) -> "Iterable[Metric]":
    """Return the counts of all workers, living and dead."""
    from prometheus_client.multiprocess import MultiProcessCollector

    merge: Any = MultiProcessCollector.merge
    with _locked(folder, fcntl.LOCK_SH):
        files = [str(file) for file in folder.glob("*.db") if file.stat().st_size]
        return list(merge(files))


def _add(source: Path, total: Path) -> None:
    """Add a file's values to another's, which is replaced in one step."""
    from prometheus_client import mmap_dict

    counts_in: Any = mmap_dict.MmapedDict
    values: dict[str, float] = defaultdict(float)
    for file in (total, source):
        if file.exists() and file.stat().st_size:
            for key, value, _, _ in counts_in.read_all_values_from_file(file):
                values[key] += value
    draft = total.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    counts = counts_in(str(draft))
    for key, value in values.items():
        counts.write_value(key, value, 0.0)
    counts.close()
    draft.replace(total)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, how)
        yield
