"""The local page on which a contract is written: what it shows, saves, refuses; and who may see it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from flask.testing import FlaskClient

from data.cohorts import grades as cohort
from data.contract.columns import Kind, Role
from data.contract.contract import find_contract, load_contract
from data.errors import BadInput
from data.intake.commented import Commented
from data.intake.draft import draft_contract
from data.intake.editor import COOKIE, Desk, bars_of, create_editor

TOKEN = "a-token"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    file = tmp_path / "year.csv"
    cohort.generate(300, seed=3).to_csv(file, index=False)
    (tmp_path / "year.yaml").write_text(draft_contract(file, "GradeClass").text, encoding="utf-8")
    return Desk.of(str(file), tmp_path / "year.yaml")


@pytest.fixture
def client(desk: Desk) -> FlaskClient:
    app = create_editor(desk, TOKEN)
    app.config["SERVER_NAME"] = "127.0.0.1:1234"
    client = app.test_client()
    client.set_cookie(COOKIE, TOKEN, domain="127.0.0.1")
    return client


class Form(HTMLParser):
    """What a browser would send of a page's form as it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._menu, self._wanted = "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        name = said.get("name") or ""
        if tag == "input" and (said.get("type") != "checkbox" or "checked" in said):
            self.sent[name] = said.get("value") or ("on" if said.get("type") == "checkbox" else "")
        if tag == "select":
            self._menu = name
        if tag == "option" and "selected" in said:
            self.sent[self._menu] = said.get("value") or ""
            self._wanted = "value" not in said

    def handle_data(self, data: str) -> None:
        if self._wanted:
            self.sent[self._menu], self._wanted = data, False


def form_of(client: FlaskClient) -> dict[str, str]:
    form = Form()
    form.feed(client.get("/").get_data(as_text=True))
    return form.sent


def at(client: FlaskClient, name: str) -> str:
    page = client.get("/").get_data(as_text=True)
    found = re.search(rf'<h3 id="(c\d+)">{re.escape(name)}</h3>', page)
    assert found
    return found[1]


def test_a_page_that_is_saved_as_it_stands_is_the_same_contract_with_its_comments(
    desk: Desk, client: FlaskClient
) -> None:
    before, text = load_contract(desk.contract), desk.contract.read_text(encoding="utf-8")
    response = client.post("/", data=form_of(client))
    assert response.status_code == 302, response.get_data(as_text=True)
    after = desk.contract.read_text(encoding="utf-8")
    assert load_contract(desk.contract).model_dump() == before.model_dump()
    assert after.count("# guess") == text.count("# guess")
    assert after.splitlines()[0] == text.splitlines()[0]


def test_role_kind_order_labels_and_who_is_at_risk_are_chosen_by_click(
    desk: Desk, client: FlaskClient
) -> None:
    form, absences, support = form_of(client), at(client, "Absences"), at(client, "ParentalSupport")
    form |= {
        f"{absences}.role": "audit",
        f"{absences}.accumulates": "",
        f"{support}.label0": "Nobody",
        f"{support}.read": "on",
    }
    form |= {f"{support}.place0": "9", at(client, "Music") + ".role": "ignore", "t.label0": "Best"}
    form |= {at(client, "Sports") + ".kind": "nominal", "t.risk3": "on", f"{at(client, 'Age')}.audited": "on"}
    response = client.post("/", data=form | {"then": "save"})
    assert response.status_code == 302, re.findall("<strong>Not saved.*", response.get_data(as_text=True))
    contract = load_contract(desk.contract)
    assert contract.columns["Absences"].role is Role.AUDIT
    assert list(contract.columns["ParentalSupport"].codes.values())[-1] == "Nobody"
    assert contract.ignored == ("Music",)
    assert contract.columns["Sports"].kind is Kind.NOMINAL
    assert contract.columns["Age"].audited
    assert contract.target.labels[0] == "Best"
    assert len(contract.target.at_risk) == 2
    found = Commented.of(desk.contract.read_text(encoding="utf-8"), desk.contract)
    assert found.guesses("columns", "ParentalSupport") == []
    assert found.guesses("columns", "Sports")


