"""The data report needs nothing but itself, and says what was looked at, column by column."""

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
from flows.reports.data_report import association, figure_by_class, views_of, write_sample_report
from tests.flows.reports.evidences import changed


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
    assert "outliers, beyond 1.5 IQR" in awkward
    assert "outside the contract's range" in awkward
    assert "alert(1)" not in awkward, "text from the records cannot end the script it is in"


def test_a_sample_is_said_to_be_one(grade_class: Contract, tmp_path: Path) -> None:
    assert "A random sample of 50 of the 80 rows" in report_of(cohort.generate(80), grade_class, tmp_path, 50)


def test_columns_have_titles_units_and_labels_and_ids_are_left_out(grade_class: Contract) -> None:
    views = {view.title: view for view in views_of(parse(cohort.generate(50), grade_class), grade_class)}
    assert next(iter(views)) == "Final grade class"
    assert "Absences (days)" in views
    assert "Student number" not in views
    assert views["Tutoring"].labels == ["No", "Yes"]


def test_text_that_is_no_code_is_gathered_under_one_name(grade_class: Contract) -> None:
    raw = cohort.generate(50).astype({"Ethnicity": object})
    raw.loc[:2, "Ethnicity"] = ["</script>", "7", "x"]
    views = {view.title: view for view in views_of(parse(raw, grade_class), grade_class)}
    assert views["Ethnicity"].labels[-1] == "unknown code"
    assert (views["Ethnicity"].series == "unknown code").sum() == 3


def test_two_columns_of_one_title_are_told_apart(grade_class: Contract) -> None:
    music = grade_class.columns["Music"].model_copy(update={"title": "Sports"})
    contract = changed(grade_class, {**grade_class.columns, "Music": music})
    titles = [view.title for view in views_of(parse(cohort.generate(50), contract), contract)]
    assert len(titles) == len(set(titles))


def test_what_decides_the_class_is_strong_and_what_does_not_is_near_nothing(grade_class: Contract) -> None:
    views = {view.title: view for view in views_of(parse(cohort.generate(2000), grade_class), grade_class)}
    target = views["Final grade class"]
    assert association(target, target) > 0.99
    assert association(views["Absences (days)"], target) > 0.4
    assert association(views["Gender"], target) < 0.08


def test_a_column_of_one_value_or_none_has_no_strength(grade_class: Contract) -> None:
    raw = cohort.generate(50).assign(Absences=3, StudyTimeWeekly=np.nan, Tutoring=1)
    views = {view.title: view for view in views_of(parse(raw, grade_class), grade_class)}
    for title in ("Absences (days)", "Study time (hours a week)", "Tutoring"):
        assert np.isnan(association(views[title], views["Final grade class"]))


def test_every_row_with_a_value_is_in_one_bar(grade_class: Contract) -> None:
    raw = cohort.generate(500)
    raw.loc[:9, "StudyTimeWeekly"] = np.nan
    target, *others = views_of(parse(raw, grade_class), grade_class)
    for view in others:
        bars = figure_by_class(view, target, ordered=True)["data"]
        assert sum(sum(bar["y"]) for bar in bars) == view.series.notna().sum(), view.title


def test_a_sample_is_seeded_and_keeps_the_order_of_rows() -> None:
    places = seeded_places(100, 10)
    assert len(places) == 10
    assert (np.diff(places) > 0).all()
    assert places.tolist() == seeded_places(100, 10).tolist() != seeded_places(100, 10, seed=1).tolist()
    assert seeded_places(100, 100).tolist() == [*range(100)]
