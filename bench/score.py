"""Batch scoring beside a bare pyarrow script that reads, predicts and writes the same file.

Run `python -m bench.score`, or with `--quick` for a tenth of the rows, once; `--rows` for more of them.
Whole commands are timed, from the start of Python to its end, in turn, while a Prefect server runs as
`make up` has it. Ours checks every cell, adds six columns more, keeps each part so that a killed run goes
on, and with the log on writes every answer into a new SQLite database: rows and indexes of 600 bytes each,
which alone takes longer than the script. What is wanted is therefore asked of it without the log, and its
times with the log are told. Linux only, for it reads /proc.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from bench.memory import Run, measured
from bench.servers import register_model
from bench.students import write_students
from flows.runtime.server import prefect_server

ROWS, QUICK_ROWS, ROUNDS = 1_000_000, 100_000, 5
TIMES = 2.0
KINDS = (".csv", ".parquet")
NAMES = ("bare script", "no log", "with log")


def main() -> None:
    """Measure both kinds of file and say whether what is wanted is met."""
    parser = argparse.ArgumentParser("python -m bench.score", description=str(__doc__).split(".")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, once")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    rows, rounds = (QUICK_ROWS, 1) if asked.quick else (asked.rows, asked.rounds)
    with tempfile.TemporaryDirectory() as name, prefect_server(Path(name)):
        folder = Path(name)
        bundle = register_model(folder)
        print(f"\n{rows:,} rows, whole commands, medians of {rounds}")
        for kind in KINDS:
            source = write_students(folder / f"students{kind}", rows, seed=3)
            report(kind, rows, [each_in_turn(bundle, source, folder) for _ in range(rounds)])


def each_in_turn(bundle: Path, source: Path, home: Path) -> dict[str, Run]:
    """Score a file by the bare script, by ours without and with its log."""
    log = home / "log.db"
    for path in home.glob(f"{log.name}*"):
        path.unlink()
    out = str(source.with_name(f"out{source.suffix}"))
    bare = [sys.executable, "-m", "bench.bare_batch", str(bundle), str(source), out]
    ours = [sys.executable, "-m", "flows.score", "--data", str(source), "--out", out]
    own = {"GRADECAST_HOME": str(home), "GRADECAST_LOG_URL": f"sqlite:///{log}"}
    runs = (measured(bare), measured([*ours, "--no-log"], own), measured(ours, own))
    return dict(zip(NAMES, runs, strict=True))


def report(kind: str, rows: int, rounds: list[dict[str, Run]]) -> None:
    """Print what each took, and its ratio to the bare script in the same round."""
    print(f"{kind} in and out {'seconds':>15} {'rows/s':>10} {'times bare':>11} {'memory':>10}")
    for name in NAMES:
        seconds = statistics.median(one[name].seconds for one in rounds)
        times = statistics.median(one[name].seconds / one[NAMES[0]].seconds for one in rounds)
        memory = max(one[name].memory for one in rounds) / 2**20
        wanted = f"wanted {TIMES:g} {'met' if times <= TIMES else 'MISSED'}" if name == NAMES[1] else ""
        print(f"  {name:24} {seconds:7.1f} {rows / seconds:10.0f} {times:11.2f} {memory:6.0f} MiB  {wanted}")


if __name__ == "__main__":
    main()
