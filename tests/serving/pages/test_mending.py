"""Files that do not fit at first: headings that are mapped, cells that are mended, rows that are pasted."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from data.contract.contract import Contract
from serving.pages.mending import field_of, read_mends
from tests.serving.pages.rosters import csv_of, field, send, shown, students, text_of


@pytest.mark.parametrize(
    "headings",
    [
        {"Absences": "absences", "ParentalSupport": "PARENTAL SUPPORT"},
        {"StudyTimeWeekly": "Study time", "ParentalSupport": "Parents' support"},
        {"StudentID": "Student number"},
    ],
    ids=["other letters", "titles", "the id by its title"],
)
def test_a_heading_is_taken_by_name_or_title_in_any_letters_and_that_is_said(
    client: FlaskClient, headings: dict[str, str]
) -> None:
    frame = students(6)
    page = send(client, file=csv_of(frame.rename(columns=headings))).text
    assert shown(page) == shown(send(client, file=csv_of(frame)).text)
    for heading in headings.values():
        assert f"“{heading}” is read as " in text_of(page)


def test_headings_that_nobody_can_guess_are_asked_for_and_then_taken(client: FlaskClient) -> None:
    frame = students(6)
    other = frame.rename(columns={"Absences": "Fehltage", "ParentalSupport": "Parental Suport"})
    asked = send(client, file=csv_of(other))
    assert asked.status_code == 422
    assert "We couldn’t find 2 columns in class by their names." in text_of(asked.text)
    assert "Fehltage (" in asked.text, "with some of what is below it"
    assert '<option value="Parental Suport" selected>' in asked.text
    said: Any = {"heading Absences": "Fehltage", "heading ParentalSupport": "Parental Suport"}
    page = send(client, carried=field(asked.text, "carried"), **said).text
    assert shown(page) == shown(send(client, file=csv_of(frame)).text)
    again = send(client, carried=field(page, "carried"), sort="name").text
    assert sorted(shown(again)) == sorted(shown(page)), "it stays mended"


def test_a_file_with_too_few_columns_is_not_asked_about(client: FlaskClient) -> None:
    answer = send(client, file=csv_of(students(3)[["StudentID", "Name", "Age"]]))
    assert "We couldn’t find these columns in your file" in text_of(answer.text)


def test_a_cell_is_mended_for_all_rows_that_say_the_same(client: FlaskClient) -> None:
    frame = students(8)
    support = frame["ParentalSupport"].copy()
    wrong = frame.assign(ParentalSupport=support.where(support != "2", "Medium"))
    wrong.loc[1, "Absences"], wrong.loc[4, "Absences"] = "45", ""
    first = send(client, file=csv_of(wrong)).text
    rows = [str(place + 2) for place in range(8) if support[place] == "2"]
    assert len(rows) > 1
    assert "“Medium” isn’t one of the choices. Did you mean Moderate?" in text_of(first)
    names = re.findall(r'name="(offered [^"]*)"', first)
    assert len(names) == 3
    assert shown(send(client, carried=field(first, "carried")).text) == shown(first), "nothing by itself"
    mends: Any = {
        field_of(("ParentalSupport", "Medium"), "offered "): "Moderate",
        field_of(("Absences", "45"), "offered "): "30",
        field_of(("Absences", 6), "offered "): "12",
    }
    page = send(client, carried=field(first, "carried"), mend="yes", **mends).text
    assert "8 students forecast" in text_of(page)
    frame.loc[1, "Absences"], frame.loc[4, "Absences"] = "30", "12"
    assert shown(page) == shown(send(client, file=csv_of(frame)).text)
    assert "Look at these yourself" not in page


def test_what_was_mended_holds_for_one_row_as_for_all(client: FlaskClient) -> None:
    frame = students(4)
    frame.loc[2, "ParentalSupport"] = "Medium"
    said = {field_of(("ParentalSupport", "Medium")): "Moderate"}
    assert "Why this forecast" in send(client, "/roster/row", file=csv_of(frame), row="4", **said).text
    assert send(client, "/roster/row", file=csv_of(frame), row="4").status_code == 422


def test_a_decimal_comma_stays_one_where_a_cell_is_mended(client: FlaskClient) -> None:
    frame = students(6)
    german = frame.assign(StudyTimeWeekly=frame["StudyTimeWeekly"].str.replace(".", ","))
    german.loc[0, "StudyTimeWeekly"] = "viel"
    frame.loc[0, "StudyTimeWeekly"] = "12.5"
    said = {field_of(("StudyTimeWeekly", "viel")): "12.5"}
    text = german.to_csv(index=False, sep=";").encode()
    assert "1 student could not be forecast" in text_of(send(client, file=text).text)
    page = send(client, file=text, **said).text
    assert shown(page) == shown(send(client, file=csv_of(frame)).text)


def test_pasted_rows_are_read_as_a_file(client: FlaskClient) -> None:
    frame = students(6)
    pasted = frame.to_csv(index=False, sep="\t")
    assert shown(send(client, pasted=pasted).text) == shown(send(client, file=csv_of(frame)).text)


def test_what_is_no_field_of_ours_mends_nothing(grade_class: Contract) -> None:
    wild = {"mend ": "x", "mend [1,2]": "x", 'mend ["a"]': "x", 'mend {"a":1}': "x", "mend [": "x"}
    assert read_mends(wild).cells == {}
    assert read_mends({"heading Absences": " "}).headings == {}
