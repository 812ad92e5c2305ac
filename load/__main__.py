"""Load a running predictor with Locust: `python -m load`, 30 users for a minute, or `--ramp` to its limit."""

import argparse
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from load.knee import read_history
from load.report import plot, words

STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
ADDRESS = f"http://127.0.0.1:{os.environ.get('PORT') or 9696}"


def main(arguments: list[str] | None = None) -> int:
    """Load, report and return the exit code: 0 done, 1 nothing was answered, 2 nobody is there."""
    given = _parser().parse_args(arguments)
    try:
        urlopen(f"{given.address}/health/ready", timeout=10).close()
    except (URLError, OSError) as error:
        print(f"load: {given.address} is not ready: {error}. Is `make serve` running?", file=sys.stderr)
        return 2
    folder = given.into / f"load-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    _locust(given, folder)
    seconds = read_history(folder / "load_stats_history.csv")
    if not seconds:
        print("load: nothing was answered.", file=sys.stderr)
        return 1
    plot(seconds, folder / "load.png")
    text = words(seconds, given.address, ramp=given.ramp)
    (folder / "load.md").write_text(text, encoding="utf-8")
    print(f"{text}\nIn {folder}: load.md, load.png, and Locust's own load.html")
    return 0


def _parser() -> argparse.ArgumentParser:
    home = Path(os.environ.get("GRADECAST_HOME") or "var")
    parser = argparse.ArgumentParser(prog="python -m load", description=__doc__)
    parser.add_argument("--address", default=ADDRESS, help="of the predictor (default: %(default)s)")
    parser.add_argument("--users", type=int, default=30, help="at once (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="of the load, or of a step of the ramp")
    parser.add_argument(
        "--ramp", action="store_true", help=f"to the limit: {', '.join(map(str, STEPS))} users"
    )
    parser.add_argument("--into", type=Path, default=home / "reports", help="folder of the report")
    return parser


def _locust(given: argparse.Namespace, folder: Path) -> None:
    """Run Locust; its exit code says that some requests failed, which the report tells better."""
    users = str(Path(__file__).with_name("users.py"))
    command = [sys.executable, "-m", "locust", "-f", users, "--headless", "--host", given.address]
    command += ["--csv", str(folder / "load"), "--csv-full-history", "--html", str(folder / "load.html")]
    command += ["--only-summary", "--loglevel", "WARNING"]
    environment = dict(os.environ)
    if given.ramp:
        steps = ",".join(map(str, STEPS))
        environment |= {"LOAD_STEPS": steps, "LOAD_STEP_SECONDS": str(min(given.seconds, 15))}
    else:
        command += ["--users", str(given.users), "--spawn-rate", str(given.users)]
        command += ["--run-time", f"{given.seconds}s"]
    with (folder / "locust.log").open("wb") as log:
        subprocess.run(command, env=environment, check=False, stdout=log, stderr=log)


if __name__ == "__main__":
    sys.exit(main())
