"""A small contract with dated records, its tables, and a slow and plain way to say what was known of each."""

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.contract.contract import Contract, parse_contract
from data.snapshots.snapshots import open_snapshots

YAML = """\
name: world
title: A contract with dated records
target: {column: grade, title: Grade, classes: {A: A, B: B, C: C}, at_risk: [C]}
dated:
  students: students
  key: [course, student]
  present: {from: came, until: left}
  earliest: -5
  checkpoints: [0, 10, 20]
  tables:
    students: {from: students}
    tasks: {from: tasks}
    work: {from: work, known: known, happened: done, join: {tasks: [course, task]}}
    due: {from: tasks, key: [course], known: due}
columns:
  who: {title: Student, role: id, kind: nominal}
  hours: {title: Hours, kind: number, min: 0}
  pieces: {title: Pieces, kind: integer, min: 0, taken: {stat: count, of: work}}
  points: {title: Points, kind: number, taken: {stat: sum, of: work.mark}}
  mean: {title: Mean, kind: number, nullable: true, taken: {stat: mean, of: work.mark}}
  least: {title: Least, kind: number, nullable: true, taken: {stat: min, of: work.mark}}
  most: {title: Most, kind: number, nullable: true, taken: {stat: max, of: work.mark}}
  last: {title: Last, kind: number, nullable: true, taken: {stat: last, of: work.mark}}
  late: {title: Late, kind: number, nullable: true, taken: {stat: share, of: work, where: done > due}}
  lateness: {title: Days late, kind: number, nullable: true, taken: {stat: mean, of: work.done, less: due}}
  weighed: {title: Weighed, kind: number, nullable: true, taken: {stat: mean, of: work.mark, weight: task}}
  idle: {title: Idle, kind: integer, nullable: true, taken: {stat: days_since, of: work}}
  trend: {title: Trend, kind: number, nullable: true, taken: {stat: trend, of: work.mark}}
  essays: {title: E, kind: integer, taken: {stat: count, of: work, where: type = 'essay' and due <= as_of}}
  so_far: {title: Due so far, kind: integer, min: 0, taken: {stat: count, of: due}}
  open: {title: Open, kind: integer, taken: {formula: so_far - essays}}
  share: {title: Share, kind: number, nullable: true, taken: {formula: open / so_far}}
"""
DATES = YAML.replace("present:", "start: began\n  present:")
Tables = dict[str, pd.DataFrame]


def world(text: str = YAML, **changed: str) -> Contract:
    """Return the contract, with pieces of its YAML replaced."""
    for was, then in changed.items():
        text = text.replace(was, then)
    return parse_contract(text, Contract, file="world.yaml")


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """Return the rows of a frame, their cells by name."""
    return list(frame.itertuples())


def some_tables() -> Tables:
    """Return tables of two courses: three students, one of whom comes late and one leaves."""
    return {
        "students": pd.DataFrame(
            {
                "course": ["x", "x", "y"],
                "student": [1, 2, 1],
                "came": [0, 5, 0],
                "left": [None, None, 15],
                "hours": [2.5, 4, 1],
                "grade": ["A", "B", "C"],
            }
        ).astype({"left": "Int64"}),
        "tasks": pd.DataFrame(
            {
                "course": ["x", "x", "y"],
                "task": [1, 2, 1],
                "due": [4, 12, 7],
                "type": ["essay", "test", "essay"],
            }
        ),
        "work": pd.DataFrame(
            {
                "course": ["x", "x", "x", "y"],
                "student": [1, 1, 2, 1],
                "task": [1, 2, 1, 1],
                "done": [3, 13, 6, 0],
                "known": [5, 13, 8, 0],
                "mark": [60.5, 80, None, 40],
            }
        ),
    }


