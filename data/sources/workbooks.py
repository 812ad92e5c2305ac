"""A sheet of a workbook (.xlsx, .ods) as a CSV, read by a process that may take so much and no more.

A workbook is a ZIP: a small one can hold a great deal, and a single cell in its last corner makes a table of
seventeen thousand million. So it is read where memory, time and what is written have limits, and where a
reader that gives up takes nothing else with it. This file is run by its path, and imports nothing of ours.
"""

import csv
import json
import re
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple
from xml.etree import ElementTree as ET

ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
MOST_PARTS = 5_000  # files in a workbook
MOST_SECONDS = 60
TOO_MUCH = "it takes more memory or time than a table needs."
SAID = 3  # the exit code of a process that says why


class WorkbookLimits(NamedTuple):
    """What a workbook may be and take, in bytes: unpacked, as the CSV that is made of it, and of memory."""

    unpacked: int = 2_000_000_000
    written: int = 2_000_000_000
    memory: int = 4 << 30


class WorkbookError(ValueError):
    """Why a workbook cannot be read, and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message, self.remedy = message, remedy


def is_workbook(start: bytes) -> bool:
    """Tell by its first bytes whether a file is one."""
    return start.startswith((ZIP, OLE))


def write_sheet(path: Path, out: Path, sheet: str = "", limits: WorkbookLimits | None = None) -> str:
    """Write a sheet, by its name or the only one with a table, as a CSV in UTF-8; return its name.

    Raises WorkbookError.
    """
    told = json.dumps([str(path), str(out), sheet, *(limits or WorkbookLimits())])
    command = [sys.executable, "-I", __file__]
    try:
        ran = subprocess.run(
            command, input=told, capture_output=True, text=True, check=False, timeout=2 * MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise WorkbookError(TOO_MUCH, SAVE_AS) from None
    if ran.returncode == SAID:
        raise WorkbookError(*json.loads(ran.stdout))
    if ran.returncode:
        raise WorkbookError(TOO_MUCH, SAVE_AS)
    return str(json.loads(ran.stdout))


SAVE_AS = "Save its sheet as CSV UTF-8, and give that."


def _main() -> int:
    path, out, sheet, unpacked, written, memory = json.loads(sys.stdin.read())
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _refuse_large(path, unpacked)
        print(json.dumps(_written(path, out, sheet)))
    except WorkbookError as error:
        print(json.dumps(error.args))
        return SAID
    return 0


def _refuse_large(path: str, unpacked: int) -> None:
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    size = sum(part.file_size for part in parts)
    if size > unpacked or len(parts) > MOST_PARTS:
        raise WorkbookError(f"unpacked it would be {size / 1e6:,.0f} MB.", SAVE_AS)


def _written(path: str, out: str, sheet: str) -> str:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        with CalamineWorkbook.from_path(path) as book:
            names = _visible(book)
            tables = {name: _rows(book, name) for name in ([sheet] if sheet in names else names)}
    except PasswordError:
        raise WorkbookError("it is protected by a password.", "Save it without one.") from None
    except CalamineError as error:
        raise WorkbookError(f"it cannot be read as a workbook: {error}.", SAVE_AS) from None
    if sheet and sheet not in names:
        raise WorkbookError(f"there is no sheet {sheet!r}.", f"There are: {', '.join(names)}.")
    found = [name for name in tables if sheet or _is_table(tables[name])]
    if not found:
        raise WorkbookError("no sheet of it has a table.", "Give one with a header and rows below it.")
    if len(found) > 1:
        remedy = f"Name one, FILE#SHEET in a command: {', '.join(found)}."
        raise WorkbookError(f"{len(found)} of its sheets have a table.", remedy)
    with Path(out).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(_shown(path, found[0], tables[found[0]]))
    return found[0]


def _visible(book: Any) -> list[str]:
    sheets = [sheet for sheet in book.sheets_metadata if str(sheet.typ).endswith("WorkSheet")]
    shown = [sheet.name for sheet in sheets if str(sheet.visible).endswith("Visible")]
    return shown or [sheet.name for sheet in sheets]


def _rows(book: Any, name: str) -> list[list[Any]]:
    return list(book.get_sheet_by_name(name).to_python(skip_empty_area=False))


def _is_table(rows: Sequence[Sequence[Any]]) -> bool:
    """Tell whether two rows have two cells each."""
    filled = (sum(cell != "" for cell in row) for row in rows)
    return sum(count >= 2 for count in filled) >= 2


def _shown(path: str, sheet: str, rows: Sequence[Sequence[Any]]) -> Iterator[list[str]]:
    """Yield the rows as they are shown; 0.85 in a cell of percents is 85 %."""
    percents = set(_percents(path, sheet))
    for number, row in enumerate(rows):
        yield [
            f"{100 * cell:.14g} %" if (number, n) in percents and isinstance(cell, float) else _text(cell)
            for n, cell in enumerate(row)
        ]


TABLE, OFFICE = (f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}" for name in ("table", "office"))
PLACE = re.compile(r"([A-Z]+)([0-9]+)")


def _percents(path: str, sheet: str) -> Iterator[tuple[int, int]]:
    """Yield the places of the cells that are shown as percents, which the reader does not tell."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if "content.xml" in archive.namelist():
            yield from _ods_percents(archive, sheet)
        elif styles := _percent_styles(archive):
            with archive.open(_part_of(archive, sheet)) as part:
                yield from _styled(part, styles)


