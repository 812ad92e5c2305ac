"""A contract that is not the champion's: the gate says what changed and stops, instead of failing."""

import pytest

from data.contract.contract import FOLDER, Contract, parse_contract
from flows.drift import compare, contract_changes
from flows.drift_gate import DRIFT
from flows.process import process_records
from flows.registry.registration import Registered
from flows.registry.store import load_champion, open_registry
from flows.settings import Settings

YAML = (FOLDER / "grade_class.yaml").read_text(encoding="utf-8")
MUSIC = "  Music: {title: Music, kind: boolean, effect: raises, actionable: true}\n"


def changed(*replacements: tuple[str, str]) -> Contract:
    text = YAML
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after)
    return parse_contract(text, Contract, file="changed.yaml")


@pytest.mark.parametrize(
    ("replacement", "says"),
    [
        ((MUSIC, ""), "gone: Music"),
        ((MUSIC, f"{MUSIC}  Choir: {{title: Choir, kind: boolean}}\n"), "new: Choir"),
        ((MUSIC, "  Music: {title: Music, kind: integer, min: 0, max: 1}\n"), "other codes or kind: Music"),
        (("4: F} # best first", "4: E} # best first"), "other classes: GradeClass"),
    ],
)
def test_a_change_in_what_the_model_reads_or_answers_is_named(
    replacement: tuple[str, str], says: str, grade_class: Contract
) -> None:
    risk = [("at_risk: [D, F]", "at_risk: [D, E]")] if "E}" in replacement[1] else []
    assert says in contract_changes(grade_class, changed(replacement, *risk))


def test_a_change_in_words_or_ranges_is_none(grade_class: Contract) -> None:
    other = changed(("title: Music,", "title: Plays music,"), ("max: 30", "max: 60"))
    assert contract_changes(grade_class, other) == ""


def test_another_order_of_the_same_columns_is_a_change(grade_class: Contract) -> None:
    other = changed((MUSIC, ""), ("  Tutoring:", f"{MUSIC}  Tutoring:"))
    assert "another order" in contract_changes(grade_class, other)


def test_the_gate_stops_a_changed_contract_with_the_reason(
    settings: Settings, registered: Registered
) -> None:
    contract = changed((MUSIC, ""))
    processed = process_records("cohort://200?seed=8", contract, settings)
    champion = load_champion(open_registry(settings), registered.name)
    assert champion is not None
    verdict = compare(processed, contract, champion)
    assert verdict.overall == DRIFT
    assert verdict.reasons[0].startswith("The contract is not the champion's (gone: Music)")
    assert {finding.words for finding in verdict.relation} == {"the contract changed"}
