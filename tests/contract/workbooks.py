"""Workbooks as a spreadsheet saves them: written by hand, so that a test says what is in them."""

import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Cell = Any
"""A text, a number, True or False, a date, None; ("=", formula, value); ("%", share)."""
Sheets = Mapping[str, Sequence[Sequence[Cell]]]
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="10"/>'
    "</cellXfs></styleSheet>"
)


def write_xlsx(path: Path, sheets: Sheets) -> Path:
    """Write an .xlsx with these sheets."""
    names = list(sheets)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{TYPES}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r" '
        f'Type="{RELS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELS}"><sheets>'
        + "".join(
            f'<sheet name={quoteattr(name)} sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(names, 1)
        )
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        + "".join(
            f'<Relationship Id="r{n}" Type="{RELS}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in range(1, len(names) + 1)
        )
        + f'<Relationship Id="s" Type="{RELS}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": STYLES,
    }
    for number, rows in enumerate(sheets.values(), 1):
        parts[f"xl/worksheets/sheet{number}.xml"] = _sheet(rows)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return path


def _sheet(rows: Sequence[Sequence[Cell]]) -> str:
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(_xlsx_cell(cell, f"{_letters(n)}{number}") for n, cell in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    return f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def _xlsx_cell(cell: Cell, place: str) -> str:
    at = f'<c r="{place}"'
    if cell is None or cell == "":
        return ""
    if isinstance(cell, tuple) and cell[0] == "%":
        return f'{at} s="2"><v>{cell[1]!r}</v></c>'
    if isinstance(cell, tuple):
        return f"{at}><f>{escape(cell[1])}</f><v>{cell[2]!r}</v></c>"
    if isinstance(cell, bool):
        return f'{at} t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, int | float):
        return f"{at}><v>{cell!r}</v></c>"
    if isinstance(cell, date):
        return f'{at} s="1"><v>{(cell - date(1899, 12, 30)).days}</v></c>'
    return f'{at} t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'


def _letters(place: int) -> str:
    return (_letters(place // 26 - 1) if place >= 26 else "") + chr(65 + place % 26)


OFFICE = "urn:oasis:names:tc:opendocument:xmlns"


def write_ods(path: Path, sheets: Sheets) -> Path:
    """Write an .ods with these sheets."""
    tables = "".join(
        f"<table:table table:name={quoteattr(name)}>"
        + "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
        + "</table:table>"
        for name, rows in sheets.items()
    )
    content = (
        f'<office:document-content xmlns:office="{OFFICE}:office:1.0" xmlns:table="{OFFICE}:table:1.0" '
        f'xmlns:text="{OFFICE}:text:1.0" office:version="1.3"><office:body><office:spreadsheet>{tables}'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        f'<manifest:manifest xmlns:manifest="{OFFICE}:manifest:1.0"><manifest:file-entry '
        f'manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>'
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("content.xml", f'<?xml version="1.0" encoding="UTF-8"?>{content}')
        archive.writestr("META-INF/manifest.xml", f'<?xml version="1.0" encoding="UTF-8"?>{manifest}')
    return path


def _ods_cell(cell: Cell) -> str:
    if cell is None or cell == "":
        return "<table:table-cell/>"
    kind, value = "float", cell
    if isinstance(cell, tuple):
        kind, value = ("percentage", cell[1]) if cell[0] == "%" else ("float", cell[2])
    elif isinstance(cell, bool):
        said = str(cell).lower()
        return f'<table:table-cell office:value-type="boolean" office:boolean-value="{said}"/>'
    elif isinstance(cell, date):
        return f'<table:table-cell office:value-type="date" office:date-value="{cell.isoformat()}"/>'
    elif isinstance(cell, str):
        text = f"<text:p>{escape(cell)}</text:p>"
        return f'<table:table-cell office:value-type="string">{text}</table:table-cell>'
    return f'<table:table-cell office:value-type="{kind}" office:value="{value!r}"/>'
