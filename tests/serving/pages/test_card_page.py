"""The model's card as a page."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from data import card_words, history
from data.log_database import open_log
from data.manifest import FIGURES, MANIFEST, digest
from serving.app import create_app
from serving.pages.versions import recorded_decisions
from serving.settings import Settings
from tests.contract.tampering import rewrite, seal


@pytest.fixture
def altered(
    bundle_folder: Path, tmp_path: Path, settings_for: Callable[..., Settings]
) -> Callable[..., FlaskClient]:
    """Make a client of a predictor whose bundle is another one."""

    def make(edit: Callable[[Path], object]) -> FlaskClient:
        draft, settings = tmp_path / "draft", settings_for(GRADECAST_HOME=tmp_path / "home")
        shutil.copytree(bundle_folder, draft)
        edit(draft)
        synced = settings.bundles / f"1-{digest(draft / MANIFEST)[:12]}"
        settings.bundles.mkdir(parents=True)
        draft.rename(synced)
        settings.current_bundle.symlink_to(synced.name)
        return create_app(settings).test_client()

    return make


def without_figures(folder: Path) -> None:
    (folder / FIGURES).unlink()
    rewrite(folder, MANIFEST, lambda manifest: manifest["files"].pop(FIGURES))


def test_it_says_all_that_a_card_must(client: FlaskClient) -> None:
    card = client.get("/model/card").text.replace("&#39;", "'")
    for title in (
        "not for",
        "can be used",
        "Part of the way",
        "Beside simpler",
        "Fair to all",
        "Versions",
        "Limits",
    ):
        assert title in card
    for words in (*card_words.NOT_FOR, *card_words.LIMITS, *(duty for duty, _ in card_words.DUTIES)):
        assert words in card
    assert "Best possible" in card
    assert "generated students, not real ones" in card
    assert "Gender" in card
    assert "Ethnicity" in card


def test_its_figures_are_those_of_the_bundle(client: FlaskClient, bundle_folder: Path) -> None:
    figures = json.loads((bundle_folder / FIGURES).read_bytes())
    card = client.get("/model/card").text
    for figure in figures["figures"]:
        assert f"{figure['value']:.3f}" in card
    for line in figures["part_year"]:
        assert f"{100 * line['projected']['share']:.0f}\N{NO-BREAK SPACE}%" in card


def test_a_model_of_before_there_were_figures_has_a_card_all_the_same(
    altered: Callable[..., FlaskClient],
) -> None:
    client = altered(without_figures)
    card = client.get("/model/card")
    assert card.status_code == 200
    assert "brings no figures" in card.text
    assert "What it is not for" in card.text
    assert client.get("/").status_code == 200


def test_real_records_leave_open_how_good_it_is_part_of_the_way(altered: Callable[..., FlaskClient]) -> None:
    def forget(folder: Path) -> None:
        rewrite(folder, FIGURES, lambda card: card.update(part_year=[]))

    assert "part of the way through is not known" in altered(forget).get("/model/card").text


def test_groups_that_differ_by_more_than_luck_are_pointed_out(altered: Callable[..., FlaskClient]) -> None:
    def differ(folder: Path) -> None:
        rewrite(folder, FIGURES, lambda card: [audit.update(luck=0.001) for audit in card["audits"]])

    assert altered(differ).get("/model/card").text.count("differ by more than luck explains") == 2


def test_figures_that_cannot_be_read_are_an_error_that_is_told(altered: Callable[..., FlaskClient]) -> None:
    def spoil(folder: Path) -> None:
        (folder / FIGURES).write_text("{}")
        seal(folder, FIGURES)

    answer = altered(spoil).get("/model/card")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")


def test_decisions_are_listed_newest_first(tmp_path: Path, settings_for: Callable[..., Settings]) -> None:
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
    synced: Settings, tmp_path: Path
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
