"""What each stage goes by, and what it does not: one file, or one word, changed at a time."""

import shutil
from pathlib import Path

import pytest

from data.contract.contract import Contract
from flows.process import process_records
from flows.runtime.workspace import ROOT, code_digest, contract_part
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid

PROCESS, TRAIN = "flows/process.py", "flows/train.py"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree."""
    place = tmp_path_factory.mktemp("tree")
    for folder in ("data", "flows"):
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def changed(tree: Path, file: str) -> set[str]:
    """Return the stages whose code digest another byte in a file changes."""
    code_digest.cache_clear()
    before = {stage: code_digest(stage, root=tree) for stage in (PROCESS, TRAIN)}
    content = (tree / file).read_bytes()
    (tree / file).write_bytes(content + b"\n# another word\n")
    code_digest.cache_clear()
    after = {stage: code_digest(stage, root=tree) for stage in (PROCESS, TRAIN)}
    (tree / file).write_bytes(content)
    return {stage for stage in before if before[stage] != after[stage]}


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("flows/process.py", {PROCESS}),
        ("flows/train.py", {TRAIN}),
        ("flows/training/rows.py", {TRAIN}),
        ("data/contract/leakage.py", {TRAIN}),
        ("flows/training/fit.py", {TRAIN}),
        ("flows/processing/chunks.py", {PROCESS, TRAIN}),
        ("flows/reports/data_report.py", {PROCESS}),
        ("data/rows/frames.py", {PROCESS, TRAIN}),
        ("data/contract/contract.py", {PROCESS, TRAIN}),
        ("data/bundle/card_text.py", set()),
        ("data/contract/pass_fail.yaml", set()),
        ("flows/grids/wide.yaml", set()),
        ("flows/reports/artifacts.py", set()),
        ("flows/registry/promotion.py", set()),
        ("flows/monitor.py", set()),
        ("flows/settings.py", set()),
        ("data/processes.py", set()),
    ],
)
def test_a_file_that_changes_is_a_change_of_the_stages_that_use_it(
    tree: Path, file: str, stages: set[str]
) -> None:
    assert changed(tree, file) == stages


def test_all_code_of_a_folder_has_a_digest_too(tree: Path) -> None:
    before = code_digest("data", root=tree)
    (tree / "data" / "contract" / "pass_fail.yaml").write_text("name: other")
    code_digest.cache_clear()
    assert code_digest("data", root=tree) != before


def reused(contract: Contract, settings: Settings, grid: Grid) -> tuple[bool, bool]:
    """Tell whether processing and training find their work done."""
    processed = process_records("cohort://600", contract, settings)
    return processed.reused, train_model(processed, contract, grid, settings).reused


def with_column(contract: Contract, name: str, **words: object) -> Contract:
    columns = contract.columns | {name: contract.columns[name].model_copy(update=words)}
    return contract.model_copy(update={"columns": columns})


@pytest.mark.usefixtures("submission")
def test_a_sentence_of_the_contract_repeats_nothing_and_a_title_the_report_alone(
    grade_class: Contract, settings: Settings, small_grid: Grid
) -> None:
    told = with_column(grade_class, "Absences", help="Days away.", actionable=False, accumulates=False)
    told = told.model_copy(update={"description": "Another sentence."})
    assert reused(told, settings, small_grid) == (True, True)
    titled = with_column(grade_class, "Absences", title="Days away")
    assert reused(titled, settings, small_grid) == (False, True)


def test_what_a_column_may_hold_and_how_it_works_are_parts_that_count(grade_class: Contract) -> None:
    part = contract_part(grade_class)
    for words in ({"max": 31}, {"effect": None}, {"title": "Days away"}):
        assert contract_part(with_column(grade_class, "Absences", **words)) != part
    assert contract_part(with_column(grade_class, "Absences", effect=None), "effect") == contract_part(
        grade_class, "effect"
    )
    assert contract_part(with_column(grade_class, "Absences", help="Days.")) == part
