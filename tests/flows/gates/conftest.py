"""The rule itself as champion, its reference, and a short way to ask the gate."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from data.cohorts.grades import generate, true_probabilities
from data.contract.contract import Contract, load_contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from data.rows.records import feature_space
from flows.drift_gate.samples import QUARANTINE, Reference, faults_text
from flows.drift_gate.verdict import Champion, DriftVerdict, gate

Ask = Callable[..., DriftVerdict]


def reference_of(parsed: pd.DataFrame, bad: pd.DataFrame) -> Reference:
    """All rows, as a bundle keeps them, with what was wrong with each."""
    return Reference(parsed.assign(**{QUARANTINE: faults_text(parsed, bad)}), len(parsed))


@pytest.fixture(scope="session")
def contract() -> Contract:
    return load_contract("grade_class")


@pytest.fixture(scope="session")
def rule(contract: Contract) -> Champion:
    """A champion that knows the generator's rule: as good as one can be."""
    names = list(feature_space(contract).names)
    return lambda matrix: true_probabilities(pd.DataFrame(matrix, columns=names))


@pytest.fixture(scope="session")
def reference(contract: Contract) -> Reference:
    parsed = parse(generate(2_392, seed=1), contract)
    return reference_of(parsed, quarantine(parsed, contract)[1])


@pytest.fixture(scope="session")
def ask(contract: Contract, rule: Champion, reference: Reference) -> Ask:
    """Parse and quarantine raw rows, and ask the gate of them."""

    def ask(
        raw: pd.DataFrame, champion: Champion | None = rule, untrained: np.ndarray | None = None
    ) -> DriftVerdict:
        parsed = parse(raw, contract)
        _, bad = quarantine(parsed, contract)
        return gate(parsed, bad, reference, champion, untrained, contract)

    return ask