def test_what_is_no_contract_is_told_and_nothing_is_written(desk: Desk, client: FlaskClient) -> None:
    before = desk.contract.read_bytes()
    form = form_of(client) | {f"{at(client, 'StudyTimeWeekly')}.min": "90"}
    response = client.post("/", data=form)
    assert response.status_code == 422
    assert "columns.StudyTimeWeekly.min: min 90 is not below max" in response.get_data(as_text=True)
    response = client.post("/", data=form | {f"{at(client, 'StudyTimeWeekly')}.min": "many"})
    assert "&#39;many&#39; is not a number" in response.get_data(as_text=True)
    assert desk.contract.read_bytes() == before


def test_the_check_is_shown_on_the_page(client: FlaskClient) -> None:
    page = client.post("/", data=form_of(client) | {"then": "check"}).get_data(as_text=True)
    assert "guesses are not read through" in page


@pytest.mark.parametrize("path", ["/", "/training", "/design/style.css", "/?token=wrong"])
def test_nobody_is_answered_without_the_token_or_under_another_name(desk: Desk, path: str) -> None:
    app = create_editor(desk, TOKEN)
    here, elsewhere = {"base_url": "http://127.0.0.1:1234"}, {"base_url": "http://evil.example:1234"}
    assert app.test_client().get(path, **here).status_code == 403
    assert app.test_client().post("/", data={}, **here).status_code == 403
    assert app.test_client().get(f"/?token={TOKEN}", **elsewhere).status_code == 403
    answer = app.test_client().get(f"/?token={TOKEN}", **here)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("name", ["grade_class", "exam_scores", "after_school", "pass_fail", "school_year"])
def test_a_contract_written_by_hand_keeps_its_meaning_and_its_comments(name: str, tmp_path: Path) -> None:
    path = find_contract(name)
    text = path.read_text(encoding="utf-8")
    again = tmp_path / f"{name}.yaml"
    again.write_text(Commented.of(text, path).text(), encoding="utf-8")
    assert load_contract(again) == load_contract(path)
    kept = again.read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.strip().startswith("#") and line.startswith(("#", "  #")):
            assert line.strip() in kept


def test_what_is_no_mapping_is_no_contract(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the file holds no contract"):
        Commented.of("- a\n", tmp_path / "x.yaml")


def test_where_there_is_no_contract_yet_the_page_asks_what_is_to_be_forecast(
    desk: Desk, client: FlaskClient
) -> None:
    desk.contract.unlink()
    assert "<option>GradeClass</option>" in client.get("/").get_data(as_text=True)
    refused = client.post("/draft", data={"target": "Grade"})
    assert refused.status_code == 422
    assert "there is no column" in refused.get_data(as_text=True)
    assert client.post("/draft", data={"target": "GradeClass"}).status_code == 302
    assert load_contract(desk.contract).target.column == "GradeClass"


def test_training_is_the_command_and_its_lines_are_shown_until_it_ends(
    desk: Desk, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert client.get("/training").status_code == 302  # nothing is trained yet
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path / "home"))
    desk.training.start("no-such-file.csv", desk.contract)
    assert desk.training.process is not None
    assert 'http-equiv="refresh"' in client.get("/training").get_data(as_text=True)
    assert desk.training.process.wait(300) == 2
    page = client.get("/training").get_data(as_text=True)
    assert "no-such-file.csv: there is no such file" in page
    assert "http-equiv" not in page


def test_a_column_is_drawn_by_parts_of_its_range_by_its_words_or_by_its_months() -> None:
    numbers = bars_of(pd.Series([str(n) for n in range(120)], dtype=object))
    assert [bar.count for bar in numbers] == [10] * 12
    assert [bar.label for bar in bars_of(pd.Series(["b", "a", "b"], dtype=object))] == ["b", "a"]
    dates = pd.Series(["2025-01-31", "2025-02-01", "2025-02-02", None], dtype=object)
    assert [(bar.label, bar.count) for bar in bars_of(dates)] == [("2025-01", 1), ("2025-02", 2)]
