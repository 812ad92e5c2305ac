"""The page of one student, by its forms alone."""

import gzip
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from data.contract.contract import Contract
from data.log.entries import read_entry
from serving.pages.why import way_of
from serving.settings import PredictorSettings
from tests.serving.pages.rosters import text_of, token_of

Student = dict[str, Any]


@pytest.fixture
def send(client: FlaskClient, student: Student) -> Callable[..., Any]:
    """Send the form of a student, with some of it otherwise."""

    def post(path: str = "/", headers: dict[str, str] | None = None, **otherwise: object) -> Any:
        form = {**student, **otherwise, "csrf_token": token_of(client)}
        return client.post(path, data={k: v for k, v in form.items() if v is not None}, headers=headers)

    return post


def test_the_form_asks_for_every_column_with_its_unit_help_and_choices(
    client: FlaskClient, grade_class: Contract
) -> None:
    page = client.get("/").text
    for column in grade_class.asked:
        assert f'name="{column.name}"' in page
        assert column.title.replace("'", "&#39;") in page
        assert column.help in page
        assert all(label.replace("'", "&#39;") in page for label in column.codes.values())
    assert 'name="StudentID"' in page
    assert "GPA" not in page


def test_a_forecast_says_the_likely_classes_the_risk_and_every_reason(
    send: Callable[..., Any], spooled: list[dict[str, Any]], grade_class: Contract
) -> None:
    answer = send()
    assert answer.status_code == 200
    assert "Most likely" in answer.text
    assert "past student" in answer.text
    assert "chance of D or F" in answer.text
    for column in grade_class.features:
        assert answer.text.count(column.title.replace("'", "&#39;")) >= 2
    assert "21\N{NO-BREAK SPACE}days" in answer.text


def test_a_forecast_is_written_down_as_the_pages_without_the_id(
    send: Callable[..., Any], spooled: list[dict[str, Any]]
) -> None:
    page = send(StudentID="4711", Gender="1").text
    (entry,) = spooled
    assert (entry["via"], entry["record"]["Absences"], entry["record"]["Gender"]) == ("page", 21, 1)
    assert "4711" not in str(entry)
    assert len(entry["student"]) == 32
    assert entry["prediction_id"][-8:] in page
    assert 'action="/overrides"' in page
    read_entry(orjson.dumps(entry))