def as_dates(tables: Tables, starts: Sequence[date]) -> Tables:
    """Return the same tables with dates: a start for each course, in the order of their names."""
    start = dict(zip(sorted(set(tables["students"]["course"])), starts, strict=False))

    def dated(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        cells = {
            name: [
                None if pd.isna(day) else (start[course] + timedelta(int(day))).isoformat()
                for course, day in zip(frame["course"], frame[name], strict=True)
            ]
            for name in columns
        }
        return pd.concat([frame.drop(columns=list(cells)), pd.DataFrame(cells, index=frame.index)], axis=1)

    students = dated(tables["students"], ["came", "left"])
    began = [start[course].isoformat() for course in students["course"]]
    return {
        "students": students.assign(began=began),
        "tasks": dated(tables["tasks"], ["due"]),
        "work": dated(tables["work"], ["done", "known"]),
    }


def written(tables: Mapping[str, pd.DataFrame], folder: Path) -> str:
    """Write tables as CSVs into a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return str(folder)


def snapshots(uri: str, contract: Contract, **options: Any) -> pd.DataFrame:
    """Return the snapshots of tables as one frame."""
    with open_snapshots(uri, contract, **options) as found:
        return pd.concat(found.read(), ignore_index=True)


def bad_records(uri: str, contract: Contract) -> list[tuple[Any, ...]]:
    """Return what was set aside: table, row, column, value, reason."""
    with open_snapshots(uri, contract) as found:
        assert found.set_aside is not None
        counted = sum(sum(reasons.values()) for reasons in found.set_aside.counts().values())
        assert counted == len(found.set_aside.faults)
        return list(found.set_aside.faults.fillna("").itertuples(index=False, name=None))


def known_of(tables: Tables, course: str, student: object, day: int) -> dict[str, float]:
    """Say, with loops and without SQL, what is known of a student by the end of a day."""
    due_of = {(t.course, t.task): (t.due, t.type) for t in rows_of(tables["tasks"])}
    rows = [
        (r.known, r.done, r.mark, r.task, *due_of.get((r.course, r.task), (math.nan, "")))
        for r in rows_of(tables["work"])
        if (r.course, r.student) == (course, student) and r.known <= day
    ]
    marks = [(known, mark) for known, _, mark, *_ in rows if not pd.isna(mark)]
    weights = [(mark, task) for _, _, mark, task, *_ in rows if not pd.isna(mark)]
    delays = [done - due for _, done, _, _, due, _ in rows if not pd.isna(due)]
    values = [mark for _, mark in marks]
    nothing = math.nan
    return {
        "pieces": len(rows),
        "points": sum(values),
        "mean": sum(values) / len(values) if values else nothing,
        "least": min(values, default=nothing),
        "most": max(values, default=nothing),
        "last": max(marks)[1] if marks else nothing,
        "late": sum(delay > 0 for delay in delays) / len(rows) if rows else nothing,
        "lateness": sum(delays) / len(delays) if delays else nothing,
        "weighed": sum(m * t for m, t in weights) / sum(t for _, t in weights) if weights else nothing,
        "idle": day - max(known for known, *_ in rows) if rows else nothing,
        "trend": _slope(marks),
        "essays": sum(kind == "essay" and due <= day for *_, due, kind in rows),
        "so_far": sum(t.course == course and t.due <= day for t in rows_of(tables["tasks"])),
    }


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of least squares, about the means."""
    days, values = np.array(points, dtype=float).reshape(-1, 2).T
    spread = ((days - days.mean()) ** 2).sum() if len(days) else 0.0
    return float(((days - days.mean()) * (values - values.mean())).sum() / spread) if spread else math.nan


def all_known(tables: Tables, days: Sequence[int] = (0, 10, 20)) -> pd.DataFrame:
    """Say it of each student and day on which the student is there."""
    found = []
    for s in rows_of(tables["students"]):
        for day in days:
            if s.came <= day and (pd.isna(s.left) or s.left > day):
                known = known_of(tables, s.course, s.student, day)
                open_ = known["so_far"] - known["essays"]
                share = open_ / known["so_far"] if known["so_far"] else math.nan
                who = f"{s.course}/{s.student}"
                found.append({"who": who, "as_of": day, **known, "open": open_, "share": share})
    return pd.DataFrame(found).sort_values(["who", "as_of"], ignore_index=True)
