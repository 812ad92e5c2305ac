"""The tiny contract."""

import pytest

from data.contract import Contract
from tests.contract.tiny import contract_of


@pytest.fixture(scope="session")
def tiny() -> Contract:
    """A contract with a column of every kind and role."""
    return contract_of()