def test_the_untouched_example_is_not_written_down(
    client: FlaskClient, spooled: list[dict[str, Any]]
) -> None:
    page = client.get("/?example").text
    form = dict(re.findall(r'<input [^>]*name="(\w+)" type="number" value="([^"]+)"', page))
    assert {"Age", "StudyTimeWeekly", "Absences"} <= set(form), "it is filled in"
    form |= dict(re.findall(r'type="radio" name="(\w+)" value="(\d)" checked', page))
    for name, options in re.findall(r'<select id="\S+" name="(\w+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'value="(\d)" selected', options)
        form[name] = chosen[1] if chosen else ""
    answer = client.post("/", data={**form, "csrf_token": token_of(client)})
    assert answer.status_code == 200
    assert "The example is not kept" in answer.text
    assert spooled == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("Absences", "31", "“31” is out of range. Give a whole number from 0 to 30 (days)."),
        ("Absences", "", "This is still missing. Give a whole number from 0 to 30 (days)."),
        ("Absences", "3.5", "“3.5” is not a whole number."),
        ("StudyTimeWeekly", "many", "“many” is not a number. Give a number from 0 to 20 (hours a week)."),
        ("StudyTimeWeekly", "nan", "This is still missing."),
        ("Tutoring", "7", "“7” isn’t one of the choices. Choose one of the answers listed."),
        ("StudentID", "x1", "“x1” is not a whole number."),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_forecast(
    send: Callable[..., Any], spooled: list[dict[str, Any]], name: str, text: str, told: str
) -> None:
    answer = send(**{name: text})
    assert answer.status_code == 422
    assert told in answer.text.replace("&#39;", "'")
    assert 'aria-invalid="true"' in answer.text
    assert "1\N{NO-BREAK SPACE}answer could not be used" in answer.text
    assert "Most likely" not in answer.text
    assert spooled == []


def test_the_form_is_empty_until_an_example_is_asked_for(client: FlaskClient) -> None:
    page = client.get("/").text
    assert "checked" not in page
    assert not re.search(r'type="number" value="[^"]', page)
    assert "Fill in an example" in page


def test_the_faults_are_listed_in_the_forms_order_and_the_title_says_that_there_are_some(
    send: Callable[..., Any],
) -> None:
    page = send(Absences="99", Age="3", StudyTimeWeekly="").text
    assert "<title>Error: One student" in page
    listed = re.findall(r'<li><a href="#(field-\d+)">', page)
    assert listed == sorted(listed, key=page.rindex), "as they stand in the form"
    assert 'role="alert" id="result"' in page, "where the browser goes"


def test_the_result_names_the_student_and_keeps_the_name_from_the_log(
    send: Callable[..., Any], spooled: list[dict[str, Any]]
) -> None:
    page = send(about="Aisha Khan").text
    assert "of <strong>Aisha Khan</strong>" in page
    assert "Aisha" not in str(spooled)
    assert "of <strong>4711</strong>" in send(StudentID="4711").text


def test_the_reasons_add_up_from_the_average_student_to_this_one(
    send: Callable[..., Any], client: FlaskClient, student: Student
) -> None:
    bundle = client.application.extensions["predictor"].get().bundle
    record = bundle.record.validate_python(student)
    reasons = client.post("/predict?explain=true", json=student).get_json()["reasons"]
    way = way_of(bundle, record, reasons)
    assert way is not None
    assert way.here == pytest.approx(way.average + sum(reason["effect"] for reason in reasons))
    others = client.application.extensions["predictor"].get().bundle.shown
    averages = []
    for one in others[:5]:
        answer = client.post("/predict?explain=true", json=one).get_json()
        found = way_of(bundle, bundle.record.validate_python(one), answer["reasons"])
        assert found is not None
        averages.append(found.average)
    assert averages == pytest.approx([way.average] * len(averages), abs=1e-4), "one average for all"
    told = text_of(send().text)
    assert f"The average student that the model learned from is at {way.average:.2f} grade points" in told
    assert f"to {way.here:.2f} (" in told
    assert re.search(r"[A-D] starts at \d\.\d\d grade points, (close by|within reach|a long way off)", told)


def test_the_sheet_for_a_meeting_has_strengths_first_and_no_bare_percentage(
    send: Callable[..., Any], spooled: list[dict[str, Any]]
) -> None:
    told = text_of(send("/sheet", about="Aisha Khan", StudyTimeWeekly=18, Absences=24).text)
    assert "Meeting about Aisha Khan" in told
    assert re.search(r"\d{1,2} \w+ 20\d\d", told)
    parts = ["What is going well", "What we want to talk about", "What could help", "If you disagree"]
    assert sorted(parts, key=told.index) == parts
    sheet = told[told.index("Meeting about") : told.index("A forecast is a reason")]
    assert "%" not in sheet
    assert "Study time: 18 hours a week" in sheet
    assert re.search(r"Of 10 past students with facts like these, .* finished with D or F", sheet)
    assert "object to its use" in sheet
    assert spooled == []
    assert send("/sheet", Absences="99").status_code == 422


def test_what_was_typed_stays_in_the_form_and_is_never_run(send: Callable[..., Any]) -> None:
    answer = send(Absences='"><script>alert(1)</script>')
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


def tried(student: Student, **otherwise: object) -> Student:
    return {f"try.{name}": value for name, value in {**student, **otherwise}.items()}


def test_other_values_are_tried_beside_the_forecast_and_never_written_down(
    send: Callable[..., Any], spooled: list[dict[str, Any]], student: Student
) -> None:
    answer = send("/try", **tried(student, StudyTimeWeekly=12))
    assert answer.status_code == 200
    assert "With these values" in answer.text
    assert 'name="try.StudyTimeWeekly" type="number" value="12"' in answer.text
    assert re.search(r'name="StudyTimeWeekly" type="number" value="9.5"', answer.text), "the student stays"
    assert "try.Absences" not in answer.text, "what has been counted at the period's end cannot change"
    wrong = send("/try", **tried(student, StudyTimeWeekly=99))
    assert wrong.status_code == 422
    assert "“99” is out of range." in wrong.text
    assert spooled == []


def test_the_sliders_are_told_the_difference_as_a_piece_of_the_page(
    send: Callable[..., Any], student: Student
) -> None:
    script = {"Accept": "application/json"}
    told = send("/try", script, **tried(student, StudyTimeWeekly=12)).get_json()
    assert "At risk" in told["said"]
    assert told["html"].count('class="tick"') == 5
    wrong = send("/try", script, **tried(student, StudyTimeWeekly=99)).get_json()
    assert wrong == {
        "html": "",
        "said": "Study time: “99” is out of range. Give a number from 0 to 20 (hours a week).",
    }


def test_in_november_the_count_so_far_is_taken_for_what_it_is(
    send: Callable[..., Any], client: FlaskClient, student: Student, spooled: list[dict[str, Any]]
) -> None:
    page = send(elapsed="25", Absences=6).text
    answer = client.post("/predict?elapsed=0.25", json={**student, "Absences": 6}).get_json()
    assert f"{100 * answer['at_risk']:.0f}%" in page
    assert re.search(r"Absences: 6\xa0days so far, about \d+\xa0days by the end \(\d+ to \d+ for nine", page)
    assert 'name="elapsed" type="number" value="25"' in page
    logged = next(entry for entry in spooled if entry["via"] == "page")
    assert logged["record"]["elapsed"] == 0.25
    assert logged["at_risk"] == pytest.approx(answer["at_risk"], abs=1e-6)


def test_in_november_so_many_more_days_at_most_can_be_tried(
    send: Callable[..., Any], student: Student
) -> None:
    script = {"Accept": "application/json"}
    told = {
        further: send(
            "/try", script, **tried({**student, "Absences": further}), elapsed="25", Absences=6
        ).get_json()
        for further in ("", "0", "4")
    }
    now, none, few = (said["said"] for said in told.values())
    assert now != none != few
    page = send("/try", **tried({**student, "Absences": "-1"}), elapsed="25", Absences=6)
    assert page.status_code == 422
    assert "Absences from now on, at most" in page.text


@pytest.mark.parametrize("text", ["0", "0.25", "-5", "101", "half", "1e999"])
def test_what_is_no_part_of_the_period_is_said_so_at_its_field(send: Callable[..., Any], text: str) -> None:
    answer = send(elapsed=text)
    assert answer.status_code == 422
    assert "Give a number from 1 to 100 (%)." in answer.text
    assert ">How much of the period has passed</a>" in answer.text


def test_all_of_the_period_is_the_forecast_without_a_word_of_it(
    send: Callable[..., Any], spooled: list[dict[str, Any]]
) -> None:
    pages = [send(**said).text for said in ({}, {"elapsed": ""}, {"elapsed": "100"})]
    assert not any("so far, about" in page for page in pages)
    first, *others = [{**entry, "prediction_id": "", "at": ""} for entry in spooled]
    assert others == [first, first]


def test_a_forecast_that_cannot_be_written_down_is_not_shown(
    send: Callable[..., Any], full_disk: None
) -> None:
    answer = send()
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert "Most likely" not in answer.text
    assert "cannot be written down" in answer.text


@pytest.mark.parametrize("path", ["/", "/roster", "/model/card"])
def test_without_a_model_the_page_says_so_and_what_to_do(
    client_without_model: FlaskClient, path: str
) -> None:
    answer = client_without_model.get(path)
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert "make pipeline" in answer.text


@pytest.mark.parametrize("path", ["/", "/model/card", "/static/style.css", "/static/student.js"])
def test_pages_run_nothing_but_our_own_files(client: FlaskClient, path: str) -> None:
    answer = client.get(path, buffered=True)
    assert answer.status_code == 200
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "'unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not re.search(
        r"<style|\sstyle=|<script(?! src=\"/static/)|\son\w+=", answer.text.replace("<style>", "")
    )


