"""The tiny contract, and the session's bundle: open, or a copy to change."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from data.bundle.bundle import Bundle
from data.bundle.manifest import EXAMPLES
from data.contract.contract import Contract
from data.log.database import open_log
from tests.contract.postgres import Postgres, postgres
from tests.contract.tiny import contract_of


@pytest.fixture(scope="session")
def tiny() -> Contract:
    """A contract with a column of every kind and role."""
    return contract_of()


@pytest.fixture
def folder(bundle_folder: Path, tmp_path: Path) -> Path:
    """A copy of the bundle to change."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    """The bundle, open."""
    return Bundle.load(bundle_folder)


@pytest.fixture(scope="session")
def rows(bundle: Bundle) -> np.ndarray:
    """The feature matrix of its examples."""
    examples = json.loads((bundle.folder / EXAMPLES).read_bytes())
    return bundle.matrix([bundle.record.validate_python(example["record"]) for example in examples])


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL that all tests of a session share."""
    with postgres() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> sa.Engine:
    """A database for the log with nothing in it, of either kind."""
    if request.param == "sqlite":
        return open_log(f"sqlite:///{tmp_path / 'predictions.db'}")
    engine = open_log(request.getfixturevalue("server").url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    return engine
