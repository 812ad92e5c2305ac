"""Try a bundle on its own examples in a process of its own: one that crashes takes nobody along.

`python -m serving.sync.smoke_test FOLDER` exits 0 when the bundle answers as it did when it was registered.
"""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from data.bundle.bundle import Bundle
from data.bundle.manifest import BundleError
from serving.processes import command

ROOT = Path(__file__).parents[2]
TIME_LIMIT = 60  # seconds, of the clock and of computing
MEMORY_LIMIT = 4 * 2**30  # bytes of address space, of which a bundle of ours takes less than a third


def smoke_test(folder: Path) -> None:
    """Let a bundle answer its examples in a process of its own; raises BundleError if it does not."""
    command_line = command("serving.sync.smoke_test", str(folder.absolute()))
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command_line, cwd=ROOT, env=one_thread, capture_output=True, timeout=TIME_LIMIT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"it did not answer its examples within {TIME_LIMIT} s") from error
    if done.returncode < 0:
        raise BundleError(f"trying it crashed the process ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BundleError(said[-1] if said else f"trying it ended with exit code {done.returncode}")


def main() -> int:
    """Try the bundle of the folder that is named; exit 0 when it can be used, 1 when not."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, TIME_LIMIT)
    _limit(resource.RLIMIT_AS, MEMORY_LIMIT)
    try:
        Bundle.load(sys.argv[1]).check()
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _limit(what: int, most: int) -> None:
    """Limit this process, as far as it is not limited more already, or the system cannot."""
    _, hard = resource.getrlimit(what)
    if hard == resource.RLIM_INFINITY or hard > most:
        try:
            resource.setrlimit(what, (most, hard))
        except (OSError, ValueError):  # macOS has no limit of address space
            print(f"limit {what} cannot be set", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
