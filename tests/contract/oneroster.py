"""A generated school year as a OneRoster 1.2 bulk export, with its attendance beside it."""

import io
import zipfile
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from data.cohorts.school_year import YEAR, tables
from tests.contract.dated_world import rows_of

CHANGED = "2024-01-02T03:04:05.000Z"


def export(folder: Path, rows: int = 240, seed: int = 5) -> Path:
    """Write school.zip and attendance.csv into a folder; return the ZIP's path."""
    folder.mkdir(parents=True, exist_ok=True)
    made = _files(rows, seed)
    made.pop("attendance").to_csv(folder / "attendance.csv", index=False)
    with zipfile.ZipFile(folder / "school.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("manifest.csv", "propertyName,value\nmanifest.version,1.0\noneroster.version,1.2\n")
        for name, frame in made.items():
            text = io.StringIO()
            frame.to_csv(text, index=False)
            packed.writestr(f"export/{name}.csv", text.getvalue())
    return folder / "school.zip"


def _files(rows: int, seed: int) -> dict[str, pd.DataFrame]:
    year = {
        name: table.rename(columns={"student_no": "student"}) for name, table in tables(rows, seed).items()
    }
    students = year["students"].assign(room=lambda s: s["course"] + "-" + s["school_year"].astype(str))
    began = {str(y): date(y, 8, 26) for y in sorted(students["school_year"].astype(int).unique())}
    start = dict(zip(students["student"], students["school_year"].astype(str).map(began), strict=True))
    return {
        **_people(students),
        **_rooms(students, began, year["tasks"]),
        "enrollments": _enrollments(students, start),
        "results": _results(students, year, start),
        "attendance": _attendance(year["attendance"], start),
    }


def _records(ids: pd.Series, **columns: object) -> pd.DataFrame:
    """Return a file of OneRoster: every record has an id, a status and when it was changed."""
    first = {"sourcedId": ids.to_numpy(), "status": "active", "dateLastModified": CHANGED}
    return pd.DataFrame({**first, **columns})


def _day(start: date, day: int) -> str:
    return (start + timedelta(int(day))).isoformat()


def _people(students: pd.DataFrame) -> dict[str, pd.DataFrame]:
    who = students["student"]
    names = {"enabledUser": "true", "username": who.to_numpy(), "givenName": "Ann", "familyName": "O'Neil"}
    sex = students["gender"].to_numpy()
    return {
        "users": _records(who, **names, grades="09"),
        "demographics": _records(who, birthDate="2008-01-01", sex=sex),
    }


def _rooms(students: pd.DataFrame, began: dict[str, date], tasks: pd.DataFrame) -> dict[str, pd.DataFrame]:
    years = pd.Series(sorted(began))
    ends = [(began[y] + timedelta(YEAR)).isoformat() for y in years]
    starts = [began[y].isoformat() for y in years]
    sessions = _records("term-" + years, title="Year", type="term", startDate=starts, endDate=ends)
    rooms = students.drop_duplicates("room")
    terms = ("term-" + rooms["school_year"].astype(str)).to_numpy()
    classes = _records(rooms["room"], title=rooms["course"].to_numpy(), classType="scheduled")
    items = [
        _items(r.room, began[str(r.school_year)], tasks[tasks["course"] == r.course]) for r in rows_of(rooms)
    ]
    return {
        "academicSessions": sessions.assign(schoolYear=years.to_numpy()),
        "courses": _records(rooms["course"].drop_duplicates(), title="A course"),
        "classes": classes.assign(courseSourcedId=rooms["course"].to_numpy(), termSourcedIds=terms),
        "categories": _records(pd.Series(["work", "final"]), title=["Work", "Final"]),
        "lineItems": pd.concat(items, ignore_index=True),
    }


def _items(room: str, start: date, tasks: pd.DataFrame) -> pd.DataFrame:
    days = [*tasks["due"].astype(int), YEAR]
    names = pd.Series([f"{room}/{task}" for task in [*tasks["task"], "final"]])
    due = [(start + timedelta(day)).isoformat() for day in days]
    category = ["work"] * len(tasks) + ["final"]
    return _records(names, title="Piece", dueDate=due, classSourcedId=room, categorySourcedId=category)


def _enrollments(students: pd.DataFrame, start: dict[str, date]) -> pd.DataFrame:
    who = students["student"]
    left = ["" if pd.isna(s.left) else _day(start[s.student], s.left) for s in rows_of(students)]
    came = [_day(start[s.student], s.enrolled) for s in rows_of(students)]
    room = students["room"].to_numpy()
    found = _records("e-" + who, classSourcedId=room, userSourcedId=who.to_numpy(), role="student")
    return found.assign(beginDate=came, endDate=left)


def _results(students: pd.DataFrame, year: dict[str, pd.DataFrame], start: dict[str, date]) -> pd.DataFrame:
    room = dict(zip(students["student"], students["room"], strict=True))
    due = dict(zip(year["tasks"]["task"], year["tasks"]["due"], strict=True))
    cells = [
        (f"{room[w.student]}/{w.task}", w.student, 10.0 * w.mark, int(w.handed_in), w.handed_in > due[w.task])
        for w in rows_of(year["work"])
    ]
    cells += [
        (f"{room[s.student]}/final", s.student, 0.0 if pd.isna(s.final_score) else s.final_score, YEAR, False)
        for s in rows_of(students)
    ]
    frame = pd.DataFrame(cells, columns=["item", "student", "score", "day", "late"])
    dates = [_day(start[r.student], r.day) for r in rows_of(frame)]
    ids = pd.Series([f"r{n}" for n in range(len(frame))])
    found = _records(ids, lineItemSourcedId=frame["item"], studentSourcedId=frame["student"])
    late = frame["late"].map({True: "true", False: "false"})
    return found.assign(
        scoreStatus="fully graded", score=frame["score"], scoreDate=dates, late=late, missing="false"
    )


def _attendance(weeks: pd.DataFrame, start: dict[str, date]) -> pd.DataFrame:
    cells = [
        (week.student, (start[week.student] + timedelta(int(week.week_from) + day)).isoformat(), "absent")
        for week in rows_of(weeks)
        for day in range(int(week.days))
    ]
    return pd.DataFrame(cells, columns=["userSourcedId", "date", "status"])
