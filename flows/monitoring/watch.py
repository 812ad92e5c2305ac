"""Look at a window of the log: judge it, measure it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from mlflow import MlflowClient

from data.contract import Contract
from data.log_database import create_tables
from data.measurements import Frame, Measurement, read_measurements, write_measurements
from flows.gates.findings import DRIFT, NO_LABELS, PASS
from flows.monitoring.judgement import LOSS, Judgement, faults_of, judge, sound_of
from flows.monitoring.notes import override_shares
from flows.monitoring.quality import answered, by_group, estimated, realised
from flows.monitoring.shadow import compare_shadow, load_challenger
from flows.monitoring.window import Forecasts, Window, read_forecasts
from flows.registry.champion import Champion

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
    judgement = judge(asked, settled, champion, contract)
    version = champion.version if champion else None
    figures = [*_of_findings(judgement), *_quarantined(asked, contract), *answered(asked, contract)]
    if champion is not None:
        trained = int(champion.bundle.manifest.training["rows"])
        trust = trusted(judgement, earlier_relation(engine, contract, champion.version, window.until))
        sound = settled.take(sound_of(settled, contract))
        figures += [*estimated(asked, trained, trust), *realised(sound, contract, trained)]
        figures += [*by_group(sound, contract), *_shadowed(client, asked, sound, champion, contract)]
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


def _quarantined(asked: Forecasts, contract: Contract) -> Iterator[Measurement]:
    if len(asked):
        bad = faults_of(asked.frame, contract)["row"].nunique()
        yield Measurement("quarantine_rate", bad / len(asked), len(asked))


def _shadowed(
    client: MlflowClient, asked: Forecasts, settled: Forecasts, champion: Champion, contract: Contract
) -> Iterator[Measurement]:
    challenger = load_challenger(client, contract)
    if challenger is not None:
        yield from compare_shadow(asked, settled, champion, challenger, contract)