def _styled(part: IO[bytes], styles: set[str]) -> Iterator[tuple[int, int]]:
    """Yield the places of an .xlsx's cells that have one of these styles."""
    for event, cell in _elements(part):
        if event == "end" and cell.tag.endswith("}c") and cell.get("s") in styles:
            if found := PLACE.fullmatch(cell.get("r", "")):
                yield int(found[2]) - 1, _column(found[1])
        elif event == "end" and cell.tag.endswith("}row"):
            cell.clear()


def _percent_styles(archive: zipfile.ZipFile) -> set[str]:
    """Return the numbers of the cell styles of an .xlsx that show percents."""
    try:
        root = _root(archive, "xl/styles.xml")
    except KeyError:
        return set()
    own = {"9", "10"}
    for one in root.iter():
        if "%" in re.sub('"[^"]*"', "", one.get("formatCode", "")):
            own.add(one.get("numFmtId", ""))
    formats = next((one for one in root if one.tag.endswith("}cellXfs")), ())
    return {str(n) for n, one in enumerate(formats) if one.get("numFmtId") in own}


def _elements(part: IO[bytes]) -> Iterator[tuple[str, ET.Element]]:
    yield from ET.iterparse(part, ["start", "end"])  # noqa: S314  in a process with limits


def _root(archive: zipfile.ZipFile, name: str) -> ET.Element:
    return ET.fromstring(archive.read(name))  # noqa: S314


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    """Return the name of the part of an .xlsx that holds a sheet."""
    book = _root(archive, "xl/workbook.xml")
    relations = _root(archive, "xl/_rels/workbook.xml.rels")
    targets = {one.get("Id"): one.get("Target", "") for one in relations}
    wanted = next(one for one in book.iter() if one.tag.endswith("}sheet") and one.get("name") == sheet)
    target = targets[next(value for key, value in wanted.items() if key.endswith("}id"))]
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _column(letters: str) -> int:
    place = 0
    for letter in letters:
        place = 26 * place + ord(letter) - 64
    return place - 1


def _ods_percents(archive: zipfile.ZipFile, sheet: str) -> Iterator[tuple[int, int]]:
    row, inside = 0, False
    with archive.open("content.xml") as part:
        for event, found in _elements(part):
            if event == "start" and found.tag == f"{TABLE}table":
                row, inside = 0, found.get(f"{TABLE}name") == sheet
            elif event == "end" and found.tag == f"{TABLE}table-row":
                if inside:
                    yield from ((row, place) for place in _percents_in(found))
                row += int(found.get(f"{TABLE}number-rows-repeated", "1"))
                found.clear()


def _percents_in(row: ET.Element) -> Iterator[int]:
    place = 0
    for cell in row:
        times = int(cell.get(f"{TABLE}number-columns-repeated", "1"))
        if cell.get(f"{OFFICE}value-type") == "percentage":
            yield from range(place, place + times)
        place += times


def _text(cell: Any) -> str:
    """Return a cell as it is shown: whole numbers without a point, fifteen digits, dates as ISO 8601."""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return f"{cell:.15g}"
    if isinstance(cell, datetime):
        midnight = cell.time() == time()
        return cell.date().isoformat() if midnight else cell.isoformat(" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return f"{cell.total_seconds() / 3600:.15g}"
    return str(cell)


if __name__ == "__main__":
    sys.exit(_main())
