"""The same pages for other data sets: unordered classes, missing values, names that no form would choose."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page

from data.contract.contract import load_contract
from flows.evaluate import gather_evidence
from flows.process import process_records
from flows.registry.bundling import Submission, write_bundle
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid
from serving.app import create_app
from serving.pages.student import example
from serving.settings import PredictorSettings
from tests.serving.conftest import put_in_place
from tests.serving.pages.conftest import at_an_address
from tests.serving.pages.rosters import token_of


@pytest.fixture(scope="module", params=["after_school", "exam_scores"])
def other(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    small_grid: Grid,
    settings_for: Callable[..., PredictorSettings],
) -> PredictorSettings:
    """Settings of a predictor with a small model of another contract."""
    name, home = str(request.param), tmp_path_factory.mktemp("other")
    settings = Settings(home=home, folds=3, jobs=1, tracking_uri="")
    contract = load_contract(name)
    processed = process_records("cohort://400", contract, settings)
    trained = train_model(processed, contract, small_grid, settings)
    evidence = gather_evidence(trained, processed, contract, settings)
    bundle = home / "bundle"
    bundle.mkdir()
    write_bundle(bundle, Submission(trained, processed, name, evidence, settings))
    return put_in_place(bundle, settings_for(GRADECAST_HOME=home / "serving"))


@pytest.fixture
def other_client(other: PredictorSettings) -> FlaskClient:
    """A client of a predictor of another contract."""
    return create_app(other).test_client()


def form_of(client: FlaskClient, **otherwise: str) -> dict[str, Any]:
    """The form as the page fills it in with its example."""
    bundle = client.application.extensions["predictor"].get().bundle
    values = {name: "" if value is None else str(value) for name, value in example(bundle).items()}
    return {**values, "csrf_token": token_of(client), **otherwise}


def test_the_example_is_forecast_and_every_column_is_asked_for(other_client: FlaskClient) -> None:
    bundle = other_client.application.extensions["predictor"].get().bundle
    page = other_client.get("/").text.replace("&#39;", "'")
    for column in bundle.contract.asked:
        assert f'name="{column.name}"' in page
    assert not re.search(r'id="[^"]* ', page), "an id holds no space"
    answer = other_client.post("/", data=form_of(other_client))
    assert answer.status_code == 200
    assert re.search("Most likely|is likeliest", answer.text)
    assert "The average student that the model learned from" in answer.text
    assert ("points of 100" if bundle.contract.target.ordered else "for and against No place") in answer.text


def test_what_is_audited_is_no_reason_that_a_page_gives(other_client: FlaskClient) -> None:
    contract = other_client.application.extensions["predictor"].get().bundle.contract
    page = other_client.post("/", data=form_of(other_client)).text
    reasons = " ".join(re.findall(r'<table class="reasons">.*?</table>', page, re.DOTALL))
    assert reasons
    for column in contract.features:
        assert (f'<th scope="row">{column.title} ' in reasons.replace("&#39;", "'")) is not column.audited
        assert not column.audited or "no reason to treat anybody differently" in page


def test_what_may_be_missing_may_be_left_empty(other_client: FlaskClient) -> None:
    contract = other_client.application.extensions["predictor"].get().bundle.contract
    nullable = {column.name: "" for column in contract.features if column.nullable}
    answer = other_client.post("/", data=form_of(other_client, **nullable))
    assert answer.status_code == 200
    assert ("not known" in answer.text) == bool(nullable)


def test_a_class_without_a_sound_row_is_told_what_is_wrong_with_each(other_client: FlaskClient) -> None:
    contract = other_client.application.extensions["predictor"].get().bundle.contract
    header, row = (line.split(",") for line in other_client.get("/roster/template.csv").text.splitlines()[:2])
    number = next(column for column in contract.features if not column.coded)
    row[header.index(number.name)] = "many"
    for path in ("", "/data", "/counts", "/download"):
        file = io.BytesIO(f"{','.join(header)}\n{','.join(row)}\n".encode())
        form = {"csrf_token": token_of(other_client), "file": (file, "class.csv")}
        answer = other_client.post(f"/roster{path}", data=form)
        assert answer.status_code == 200
        assert path or "many” is not a number" in answer.text


def test_the_card_says_what_is_not_known(other_client: FlaskClient) -> None:
    card = other_client.get("/model/card")
    assert card.status_code == 200
    contract = other_client.application.extensions["predictor"].get().bundle.contract
    assert all(column.title.replace("'", "&#39;") in card.text for column in contract.asked)


def test_axe_finds_nothing_in_its_pages(
    other: PredictorSettings, visit: Callable[..., Page], violations: Callable[[Page], list[str]]
) -> None:
    with at_an_address(other) as address:
        page = visit("/?example", at=address, fresh=True)
        page.get_by_role("button", name="Forecast").click()
        page.get_by_role("heading", name="Why this forecast").wait_for()
        assert violations(page) == []
        page.goto(f"{address}/model/card")
        assert violations(page) == []
        page.context.close()
