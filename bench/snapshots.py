"""Snapshots of dated records against SQL by hand: `python -m bench.snapshots [--quick] [--rows N]`.

Students with 100 dated rows each in Parquet files (their writing does not count), eight checkpoints; a count,
a sum, a mean and a last value of what was known on each. By hand they are one statement for DuckDB with the
same memory and threads, over columns that are numbers already; nothing is looked at for faults. Both run in
processes of their own, turn about, so that both meet the same machine. Linux only: memory is read in /proc.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bench.memory import measured

SIZES, QUICK = (100_000, 1_000_000, 10_000_000), (100_000, 1_000_000)
OF_A_STUDENT, SEED, ROUNDS, THREADS = 100, 5, 3, 2
DAYS = (0, 30, 60, 90, 120, 150, 180, 210)
MOST_BYTES, MOST_RATIO = 4 * 2**30, 1.5
CONTRACT = f"""\
name: dated_rows
title: Dated rows
target: {{column: grade, title: Grade, classes: {{A: A, B: B}}, at_risk: [B]}}
dated:
  students: students
  key: [student]
  checkpoints: {list(DAYS)}
  tables:
    students: {{from: students.parquet}}
    marks: {{from: marks.parquet, known: day}}
columns:
  student: {{title: Student, role: id, kind: integer}}
  marks: {{title: Marks, kind: integer, taken: {{stat: count, of: marks}}}}
  total: {{title: Total, kind: number, taken: {{stat: sum, of: marks.mark}}}}
  mean: {{title: Mean, kind: number, nullable: true, taken: {{stat: mean, of: marks.mark}}}}
  last: {{title: Last, kind: number, nullable: true, taken: {{stat: last, of: marks.mark}}}}
"""
BY_HAND = """\
copy (
    select s.student, d.as_of, s.grade, coalesce(m.marks, 0) as marks, coalesce(m.total, 0) as total,
        m.mean, m.last
    from '{folder}/students.parquet' s
    cross join (select unnest({days}) as as_of) d
    left join (
        select r.student, k.as_of, count(*) as marks, sum(cast(r.mark as decimal(28, 9))) as total,
            avg(r.mark) as mean, arg_max(r.mark, (r.day, r.mark)) as last
        from '{folder}/marks.parquet' r join (select unnest({days}) as as_of) k on r.day <= k.as_of
        group by all
    ) m on m.student = s.student and m.as_of = d.as_of
    order by s.student, d.as_of
) to '{folder}/by-hand.parquet' (format parquet)
"""


class Measured(NamedTuple):
    """What one size took: median seconds of ours and by hand, our bytes at the highest."""

    rows: int
    ours: float
    by_hand: float
    memory: int

    @property
    def ratio(self) -> float:
        """Return how many times as long ours takes."""
        return self.ours / self.by_hand


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser("python -m bench.snapshots", description=str(__doc__).split(":")[0])
    parser.add_argument("--quick", action="store_true", help="up to a million rows")
    parser.add_argument("--rows", type=int, nargs="+", help="these sizes instead")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        way, folder = asked.one
        print(json.dumps(seconds_of(way, Path(folder))))
        return
    with tempfile.TemporaryDirectory() as place:
        report([measure(rows, Path(place)) for rows in asked.rows or (QUICK if asked.quick else SIZES)])


def write_tables(folder: Path, rows: int) -> None:
    """Write students and so many marks of theirs, in no order."""
    import duckdb

    students = rows // OF_A_STUDENT
    folder.mkdir()
    with duckdb.connect() as connection:
        connection.execute(f"select setseed(0.{SEED})")
        for name, query in {
            "students": "select range as student, if(range % 3 = 0, 'A', 'B') as grade "
            f"from range({students})",
            "marks": f"select cast(random() * {students - 1} as integer) as student, cast(random() * 240 as "
            f"integer) as day, round(random() * 100, 1) as mark from range({rows})",
        }.items():
            connection.execute(f"copy ({query}) to '{folder}/{name}.parquet' (format parquet)")


def seconds_of(way: str, folder: Path) -> float:
    """Make the snapshots in one way; return the seconds without imports."""
    from data.contract.contract import Contract, parse_contract
    from data.snapshots.relations import engine
    from data.snapshots.snapshots import open_snapshots

    contract = parse_contract(CONTRACT, Contract, file="bench")
    started = time.perf_counter()
    if way == "ours":
        with open_snapshots(str(folder), contract, threads=THREADS):
            return time.perf_counter() - started
    with tempfile.TemporaryDirectory() as scratch, engine(Path(scratch), THREADS) as connection:
        connection.execute(BY_HAND.format(folder=folder, days=list(DAYS)))
        return time.perf_counter() - started


def measure(rows: int, place: Path) -> Measured:
    """Run one size both ways, turn about; the median of each."""
    folder = place / str(rows)
    write_tables(folder, rows)
    found: dict[str, list[float]] = {"ours": [], "by hand": []}
    memory = 0
    for _ in range(ROUNDS):
        for way, seconds in found.items():
            run = measured([sys.executable, "-m", "bench.snapshots", "--one", way, str(folder)])
            seconds.append(json.loads(run.said))
            memory = max(memory, run.memory) if way == "ours" else memory
    ours, by_hand = map(statistics.median, found.values())
    return Measured(rows, ours, by_hand, memory)


def report(found: list[Measured]) -> None:
    """Print the table, and what is wanted."""
    print(f"{'rows':>12} {'seconds':>10} {'by hand':>10} {'ratio':>7} {'memory':>10}")
    for one in found:
        memory = f"{one.memory / 2**20:6.0f} MiB"
        print(f"{one.rows:12,} {one.ours:10.1f} {one.by_hand:10.1f} {one.ratio:7.2f} {memory:>10}")
    largest = found[-1]
    met = {True: "met", False: "MISSED"}
    print(f"at most {MOST_RATIO:g} times the SQL by hand: {met[largest.ratio <= MOST_RATIO]}")
    print(f"under {MOST_BYTES / 2**30:g} GiB: {met[max(one.memory for one in found) < MOST_BYTES]}")
    powers = [math.log(b.ours / a.ours) / math.log(b.rows / a.rows) for a, b in pairwise(found)]
    print(f"time grows no faster than the rows (power <= 1): {met[max(powers, default=0.0) <= 1]}")


if __name__ == "__main__":
    main()
