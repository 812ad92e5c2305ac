"""A contract with a column of every kind and role, students under it, and what hypothesis draws from it."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from data.contract.columns import Column, Kind, Role
from data.contract.contract import Contract, parse_contract

YAML = """\
name: tiny
title: A contract with a column of every kind
target:
  column: Grade
  title: Grade
  classes: {0: A, 1: B, 2: C}
  at_risk: [C]
  at_least: {A: 3.0, B: 2.0}
rule_of_thumb: Days
columns:
  Student: {title: Student, role: id, kind: integer, min: 1}
  Group: {title: Group, role: audit, kind: nominal, codes: {0: North, 1: South}}
  Hours: {title: Hours, kind: number, min: 0, max: 20, effect: raises}
  Days: {title: Days, kind: integer, min: 0, max: 30, effect: lowers}
  Club: {title: Club, kind: boolean}
  Help: {title: Help, kind: ordinal, codes: {0: None, 1: Some, 2: Much}}
  Job: {title: Job, kind: nominal, codes: {farm: Farm, shop: Shop, other: Other}}
  Born: {title: Born, kind: date, age_at: 2025-09-01, min: 5, max: 90}
  Sleep: {title: Sleep, kind: number, nullable: true}
  Trips: {title: Trips, kind: integer, min: 0, nullable: true}
  Award: {title: Award, kind: boolean, nullable: true}
  Level: {title: Level, kind: ordinal, nullable: true, codes: {1: Low, 2: High}}
  Lunch: {title: Lunch, kind: nominal, nullable: true, codes: {h: Home, s: School}}
  Early: {title: Early grade, role: leak, kind: number}
  Points: {title: Points, role: score, kind: number, min: 0, max: 4}
"""

FULL = {"Sleep": 7.5, "Trips": 2, "Award": 1, "Level": 2, "Lunch": "h"}
SURE = {"Group": 1, "Hours": 4.5, "Days": 3, "Club": 1, "Help": 2, "Job": "shop", "Born": "2010-05-31"}
STUDENT = {**SURE, **FULL}
"""A record that keeps the contract."""


def contract_of(text: str = YAML) -> Contract:
    """Check a contract's YAML."""
    return parse_contract(text, Contract, file=Path("tiny.yaml"))


def students(count: int = 3, **columns: Any) -> pd.DataFrame:
    """Return raw labelled rows that keep the contract, but for the columns given."""
    points = np.linspace(3.5, 1.5, count)
    rows = pd.DataFrame([STUDENT] * count).assign(
        Student=range(1, count + 1),
        Early=points,
        Points=points,
        Grade=np.where(points >= 3, 0, np.where(points >= 2, 1, 2)),
    )
    return rows.assign(**columns)


def values_of(column: Column) -> st.SearchStrategy[Any]:
    """Draw canonical values that a column allows."""
    low, high = column.limits
    values: st.SearchStrategy[Any]
    if column.dated:
        values = st.dates(date(1940, 1, 1), date(2020, 1, 1)).map(date.isoformat)
    elif column.coded:
        values = st.sampled_from(list(column.codes))
    elif column.kind is Kind.INTEGER:
        values = st.integers(int(max(low, -(2**31))), int(min(high, 2**31)))
    else:
        values = st.floats(max(low, -1e30), min(high, 1e30), allow_nan=False)
    return st.none() | values if column.nullable else values


def records_of(contract: Contract) -> st.SearchStrategy[dict[str, Any]]:
    """Draw records that keep a contract."""
    return st.fixed_dictionaries({column.name: values_of(column) for column in contract.asked})


def rows_of(contract: Contract) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw a few labelled rows, with everything that a training file holds and ids of their own."""
    drawn = {c.name: values_of(c) for c in contract.columns.values() if c.role not in (Role.ID, Role.LEAK)}
    drawn[contract.target.column] = st.sampled_from(list(contract.target.classes))
    rows = st.lists(st.fixed_dictionaries(drawn), min_size=1, max_size=6)
    if contract.id is None:
        return rows
    name = contract.id.name
    return rows.map(lambda found: [{**row, name: place + 1} for place, row in enumerate(found)])
