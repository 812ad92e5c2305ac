"""A large CSV through POST /predict/batch beside a bare script that reads, predicts and writes it.

Run `python -m bench.batch`, or with `--quick` for a tenth of the rows. Time is from the first byte sent
to the last one on disk, with validation, log, drainer and metrics on.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from shutil import copyfileobj

from bench.load import free_port, process_tree
from bench.servers import predictor, register_model, running
from data.cohorts.grades import generate
from data.log.spool import backlog

ROWS, QUICK_ROWS = 1_000_000, 100_000
TIMES, MEGABYTES = 3.0, 400.0
SETTLE_SECONDS = 0.5


def main() -> None:
    """Measure and say whether what is wanted is met."""
    parser = argparse.ArgumentParser("python -m bench.batch", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, once")
    rows, rounds = (QUICK_ROWS, 1) if parser.parse_args().quick else (ROWS, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = register_model(folder)
        source = folder / "students.csv"
        generate(rows, seed=3).to_csv(source, index=False)
        port = free_port()
        command, own = predictor(folder, bundle, port)
        with running(command, port, "/health/ready", own) as server:
            pairs = [_pair(bundle, folder, source, port) for _ in range(rounds)]
            peak = max(map(_peak_megabytes, process_tree(server.pid)))
    bare, ours = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
    times = statistics.median(ours / bare for bare, ours in pairs)
    print(
        f"\n{rows:,} rows, medians of {rounds}: bare script {bare:.1f} s, the predictor {ours:.1f} s, ",
        end="",
    )
    print(f"{times:.2f} times (wanted {TIMES:g} {_met(times <= TIMES)})")
    print(
        f"largest process {peak:.0f} MB resident at its peak (wanted {MEGABYTES:g} {_met(peak <= MEGABYTES)})"
    )


def _pair(bundle: Path, folder: Path, source: Path, port: int) -> tuple[float, float]:
    """Return the seconds of the bare script and of ours, when the drainer has nothing left to do before."""
    while backlog(folder).files:
        time.sleep(SETTLE_SECONDS)
    return _bare(bundle, source), _ours(port, source)


def _bare(bundle: Path, source: Path) -> float:
    begun = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "bench.bare_batch",
        str(bundle),
        str(source),
        str(source.with_suffix(".bare")),
    ]
    subprocess.run(command, check=True)
    return time.perf_counter() - begun


def _ours(port: int, source: Path) -> float:
    """Send the file and write the answer down; raises where a row was not answered."""
    begun = time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as connection, source.open("rb") as file:
        length = str(source.stat().st_size)
        connection.request(
            "POST", "/predict/batch", file, {"Content-Type": "text/csv", "Content-Length": length}
        )
        answer = connection.getresponse()
        with source.with_suffix(".ours").open("wb") as target:
            copyfileobj(answer, target)
    if answer.status != 200 or answer.headers["X-Error-Count"] != "0":
        raise RuntimeError(
            f"status {answer.status}, {answer.headers['X-Error-Count']} rows were not answered"
        )
    return time.perf_counter() - begun


def _peak_megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
