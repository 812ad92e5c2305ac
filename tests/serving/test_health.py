"""/health*: what answers, and why it may not be what is wanted."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from serving.app import create_app
from serving.health import Status, find_troubles, write_status
from serving.settings import PredictorSettings

NOW = datetime(2026, 9, 1, tzinfo=UTC)


def test_a_refusal_makes_it_degraded_and_it_still_answers(own: PredictorSettings) -> None:
    refusal = Status(wanted="7", version="local", checked=datetime.now(UTC), error="version 7 was refused")
    write_status(own.bundles, refusal)
    answer = create_app(own).test_client().get("/health/ready")
    assert (answer.status_code, answer.get_json()) == (
        200,
        {
            "status": "degraded",
            "model": "grade-class",
            "model_version": "local",
            "wanted_version": "7",
            "detail": "version 7 was refused",
        },
    )


def test_a_follower_at_work_is_ok(own: PredictorSettings) -> None:
    write_status(own.bundles, Status(version="local", checked=datetime.now(UTC)))
    assert create_app(own).test_client().get("/health").get_json()["status"] == "ok"


def test_without_a_model_the_reason_and_the_remedy_are_told(own: PredictorSettings) -> None:
    own.current_bundle.unlink()
    write_status(own.bundles, Status(error=f"there is no registry yet at {own.home}/mlflow.db."))
    client = create_app(own).test_client()
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.mimetype == "application/problem+json"
    for words in ("no model has been synced yet", "no registry yet at mlflow.db", "make pipeline"):
        assert words in answer.get_json()["detail"]
    assert str(own.home) not in answer.get_json()["detail"]
    assert client.get("/health/live").get_json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("minutes", "every", "silent"),
    [(0, 2, False), (2, 2, False), (4, 2, True), (30, 600, False), (None, 2, False)],
    ids=["now", "at work", "silent", "slow", "a lone sync"],
)
def test_a_follower_that_is_silent_for_long_is_a_trouble(
    minutes: int | None, every: int, silent: bool
) -> None:
    checked = None if minutes is None else NOW - timedelta(minutes=minutes)
    assert bool(find_troubles(Status(version="3", checked=checked), None, every, NOW)) is silent


def test_the_workers_own_problem_is_a_trouble_too() -> None:
    status = Status(version="3", checked=NOW, error="the registry is away")
    told = find_troubles(status, "model.onnx is damaged", 2, NOW)
    assert told == ["the registry is away", "model.onnx is damaged"]


def test_it_says_which_release_runs_where_one_has_a_name(
    synced: PredictorSettings, settings_for: Callable[..., PredictorSettings]
) -> None:
    named = settings_for(GRADECAST_HOME=synced.home, GRADECAST_RELEASE="2026.11.21-7")
    assert create_app(named).test_client().get("/health/ready").get_json()["release"] == "2026.11.21-7"
    assert "release" not in create_app(synced).test_client().get("/health/ready").get_json()
