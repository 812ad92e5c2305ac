"""The data report needs nothing but itself, and says what was looked at."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from flows.processing.processed import by_reason, seeded_places
from flows.reports.data_report import write_sample_report


class Page(HTMLParser):
    """What a page asks a browser to fetch, and its styles; text within scripts is no tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.styles = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [
            value for name, value in attrs if name in {"src", "href", "srcset", "action"} and value
        ]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.styles += data


def report_of(raw: pd.DataFrame, contract: Contract, folder: Path, limit: int = 20_000) -> str:
    parsed = parse(raw, contract)
    _, faults = quarantine(parsed, contract)
    sample, bad = parsed.iloc[seeded_places(len(parsed), limit)], faults["row"].nunique()
    write_sample_report(sample, len(parsed), bad, by_reason(faults), contract, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def awkward(grade_class: Contract, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of records with everything that can be wrong in them."""
    raw = cohort.generate(120).astype({"Ethnicity": object, "Absences": float})
    raw.loc[:3, "Ethnicity"] = ["</script><script>alert(1)</script>", "9", None, "1"]
    raw.loc[:2, "Absences"] = [np.inf, 500, -1]
    raw = raw.assign(StudyTimeWeekly=np.nan, Tutoring=None, Age=17)
    raw.loc[0, "GradeClass"] = np.nan
    return report_of(raw, grade_class, tmp_path_factory.mktemp("report"))


def test_the_report_fetches_nothing(awkward: str) -> None:
    page = Page(awkward)
    assert page.fetched == []
    assert "font-face" in page.styles
    assert "http" not in page.styles


def test_the_report_tells_quarantine_by_reason_and_columns_by_title(awkward: str) -> None:
    for text in ("out of range", "unknown code", "not finite", "missing", "Parents' support", "Very high"):
        assert text in awkward


def test_the_report_tells_outliers_and_what_lies_outside_the_contract(awkward: str) -> None:
    assert "outliers, beyond 1.5 IQR" in awkward
    assert "outside the contract's range" in awkward


def test_text_from_the_records_cannot_end_the_script_it_is_in(awkward: str) -> None:
    assert "alert(1)" not in awkward


def test_a_sample_is_said_to_be_one(grade_class: Contract, tmp_path: Path) -> None:
    assert "A random sample of 50 of the 80 rows" in report_of(cohort.generate(80), grade_class, tmp_path, 50)


def test_a_derived_target_with_many_columns_is_reported_too(
    pass_fail: Contract, real_courses: Path, tmp_path: Path
) -> None:
    html = report_of(pd.read_csv(real_courses, sep=";"), pass_fail, tmp_path)
    assert "All 649 rows" in html