def test_a_static_file_is_kept_by_browsers_as_long_as_its_address_is_the_same(client: FlaskClient) -> None:
    address = re.search(r'href="(/static/style\.css\?v=\w+)"', client.get("/").text)
    assert address
    assert "max-age=31536000" in client.get(address[1], buffered=True).headers["Cache-Control"]
    assert "max-age=3" not in client.get("/static/style.css", buffered=True).headers["Cache-Control"]
    assert client.get("/static/..%2fapp.py").status_code == 404


@pytest.mark.parametrize("path", ["/", "/roster", "/static/style.css"])
def test_pages_go_out_compressed_to_browsers_that_take_them_so(client: FlaskClient, path: str) -> None:
    plain = client.get(path, buffered=True)
    packed = client.get(path, headers={"Accept-Encoding": "gzip, br"}, buffered=True)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert len(gzip.decompress(packed.data)) == len(plain.data) > 2 * len(packed.data)


def test_the_settings_of_the_session_keep_the_cookie_from_scripts_and_other_sites(
    client: FlaskClient, synced: PredictorSettings
) -> None:
    cookie = client.get("/").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    anew = client.application.test_client().get("/", base_url="https://localhost")
    assert "Secure" in anew.headers["Set-Cookie"]
    assert "Secure" not in cookie
    assert (synced.home / "cookies.key").stat().st_mode & 0o077 == 0
