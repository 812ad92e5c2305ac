"""/health*: what answers, and why it may not be what is wanted."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from serving.app import create_app
from serving.health import Status, find_troubles, write_status
from serving.settings import Settings

NOW = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def told(synced: Settings, tmp_path: Path) -> Settings:
    """Settings of a home that has the session's model, and a follower's status of its own."""
    own, served = synced.model_copy(update={"home": tmp_path}), synced.current_bundle.resolve()
    own.bundles.mkdir(parents=True)
    (own.bundles / served.name).symlink_to(served)
    own.current_bundle.symlink_to(served.name)
    return own


def test_a_refusal_makes_it_degraded_and_it_still_answers(told: Settings) -> None:
    refusal = Status(wanted="7", version="local", checked=datetime.now(UTC), error="version 7 was refused")
    write_status(told.bundles, refusal)
    answer = create_app(told).test_client().get("/health/ready")
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


def test_a_follower_at_work_is_ok(told: Settings) -> None:
    write_status(told.bundles, Status(version="local", checked=datetime.now(UTC)))
    assert create_app(told).test_client().get("/health").get_json()["status"] == "ok"


def test_without_a_model_the_reason_and_the_remedy_are_told(told: Settings) -> None:
    told.current_bundle.unlink()
    write_status(told.bundles, Status(error=f"there is no registry yet at {told.home}/mlflow.db."))
    client = create_app(told).test_client()
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.mimetype == "application/problem+json"
    for words in ("no model has been synced yet", "no registry yet at mlflow.db", "make pipeline"):
        assert words in answer.get_json()["detail"]
    assert str(told.home) not in answer.get_json()["detail"]
    assert client.get("/health/live").get_json() == {"status": "ok"}


def test_live_is_200_whatever_is_wrong(client_without_model: FlaskClient) -> None:
    assert client_without_model.get("/health/live").status_code == 200


def test_the_workers_own_problem_is_a_trouble_too() -> None:
    status = Status(version="3", checked=NOW, error="the registry is away")
    assert find_troubles(status, "model.onnx is damaged", 2, NOW) == [
        "the registry is away",
        "model.onnx is damaged",
    ]


@pytest.mark.parametrize(("minutes", "silent"), [(0, False), (2, False), (4, True)])
def test_a_follower_that_is_silent_for_long_is_a_trouble(minutes: int, silent: bool) -> None:
    status = Status(version="3", checked=NOW - timedelta(minutes=minutes))
    assert bool(find_troubles(status, None, 2, NOW)) is silent


def test_a_slow_follower_may_be_silent_for_longer() -> None:
    status = Status(version="3", checked=NOW - timedelta(minutes=30))
    assert find_troubles(status, None, 600, NOW) == []


def test_a_lone_sync_misses_no_follower() -> None:
    assert find_troubles(Status(), None, 2, NOW) == []


def test_it_says_which_release_runs_where_one_has_a_name(
    synced: Settings, settings_for: Callable[..., Settings]
) -> None:
    named = settings_for(GRADECAST_HOME=synced.home, GRADECAST_RELEASE="2026.11.21-7")
    assert create_app(named).test_client().get("/health/ready").get_json()["release"] == "2026.11.21-7"
    assert "release" not in create_app(synced).test_client().get("/health/ready").get_json()
