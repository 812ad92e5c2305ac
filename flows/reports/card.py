"""The model card: what a model is for, how good it is and where it fails, in Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import cast

from data.card import PartOfYear
from data.manifest import FamilyName
from data.model_words import method
from flows.reports import card_fairness, card_figures, card_purpose
from flows.reports.calls import calls_of
from flows.reports.evidence import Evidence
from flows.reports.fairness import fairness_audits
from flows.reports.markdown import bullets, cell, section, table
from flows.reports.part_year import before_the_end
from flows.reports.wording import count, listed, plural, reasons_of

COUNTS = {
    "rows": "Rows read",
    "clean": "Clean rows",
    "train_rows": "Training split",
    "test_rows": "Test split",
}


def model_card(
    evidence: Evidence, version_notes: Mapping[str, object], part_year: Sequence[PartOfYear] = ()
) -> str:
    """Return the card; `version_notes` are shown at its head as they are (version, alias, reason …)."""
    generated = evidence.data.get("generated") not in (None, False)
    parts = [
        _head(evidence, version_notes),
        card_purpose.purpose(evidence.contract, generated=generated),
        card_purpose.columns(evidence.contract),
        before_the_end(evidence, part_year),
        _data(evidence),
        _training(evidence),
        card_figures.quality(evidence),
        card_fairness.call_section(calls_of(evidence)),
        card_figures.each_class(evidence),
        card_figures.calibration(evidence),
        card_figures.grade_sets(evidence),
        card_fairness.fairness_section(fairness_audits(evidence), evidence.contract),
        card_purpose.limits(len(evidence.y)),
        card_purpose.duties(),
    ]
    return "\n\n".join(parts) + "\n"


def _head(evidence: Evidence, version_notes: Mapping[str, object]) -> str:
    about: dict[str, object] = {"Model": evidence.contract.model_name}
    about |= {name.capitalize(): value for name, value in version_notes.items()}
    about["Trained on"] = evidence.data.get("date")
    about["Code"] = str(evidence.data.get("git_commit") or "")[:12]
    said = [f"{cell(name)}: {cell(value)}" for name, value in about.items() if value not in (None, "")]
    return f"# {cell(evidence.contract.title)}: model card\n\n{bullets(said)}"


def _data(evidence: Evidence) -> str:
    data, contract = evidence.data, evidence.contract
    quarantined = data.get("quarantined")
    rows = [
        ("Source", _source(str(data.get("source")))),
        ("SHA-256", f"`{data.get('sha256')}`"),
        *((title, count(data.get(name))) for name, title in COUNTS.items()),
        ("Quarantined, by reason", reasons_of(quarantined if isinstance(quarantined, dict) else {})),
    ]
    checked = contract.target.bounds is not None and not contract.target.derived
    return section(
        "Data",
        cell(contract.description),
        table(["", ""], rows, words=True),
        "Quarantined rows were neither trained on nor tested on."
        + (" A label that contradicts its score counts as bad." if checked else ""),
        "The split is by a keyed hash of the student's id, so a student never moves from one to the other.",
    )


def _source(source: str) -> str:
    """Leave out the folders of a file: they say nothing to a reader, and may say too much."""
    return source if "://" in source else PurePath(source).name


def _training(evidence: Evidence) -> str:
    family, head = evidence.params.get("family", "xgboost"), evidence.params.get("kind", "probit")
    directed = [column.title for column in evidence.contract.features if column.effect]
    chosen = [(name, _short(value)) for name, value in evidence.params.items()]
    return section(
        "How it was trained",
        method(cast("FamilyName", family), str(head)),
        f"Of {plural(len(evidence.candidates), 'candidate')}, the one with the lowest cross-validated log "
        "loss was fitted again on the whole training split.",
        f"Held to their known direction: {listed(directed)}." if directed and head == "probit" else "",
        table(["Chosen", ""], chosen, words=True),
        bullets(map(cell, evidence.notes)),
    )


def _short(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_short(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
