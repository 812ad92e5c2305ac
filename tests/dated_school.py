"""A small school with dated tables, in days or in dates, and the contract that goes with it."""

from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from data.cohorts.school_year import tables
from data.contract.contract import Contract, load_contract

STARTS = {"arts": date(2025, 9, 1), "languages": date(2025, 9, 15), "sciences": date(2025, 9, 1)}
DAYS = (30, 90, 150, 210)
TEXT = """\
name: small_school
title: A small school
target: {{column: final_grade, title: Grade, classes: {{A: A, B: B, C: C, D: D, F: F}}, at_risk: [D, F]}}
dated:
  students: students
  key: [student_no]
  cohort: {{column: school_year}}
  present: {{from: enrolled, until: left}}
  checkpoints: [{days}]
  {start}
  tables:
    students: {{from: students}}
    attendance: {{from: attendance, known: known}}
    marks: {{from: marks, known: known}}
columns:
  student_no: {{title: Student, role: id, kind: nominal}}
  gender: {{title: Gender, role: audit, kind: nominal, codes: {{female: Female, male: Male}}}}
  prior_attainment: {{title: Prior attainment, kind: number, nullable: true}}
  absences: {{title: Absences so far, kind: integer, min: 0, unit: days, effect: lowers, actionable: true,
              taken: {{stat: sum, of: attendance.days}}}}
  mean_mark: {{title: Mean mark, kind: number, min: 0, max: 100, nullable: true, effect: raises,
               actionable: true, taken: {{stat: mean, of: marks.mark}}}}
"""


def small_school(folder: Path, *, dates: bool = False, name: str = "small_school") -> Contract:
    """Write the contract into a folder and load it: its days counted, or dated from a start each."""
    start = "start: began" if dates else ""
    text = TEXT.format(days=", ".join(map(str, DAYS)), start=start).replace("small_school", name, 1)
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return load_contract(path)


def write_school(
    folder: Path,
    rows: int = 300,
    seed: int = 1,
    *,
    dates: bool = False,
    years: tuple[int, ...] = (2024, 2025),
    scenario: str | None = None,
    strength: float | None = None,
) -> Path:
    """Write the tables of so many generated students into a folder; with dates, each course has its start."""
    folder.mkdir(parents=True, exist_ok=True)
    made = tables(rows, seed, scenario, strength, years=years)
    students = made["students"]
    began = students["course"].map(STARTS)
    if dates:
        students = students.assign(began=began)
        starts = dict(zip(students["student_no"], began, strict=True))
        for column in ("enrolled", "left"):
            students[column] = _dated(students[column], began)
        for name in ("attendance", "marks"):
            made[name] = made[name].assign(
                known=_dated(made[name]["known"], made[name]["student_no"].map(starts))
            )
    for name in ("attendance", "marks"):
        made[name].to_csv(folder / f"{name}.csv", index=False)
    students.to_csv(folder / "students.csv", index=False)
    return folder


def _dated(days: pd.Series, starts: pd.Series) -> list[str]:
    pairs = zip(days, starts, strict=True)
    return ["" if pd.isna(day) else str(start + timedelta(days=int(day))) for day, start in pairs]
