"""The leakage sentinel: no feature may give the class away, unless the contract says why it may."""

import pandas as pd

from data.contract import Contract
from data.errors import Stopped
from data.features import feature_space
from data.frames import matrix, target_index
from data.giveaways import ROWS, SEED, Power, power_alone


def powers(frame: pd.DataFrame, contract: Contract) -> list[Power]:
    """Measure what each feature tells of the class alone, the most telling first; of clean, labelled rows."""
    frame = frame if len(frame) <= ROWS else frame.sample(ROWS, random_state=SEED)
    features, y, space = matrix(frame, contract), target_index(frame, contract), feature_space(contract)
    found = [
        power_alone(name, features[:, list(places)], y, contract.target.labels)
        for name, places in zip(space.columns, space.groups, strict=True)
    ]
    return sorted(found, key=lambda power: -power.explained)


def check_leakage(frame: pd.DataFrame, contract: Contract) -> tuple[str, ...]:
    """Return a note for each feature that gives the class away and may, as the contract says.

    Raises Stopped, with every name and its evidence, for those that it says nothing of.
    """
    strong = [power for power in powers(frame, contract) if power.gives_away]
    undeclared = [power for power in strong if not contract.columns[power.column].strong]
    if undeclared:
        found = "; ".join(f"{power.column}: {power.evidence}" for power in undeclared)
        raise Stopped(
            f"The class is given away. {found}. If that is known only with the outcome, give it the role "
            "leak in the contract; if it is known in time, say why there: `strong: …`. Nothing was trained."
        )
    return tuple(_note(power, contract) for power in strong)


def _note(power: Power, contract: Contract) -> str:
    why = contract.columns[power.column].strong
    return f"{power.column} gives the class away, as the contract declares ({why}): {power.evidence}."
