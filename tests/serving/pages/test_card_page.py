"""The model's card as a page."""

import html
import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from data.bundle import card_text
from data.bundle.card import Card
from data.bundle.manifest import CONTRACT, FIGURES, MANIFEST, POPULATION
from data.log import history
from data.log.database import open_log
from serving.app import create_app
from serving.pages import show
from serving.pages.model_card import recorded_decisions
from serving.settings import PredictorSettings
from tests.contract.tampering import rewrite, seal
from tests.serving.conftest import put_in_place
from tests.serving.pages.rosters import text_of


@pytest.fixture
def altered(
    bundle_folder: Path, tmp_path: Path, settings_for: Callable[..., PredictorSettings]
) -> Callable[..., FlaskClient]:
    """Make a client of a predictor whose bundle is another one."""

    def make(edit: Callable[[Path], object]) -> FlaskClient:
        draft = tmp_path / "draft"
        shutil.copytree(bundle_folder, draft)
        edit(draft)
        return create_app(put_in_place(draft, settings_for(GRADECAST_HOME=tmp_path / "home"))).test_client()

    return make


def without_figures(folder: Path) -> None:
    (folder / FIGURES).unlink()
    rewrite(folder, MANIFEST, lambda manifest: manifest["files"].pop(FIGURES))


def test_it_says_all_that_a_card_must(client: FlaskClient) -> None:
    card = client.get("/model/card").text.replace("&#39;", "'")
    for words in (
        *("not for", "can be used", "Part of the way", "Beside simpler", "Fair to all", "Versions", "Limits"),
        *("Best possible", "generated students, not real ones", "Gender", "Ethnicity"),
        *(*card_text.NOT_FOR, *card_text.LIMITS, *(duty for duty, _ in card_text.DUTIES)),
    ):
        assert words in card


def test_its_figures_are_those_of_the_bundle(client: FlaskClient, bundle_folder: Path) -> None:
    figures = json.loads((bundle_folder / FIGURES).read_bytes())
    card = client.get("/model/card").text
    assert min(len(figures["figures"]), len(figures["part_way"])) > 0
    for figure in figures["figures"]:
        assert f"{figure['value']:.3f}" in card
    for line in figures["part_way"]:
        assert f"{100 * line['elapsed']:.0f}%</th>" in card
        for name in ("log_loss", "ece"):
            assert f"{line[name]['value']:.3f} <span" in card
        assert f"{line['log_loss']['limit']:.3f}" in card
        assert f"{100 * line['recall']['share']:.0f}%" in card


SHARE = {"label": "", "share": 0.2, "low": 0.1, "high": 0.3, "n": 120}
EARLIER = [
    {"part": part, "so_far": SHARE, "projected": SHARE, "found_so_far": found, "found_projected": SHARE}
    for part, found in ((0.25, SHARE), (1.0, {**SHARE, "share": 0.9}))
]


def be_of_an_earlier_release(folder: Path) -> None:
    """Have no word of what accumulates, and a card that measured what a count so far brings."""
    text = (folder / CONTRACT).read_text(encoding="utf-8")
    (folder / CONTRACT).write_text(text.replace("    accumulates: true\n", ""), encoding="utf-8")
    seal(folder, CONTRACT)
    (folder / POPULATION).unlink()
    rewrite(folder, MANIFEST, lambda manifest: manifest["files"].pop(POPULATION))
    rewrite(folder, FIGURES, lambda card: card.update(part_way=[], part_year=EARLIER))


@pytest.mark.parametrize("path", ["/", "/roster", "/model/card"])
def test_of_a_model_of_an_earlier_release_a_count_so_far_is_warned_of(
    altered: Callable[..., FlaskClient], path: str
) -> None:
    page = html.unescape(altered(be_of_an_earlier_release).get(path).text)
    assert "Absences: give the count over the whole period" in page
    assert "after 25% of the period the model found 20%" in page
    assert "with whole counts 90%" in page


def test_a_model_of_before_there_were_figures_has_a_card_all_the_same(
    altered: Callable[..., FlaskClient],
) -> None:
    client = altered(without_figures)
    card = client.get("/model/card")
    assert card.status_code == 200
    assert "brings no figures" in card.text
    assert "What it is not for" in card.text
    assert client.get("/").status_code == 200


def test_it_says_who_is_called_at_risk_and_how_each_group_fares(
    client: FlaskClient, bundle_folder: Path
) -> None:
    figures = Card.model_validate_json((bundle_folder / FIGURES).read_bytes())
    card = html.unescape(client.get("/model/card").text)
    assert figures.flagging is not None
    assert show.told(card_text.flagging_sentence(figures.flagging)) in card
    assert "names no costs" in card
    for audit in figures.audits:
        assert show.told(card_text.groups_sentence(audit)) in card
        assert audit.counterfactuals is not None
        assert card_text.counterfactuals_sentence(audit.counterfactuals, audit.column) in card
        assert (f"Calls, found and false alarms by {audit.column}" in card) == bool(audit.differences)


