"""Who guessed a key wrongly, and which sessions were ended: small facts that the workers of a home share.

Both are kept in a file each, under a lock, for as long as they matter. A look that finds the file as old as
that costs one system call, so a request whose key is right pays next to nothing.
"""

import fcntl
import json
import time
from pathlib import Path

MOST = 10_000  # names; of more, those that were heard of longest ago are forgotten


class Remembered:
    """Names, each with the moments at which something happened to it, forgotten after some seconds."""

    def __init__(self, file: Path, seconds: float) -> None:
        self._file, self._seconds = file, seconds

    def add(self, name: str) -> None:
        """Note that something happened now; raises OSError where it cannot be kept."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self.all()
            known[name] = [*known.pop(name, []), time.time()]
            draft = self._file.with_suffix(".draft")
            draft.write_text(json.dumps(dict(list(known.items())[-MOST:])), encoding="utf-8")
            draft.replace(self._file)

    def all(self) -> dict[str, list[float]]:
        """Return what has not been forgotten yet; the last to be added comes last."""
        now = time.time()
        since = now - self._seconds
        try:
            if self._file.stat().st_mtime < since:
                return {}
            kept = json.loads(self._file.read_bytes())
        except (OSError, ValueError):  # none yet, or not whole after a loss of power
            return {}
        # What lies ahead was noted before the clock was put back.
        recent = {name: [at for at in moments if since < at <= now] for name, moments in kept.items()}
        return {name: moments for name, moments in recent.items() if moments}
