"""A window judged: drift, quality, notes, and what was measured before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import sqlalchemy as sa
from mlflow import MlflowClient

from data.bundle.answers import risk_of
from data.contract.columns import PSEUDONYM
from data.contract.contract import Contract
from data.log.database import create_tables, overrides
from data.log.reading import Frame, Measurement, read_measurements, write_measurements
from data.rows.frames import matrix
from data.rows.quarantine import quarantine
from data.rows.spreadsheets import FIRST_ROW
from data.words import plural
from flows.drift_gate import (
    DRIFT,
    LEAST_ROWS,
    NO_LABELS,
    NO_REFERENCE,
    PASS,
    TOO_FEW_ROWS,
    Finding,
    verdict_of,
)
from flows.drift_gate.columns import (
    CODES,
    NUMBERS,
    ColumnTest,
    code_words,
    codes_p,
    number_words,
    numbers_p,
)
from flows.drift_gate.samples import Reference, draw, sound_rows, without_unasked
from flows.drift_gate.verdict import RELATION_ROWS, DriftVerdict, relation_findings
from flows.monitoring.checkpoints import by_checkpoint, days_of, judge_columns, mildest, references
from flows.monitoring.window import (
    Forecasts,
    Window,
    answered,
    by_group,
    compare_shadow,
    estimated,
    load_challenger,
    read_forecasts,
    realised,
    share_measured,
)
from flows.registry.store import Champion

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
    columns: DriftVerdict
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
        nothing = DriftVerdict(overall=NO_REFERENCE, rows=len(asked), reference_rows=0)
        return Judgement(NO_REFERENCE, ("There is no champion to compare with yet.",), nothing)
    trained = int(champion.bundle.manifest.training["rows"])
    reference = Reference(champion.reference(), trained)
    frame = without_unasked(asked.frame, contract)
    days = days_of(frame) if contract.dated else np.empty(0)
    against = references(reference, days, contract) if len(frame) else [reference]
    columns = judge_columns(frame, faults_of(asked.frame, contract), against, contract)
    enough = columns.overall != TOO_FEW_ROWS
    answers = answer_findings(asked.frame, against, champion, contract) if enough else ()
    relation = judge_relation(settled, reference, champion, contract)
    return conclude(columns, answers, relation)


def conclude(columns: DriftVerdict, answers: tuple[Finding, ...], relation: tuple[Finding, ...]) -> Judgement:
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
    if found.score is None or found.threshold is None or found.distance:
        return True
    return found.score <= found.threshold / CLEAR


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
    come_later = [contract.target.column, *([contract.score.name] if contract.score else [])]
    return faults[~(faults["column"].isin(come_later) & (faults["reason"] == "missing"))]


def sound_of(forecasts: Forecasts, contract: Contract) -> np.ndarray:
    """Return which rows (n,) have nothing wrong with them."""
    bad = faults_of(forecasts.frame, contract)["row"] - FIRST_ROW
    return ~forecasts.frame.index.isin(bad)


def answer_findings(
    asked: pd.DataFrame, against: Sequence[Reference], champion: Champion, contract: Contract
) -> tuple[Finding, ...]:
    """Compare what the champion answers to what was asked with what it answers on its reference sample.

    Where there are several, between two checkpoints, with each of them.
    """
    frames = [draw(asked, ANSWERS_ROWS, seed=0), *map(sound_rows, against)]
    shares = [champion.bundle.probabilities(matrix(frame, contract)) for frame in frames]
    labels = np.array(contract.target.labels)
    classes = [pd.Series(labels[each.argmax(axis=1)]) for each in shares]
    risks = [pd.Series(risk_of(each, contract.target)) for each in shares]
    mixes = [
        _answers(CLASS_MIX, CODES, codes_p(before, classes[0]), code_words(before, classes[0]))
        for before in classes[1:]
    ]
    levels = [
        _answers(AT_RISK, NUMBERS, numbers_p(before, risks[0]), number_words(before, risks[0]))
        for before in risks[1:]
    ]
    return mildest(mixes), mildest(levels, [float(each.mean()) for each in risks])


def _answers(name: str, test: ColumnTest, p_value: float, words: str) -> Finding:
    verdict = verdict_of(not p_value >= ANSWERS_ALPHA)
    return Finding(
        name=name, test=test.title, score=p_value, threshold=ANSWERS_ALPHA, verdict=verdict, words=words
    )


VERDICTS = ("agree", "disagree")


def override_shares(engine: sa.Engine, contract: Contract, window: Window) -> Iterator[Measurement]:
    """Yield the shares of agreeing and disagreeing notes of a window; nothing where there are none."""
    if not sa.inspect(engine).has_table(overrides.name):
        return
    inside = (
        overrides.c.contract == contract.name,
        overrides.c.at >= window.since,
        overrides.c.at < window.until,
    )
    with engine.connect() as connection:
        said = connection.execute(sa.select(overrides.c.verdict).where(*inside)).scalars().all()
    for verdict in VERDICTS if said else ():
        yield share_measured("override_share", np.array(said) == verdict, verdict)


NO_VERSION = "none"


@dataclass(frozen=True)
class Watched:
    """What was found in a window; `log` holds the forecasts of the year before its end."""

    contract: Contract
    window: Window
    version: str | None
    log: Forecasts
    asked: Forecasts
    settled: Forecasts
    judgement: Judgement
    measurements: tuple[Measurement, ...]

    @property
    def frame(self) -> Frame:
        """Return what the measurements are of."""
        return Frame(self.contract.name, self.version or NO_VERSION, self.window.since, self.window.until)

    def value(self, name: str, about: str = "") -> Measurement | None:
        """Return a figure that was measured, or None."""
        found = (figure for figure in self.measurements if (figure.name, figure.about) == (name, about))
        return next(found, None)


def watch(
    engine: sa.Engine, client: MlflowClient, contract: Contract, champion: Champion | None, window: Window
) -> Watched:
    """Judge and measure a window, and write the measurements down.

    The contract is the champion's where there is one: what was asked was checked by it. Raises
    sqlalchemy.exc.SQLAlchemyError where the log is away.
    """
    contract = champion.bundle.contract if champion else contract
    with engine.connect() as connection:
        create_tables(connection)
    log = read_forecasts(engine, contract, window.until)
    asked, settled = log.asked(window).newest(), log.settled(window).newest()
    # Counts so far are no drift from whole ones; what was answered to them is measured with the rest.
    judgement = judge(asked.whole(), settled.whole(), champion, contract)
    version = champion.version if champion else None
    figures = [*_of_findings(judgement), *answered(asked, contract)]
    if len(asked):
        bad = faults_of(asked.frame, contract)["row"].nunique()
        figures.append(Measurement("quarantine_rate", bad / len(asked), len(asked)))
    if champion is not None:
        trained = int(champion.bundle.manifest.training["rows"])
        trust = trusted(judgement, earlier_relation(engine, contract, champion.version, window.until))
        sound = settled.take(sound_of(settled, contract))
        figures += [*estimated(asked, trained, trust), *realised(sound, contract, trained)]
        figures += by_group(sound, contract)
        every = log.settled(window)
        graded = every.take(sound_of(every, contract)) if contract.dated else every
        figures += by_checkpoint(log.asked(window), graded, contract, trained, trust)
        if (challenger := load_challenger(client, contract)) is not None:
            figures += compare_shadow(asked.whole(), sound.whole(), champion, challenger, contract)
    figures += override_shares(engine, contract, window)
    found = Watched(contract, window, version, log, asked, settled, judgement, tuple(figures))
    write_measurements(engine, found.frame, found.measurements)
    return found


def trusted(judgement: Judgement, earlier: str | None) -> str:
    """Say whether the estimate can be trusted: "pass", "loss" where a grade shows a changed relation.

    Without grades enough it is as it was found last, `earlier`, or "no labels".
    """
    verdicts = {found.verdict for found in judgement.relation}
    if DRIFT in verdicts:
        return LOSS
    return PASS if verdicts == {PASS} else earlier or NO_LABELS


def earlier_relation(engine: sa.Engine, contract: Contract, version: str, until: datetime) -> str | None:
    """Return the last verdict on a champion's relation before a moment: "pass", "loss" or None."""
    found = read_measurements(engine, contract.name, names=["relation"], before=until)
    decided = [row for row in found if row["model_version"] == version and row["verdict"] in (PASS, DRIFT)]
    newest = [row["verdict"] for row in decided if row["until"] == decided[-1]["until"]]
    return None if not newest else LOSS if DRIFT in newest else PASS


def _of_findings(judgement: Judgement) -> Iterator[Measurement]:
    """Give the verdict with the share of columns that drifted, and each finding."""
    rows = judgement.columns.rows
    tested = [found for found in judgement.columns.columns if found.verdict in (PASS, DRIFT)]
    drifted = sum(found.verdict == DRIFT for found in tested)
    share = drifted / len(tested) if tested else None
    yield Measurement("drift_share", share, rows, verdict=judgement.verdict)
    for found in (*judgement.columns.columns, *judgement.answers):
        yield Measurement("drift", found.score, rows, about=found.name, verdict=found.verdict)
    for found in judgement.relation:
        about = found.name.removeprefix("relation: ")
        yield Measurement("relation", found.score, rows, about=about, verdict=found.verdict)
