"""Columns as the data report shows them."""

import numpy as np

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.rows.frames import parse
from flows.processing.processed import seeded_places
from flows.reports.data_report import association, figure_by_class, views_of
from tests.flows.reports.evidences import changed


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
