"""Is the world still the one that the champion learned? What was asked, what it answers, what came of it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.columns import PSEUDONYM
from data.contract import Contract
from data.frames import FIRST_ROW, matrix
from data.quarantine import quarantine
from flows.gates import stattests
from flows.gates.findings import DRIFT, LEAST_ROWS, NO_REFERENCE, TOO_FEW_ROWS, Finding, verdict_of
from flows.gates.samples import Reference, draw, sound_rows, without_unasked
from flows.gates.verdict import RELATION_ROWS, Verdict, gate, relation_findings
from flows.gates.words import code_words, number_words
from flows.monitoring.window import Forecasts
from flows.registry.champion import Champion
from flows.reports.wording import plural

LOSS = "loss"
CLASS_MIX, AT_RISK = "answers: class mix", "answers: at-risk probability"
ANSWERS_ALPHA = 0.005
"""False alarms allowed of each of the two tests of answers."""
ANSWERS_ROWS = 2_500
"""Of more rows a difference would be significant that is none: the champion knows its reference by heart."""
CLEAR = 10
"""How far below its limit a p-value must be before one look is enough to retrain on: looks are many."""


@dataclass(frozen=True)
class Judgement:
    """The verdict on a window: pass, drift, loss, too few rows or no reference; and what it rests on.

    `columns` is the gate's verdict on what was asked, `answers` and `relation` are findings on what the
    champion answers to it and on the grades that came.
    """

    verdict: str
    reasons: tuple[str, ...]
    columns: Verdict
    answers: tuple[Finding, ...] = ()
    relation: tuple[Finding, ...] = ()
    clear: bool = False
    """Whether an alarm is clear enough to retrain on."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings on columns, answers and relation."""
        return (*self.columns.columns, *self.answers, *self.relation)


def judge(asked: Forecasts, settled: Forecasts, champion: Champion | None, contract: Contract) -> Judgement:
    """Judge what was asked and the grades that came, against what the champion was trained on."""
    if champion is None:
        nothing = Verdict(overall=NO_REFERENCE, rows=len(asked), reference_rows=0)
        return Judgement(NO_REFERENCE, ("There is no champion to compare with yet.",), nothing)
    trained = int(champion.bundle.manifest.training["rows"])
    reference = Reference(champion.reference(), trained, trained)
    frame = without_unasked(asked.frame, contract)
    columns = gate(frame, faults_of(asked.frame, contract), reference, None, None, contract)
    enough = columns.overall != TOO_FEW_ROWS
    answers = answer_findings(asked.frame, reference, champion, contract) if enough else ()
    relation = judge_relation(settled, reference, champion, contract)
    return conclude(columns, answers, relation)


def conclude(columns: Verdict, answers: tuple[Finding, ...], relation: tuple[Finding, ...]) -> Judgement:
    """Draw the verdict from the findings; grades that came outweigh what was asked."""
    alarms = [found for found in (*relation, *answers, *columns.columns) if found.verdict == DRIFT]
    lost = any(found.verdict == DRIFT for found in relation)
    verdict = LOSS if lost else DRIFT if alarms else columns.overall
    reasons = tuple(found.sentence for found in alarms) or columns.reasons
    if verdict == TOO_FEW_ROWS and columns.rows < LEAST_ROWS:
        reasons = (f"{plural(columns.rows, 'student')} asked about; {LEAST_ROWS} are needed to compare.",)
    return Judgement(verdict, reasons, columns, answers, relation, clear=any(map(is_clear, alarms)))


def is_clear(found: Finding) -> bool:
    """Tell whether an alarm is clear: far below its limit, or a distance, or what needs no test."""
    if found.score is None or found.threshold is None or found.test in _DISTANCES:
        return True
    return found.score <= found.threshold / CLEAR


_DISTANCES = {
    stattests.TITLES[name] for name in (stattests.RISE, stattests.WASSERSTEIN, stattests.JENSEN_SHANNON)
}


def judge_relation(
    settled: Forecasts, reference: Reference, champion: Champion, contract: Contract
) -> tuple[Finding, ...]:
    """Judge whether grades still follow from records as the champion learned, on students new to it."""
    sound = sound_of(settled, contract)
    usable = sound & ~champion.has_seen(settled.frame[PSEUDONYM]) & (settled.classes(contract) >= 0)
    rows = draw(settled.frame[usable], RELATION_ROWS, seed=0)
    return tuple(relation_findings(rows, reference, champion.bundle.probabilities, contract))


def faults_of(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return the table of what is wrong with records of the log; a grade that has not come is no fault."""
    _, faults = quarantine(frame, contract)
    waiting = (faults["column"] == contract.target.column) & (faults["reason"] == "missing")
    score = contract.score.name if contract.score else None
    return faults[~(waiting | ((faults["column"] == score) & (faults["reason"] == "missing")))]


def sound_of(forecasts: Forecasts, contract: Contract) -> np.ndarray:
    """Return which rows (n,) have nothing wrong with them."""
    bad = faults_of(forecasts.frame, contract)["row"] - FIRST_ROW
    return ~forecasts.frame.index.isin(bad)


def answer_findings(
    asked: pd.DataFrame, reference: Reference, champion: Champion, contract: Contract
) -> tuple[Finding, ...]:
    """Compare what the champion answers to what was asked with what it answers on its reference sample."""
    before, now = (
        champion.bundle.probabilities(matrix(frame, contract))
        for frame in (sound_rows(reference), draw(asked, ANSWERS_ROWS, seed=0))
    )
    labels = np.array(contract.target.labels)
    risky = [label in contract.target.at_risk for label in labels]
    classes = [pd.Series(labels[shares.argmax(axis=1)]) for shares in (before, now)]
    risks = [pd.Series(shares[:, risky].sum(axis=1), dtype=float) for shares in (before, now)]
    return (
        _answers(CLASS_MIX, stattests.CODES, stattests.codes_p(*classes), code_words(*classes)),
        _answers(
            AT_RISK,
            stattests.NUMBERS,
            stattests.numbers_p(*(risk.to_numpy() for risk in risks)),
            number_words(*risks),
        ),
    )


def _answers(name: str, test: str, p_value: float, words: str) -> Finding:
    drifted = not p_value >= ANSWERS_ALPHA
    return Finding(
        name=name,
        test=stattests.TITLES[test],
        score=p_value,
        threshold=ANSWERS_ALPHA,
        verdict=verdict_of(drifted),
        words=words,
    )