def forget_part_way(card: dict[str, Any]) -> None:
    card["part_way"] = []


def differ(card: dict[str, Any]) -> None:
    for audit in card["audits"]:
        audit["luck"] = 0.001


def name_costs(card: dict[str, Any]) -> None:
    price = {"missed": 4, "false_alarm": 1, "nobody": 60, "everybody": 85, "best_threshold": {"value": 0.2}}
    known = {"value": 20.0, "low": 10.0, "high": 30.0}
    card["calls"].update(price=price | dict.fromkeys(("here", "pooled", "best"), known), threshold=0.2)


def forget_calls_and_rates(card: dict[str, Any]) -> None:
    del card["calls"]
    for audit in card["audits"]:
        del audit["differences"], audit["flips"]
        for group in audit["groups"]:
            del group["rates"]


@pytest.mark.parametrize(
    ("edit", "path", "told"),
    [
        (forget_part_way, "/model/card", {"part of the way through is not known": 1}),
        (differ, "/model/card", {"differ by more than luck explains": 2}),
        (name_costs, "/model/card", {"calling from 1 / (4 + 1) = 20% on costs least": 1}),
        (name_costs, "/model/card", {"calling nobody costs 60.0, everybody 85.0": 1}),
        (forget_calls_and_rates, "/model/card", {"Wrong class": 4, "Who is flagged as at risk</h2>": 0}),
    ],
)
def test_what_the_figures_say_and_do_not_is_told(
    altered: Callable[..., FlaskClient],
    edit: Callable[[dict[str, Any]], None],
    path: str,
    told: dict[str, int],
) -> None:
    page = altered(lambda folder: rewrite(folder, FIGURES, edit)).get(path)
    assert page.status_code == 200
    assert {words: page.text.count(words) for words in told} == told


def test_figures_that_cannot_be_read_are_an_error_that_is_told(altered: Callable[..., FlaskClient]) -> None:
    def spoil(folder: Path) -> None:
        (folder / FIGURES).write_text("{}")
        seal(folder, FIGURES)

    answer = altered(spoil).get("/model/card")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")


def test_decisions_are_listed_newest_first(
    tmp_path: Path, settings_for: Callable[..., PredictorSettings]
) -> None:
    settings = settings_for(GRADECAST_HOME=tmp_path)
    for day, event in ((1, "promoted"), (2, "rejected")):
        decision = history.Decision(
            model="grade-class",
            event=event,
            version=str(day),
            champion="1",
            by="pipeline",
            reason="better",
            at=datetime(2026, 9, day, tzinfo=UTC),
        )
        history.append(open_log(settings.database_url), decision)
    found = recorded_decisions(settings, "grade-class")
    assert found is not None
    assert [entry.version for entry in found] == ["2", "1"]
    assert recorded_decisions(settings, "another-model") == []


def test_a_history_that_cannot_be_read_is_told_and_the_rest_of_the_card_shown(
    synced: PredictorSettings, tmp_path: Path
) -> None:
    (tmp_path / "predictions.db").write_text("no database, but a text that is long enough to look at" * 20)
    client = create_app(
        synced.model_copy(update={"log_url": f"sqlite:///{tmp_path}/predictions.db"})
    ).test_client()
    card = client.get("/model/card")
    assert card.status_code == 200
    assert "cannot be read just now" in card.text


def test_a_model_of_real_records_is_no_demonstration(
    altered: Callable[..., FlaskClient], client: FlaskClient
) -> None:
    def come_from_a_file(folder: Path) -> None:
        rewrite(folder, MANIFEST, lambda manifest: manifest["training"].update(source="records.csv"))

    real = altered(come_from_a_file)
    for path in ("/", "/model/card"):
        assert "Demonstration." in client.get(path).text
        assert "Demonstration." not in real.get(path).text


def test_the_card_says_in_a_minute_what_a_parent_asks_and_folds_the_rest_away(client: FlaskClient) -> None:
    page = client.get("/model/card").text
    told = text_of(page)
    minute = told[told.rindex("In one minute") :][:1_500]
    assert "It decides nothing." in minute
    assert "Of 100 past students whom it had not seen" in minute
    assert "object to its use" in minute
    assert (
        page.index('id="purpose"') < page.index("<summary>Figures for analysts") < page.index('id="quality"')
    )
    assert not re.search(r"\d %", told), "percentages are written as 52%"
