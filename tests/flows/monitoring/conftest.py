"""A school with a log of its own, whose forecasts the session's champion answers."""

from pathlib import Path

import pytest

from flows.registry.bundling import Submission
from flows.registry.registration import Registered
from flows.registry.store import Champion, load_champion, open_registry
from flows.settings import Settings
from tests.flows.monitoring.school import School


@pytest.fixture(scope="session")
def champion(registered: Registered, settings: Settings) -> Champion:
    """The session's champion, open for forecasts."""
    found = load_champion(open_registry(settings), registered.name)
    assert found is not None
    return found


@pytest.fixture
def school(tmp_path: Path, champion: Champion) -> School:
    """A school that nobody has asked about yet."""
    return School(f"sqlite:///{tmp_path / 'predictions.db'}", champion)


@pytest.fixture(scope="session")
def sources(submission: Submission, settings: Settings) -> Path:
    """The state folder that holds the records that the champion learned from."""
    assert submission.processed.folder.is_dir()
    return settings.home
