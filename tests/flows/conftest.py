"""A Dask cluster that the files about it share."""

from collections.abc import Iterator

import pytest

from flows.runtime.engine import Engine, running


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A local cluster of two workers, which take seconds each to start; one that is killed comes again."""
    with running(Engine.of("dask", workers=2)) as ready:
        yield ready
