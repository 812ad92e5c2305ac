"""The README says what is so."""

import re
from pathlib import Path

import yaml

from data.cohorts.grades import SCENARIOS
from data.sources.databases import PASSWORD
from flows.settings import Settings as FlowSettings
from serving.settings import PredictorSettings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELSEWHERE = {
    "PREFECT_API_URL",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_PORT",
    "MLFLOW_PORT",
    PASSWORD,
}  # read by flows/runtime/server.py


def _flow_variables() -> set[str]:
    names = set()
    for name, field in FlowSettings.model_fields.items():
        alias = field.validation_alias
        names.add(str(alias.choices[0]) if alias is not None else f"GRADECAST_{name.upper()}")
    return names


def _serving_variables() -> set[str]:
    return {str(field.alias) for field in PredictorSettings.model_fields.values()}


def test_every_setting_is_in_the_table_and_nothing_else() -> None:
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", README, flags=re.MULTILINE))
    assert table == _flow_variables() | _serving_variables() | ELSEWHERE


def test_every_drift_scenario_is_named() -> None:
    assert "absences" in SCENARIOS
    assert [name for name in SCENARIOS if f"`{name}`" not in README] == []


def test_every_contract_that_comes_along_is_named() -> None:
    paths = (ROOT / "data" / "contract").glob("*.yaml")
    names = {yaml.safe_load(path.read_text(encoding="utf-8"))["name"] for path in paths}
    assert {"grade_class", "pass_fail"} <= names
    assert {name for name in names if f"`{name}`" not in README} == set()


def test_every_make_target_it_shows_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = set(re.findall(r"\bmake ([a-z-]+)\b", README))
    assert {"run", "pipeline", "test"} <= shown
    assert shown <= set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
