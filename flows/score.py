"""Batch score: a roster too large for HTTP in, the same rows with their forecasts out."""

import argparse
import hashlib
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from prefect import flow, task
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from data.bundle.bundle import Bundle
from data.contract.columns import ELAPSED
from data.contract.contract import Contract, load_contract
from data.contract.dated import WHOLE, Said
from data.errors import BadInput, Stopped
from data.log.settings import LogSettings
from data.sources.databases import is_table, set_aside, without_secrets
from data.sources.files import WORKBOOKS, split_sheet
from data.words import TRAIN_ONE, bullets, cell, count, plural, table
from flows.runtime.commands import run_flow
from flows.runtime.engine import Engine, EngineName, running
from flows.runtime.exit_codes import ended
from flows.runtime.progress import stage
from flows.runtime.run_page import LONGEST, Given, done, publish, run_named, short_name, shown_search, tag_run
from flows.runtime.runs import DELAYS, RETRIES, may_pass
from flows.scoring.parts import Parts, PartScorer, ScoreTally, make_log
from flows.scoring.rosters import RosterSource, day_asked, holds_tables, open_roster, opened_roster
from flows.scoring.sinks import check_sink, write_sink
from flows.settings import Settings


def score_markdown(scored: Mapping[str, Any]) -> str:
    """Say how many rows were scored, by which version, and where they are; takes a `ScoreSummary`."""
    tally = scored["tally"]
    sound = tally["rows"] - tally["errors"]
    lines = [("Scored", count(sound)), ("With an error", count(tally["errors"]))]
    ranked = sorted(tally["reasons"].items(), key=lambda item: -item[1])
    lines += [(cell(reason), count(rows)) for reason, rows in ranked]
    return "\n\n".join(
        (
            f"## Scored by {cell(scored['name'])} version {scored['version']}",
            f"From `{scored['source']}` to `{scored['out']}`",
            *([f"As of {_told(scored['as_of'])}"] if scored["as_of"] else []),
            table(["", "rows"], lines),
            bullets(map(cell, (*scored["notes"], *scored["assumed"]))),
        )
    )


def _told(as_of: str) -> str:
    return f"day {as_of}" if WHOLE.fullmatch(as_of) else as_of


class ScoreSummary(BaseModel):
    """What was scored by which version, and where it is."""

    model_config = ConfigDict(frozen=True)

    source: str
    out: str
    name: str
    version: str
    tally: ScoreTally
    assumed: tuple[str, ...] = ()
    as_of: str = ""
    notes: tuple[str, ...] = ()


def default_out(source: str, settings: Settings, contract: Contract, as_of: Said = None) -> str:
    """Return where a scored roster goes unless told: beside nothing of the person's, in `scores/`.

    What is scored of tables is a file for each day.
    """
    if holds_tables(source, contract):
        name = Path(urlsplit(without_secrets(source)).path.rstrip("/")).stem or contract.name
        return str(settings.home / "scores" / f"{name}-scored-{day_asked(source, contract, as_of)}.csv")
    if is_table(source):
        scored, found = re.subn(r"([?&]table=[^&]*)", r"\1_scored", source, count=1)
        if not found:
            remedy = "Name a file or a table for the forecasts with OUT=, or --out."
            raise BadInput(f"{without_secrets(source)}: a query has no table of its own.", remedy=remedy)
        return scored
    path = split_sheet(Path(source))[0]
    suffix = ".csv" if path.suffix.lower() in WORKBOOKS else path.suffix
    return str(settings.home / "scores" / f"{path.stem}-scored{suffix}")


def load_model(contract_name: str, model: str, settings: Settings) -> tuple[str, Bundle]:
    """Load the version of an alias or a number: its number and its bundle; raises BadInput without one."""
    from flows.registry.store import load_bundle, open_registry, version_named  # two seconds to import

    contract = load_contract(contract_name)
    client = open_registry(settings)
    version = version_named(client, contract.model_name, model)
    if version is None:
        remedy = f"{TRAIN_ONE}, or name another with --model."
        raise BadInput(f"{contract.model_name} has no version or alias {model!r}.", remedy=remedy)
    return version, load_bundle(contract.model_name, version)


def check_part(elapsed: float | None) -> None:
    """Raise BadInput for what is no part of a period."""
    if elapsed is not None and not 0 < elapsed <= 1:
        remedy = "Give a part of it above 0 and up to 1, such as 0.5."
        raise BadInput(f"{elapsed:g} is no part of the period that can have passed.", remedy=remedy)


def check_elapsed(elapsed: float | None, roster: RosterSource, bundle: Bundle) -> None:
    """Raise BadInput where how much of the period has passed cannot be used by this model."""
    said = ELAPSED in roster.columns and ELAPSED not in bundle.contract.columns and not bundle.foresees
    if bundle.no_elapsed and (said or elapsed is not None):
        reason = f"how much of the period has passed cannot be used: {bundle.no_elapsed}."
        raise BadInput(reason, file=roster.name, column=ELAPSED if said else None)


def parts_folder(
    roster: RosterSource, contract: str, version: str, settings: Settings, elapsed: float | None = None
) -> Path:
    """Return where the parts are until all are done: its own for each roster, version, id key and time."""
    named = (roster.name, contract, version, settings.id_key)
    more = *([roster.day] if roster.day else []), *([] if elapsed is None else [elapsed])
    identity = repr((*named, *more))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return settings.home.absolute() / "scores" / f".parts-{digest}"


@task(
    task_run_name="score part after part",
    retries=RETRIES,
    retry_delay_seconds=DELAYS,
    retry_condition_fn=may_pass,
)
@stage("score")
def score_roster(
    data: str,
    contract: str,
    out: str,
    model: str,
    engine: Engine,
    *,
    log: bool,
    elapsed: float | None = None,
    as_of: Said = None,
) -> ScoreSummary:
    """Score what has no part yet, and write the whole; a retry goes on where it stopped."""
    settings = Settings()
    version, bundle = load_model(contract, model, settings)
    url = LogSettings.from_environment().database_url if log else None
    if url is not None:
        settings.refuse_public_key()
        make_log(url)
    with opened_roster(data, bundle.contract, as_of, threads=settings.jobs) as roster:
        check_elapsed(elapsed, roster, bundle)
        folder = parts_folder(roster, bundle.contract.name, version, settings, elapsed)
        scorer = PartScorer(bundle.folder.absolute(), version, settings.id_key, url, elapsed)
        parts = Parts(roster, folder, scorer, engine, settings.jobs)
        with shown_search(contract, "batch score") as on_progress:
            rows = _checked(parts.tables(on_progress), parts, folder, roster)
            write_sink(out, rows, roster.delimiter, bom=roster.bom)
    shutil.rmtree(folder)
    return ScoreSummary(
        source=roster.name,
        out=without_secrets(out),
        name=bundle.contract.model_name,
        version=version,
        tally=parts.tally,
        assumed=roster.assumed,
        as_of=roster.day,
        notes=roster.notes,
    )


def _checked(
    tables: Iterator[pa.Table], parts: Parts, folder: Path, roster: RosterSource
) -> Iterator[pa.Table]:
    """Yield the tables; raises BadInput after the last, so that none is kept, unless a row was scored."""
    yield from tables
    tally = parts.tally
    if not tally.rows:
        raise BadInput("there are no rows.", file=roster.name, remedy="Give a roster with students in it.")
    if tally.errors == tally.rows:
        shutil.rmtree(folder)
        remedy = "Nothing was written: mend the roster, or name the contract that it is for."
        reason = f"none of its {count(tally.rows)} rows can be scored: {tally.commonest()}."
        raise BadInput(reason, file=roster.name, remedy=remedy)


def roster_named(given: Given) -> str:
    """Name a run for the roster that it scores."""
    return f"score {short_name(str(given['data']))}"


@flow(name="batch-score", flow_run_name=run_named(roster_named), timeout_seconds=LONGEST)
def batch_score(
    data: str,
    contract: str = "grade_class",
    out: str | None = None,
    model: str | int = "champion",
    log: bool = True,
    engine: EngineName = "local",
    scheduler: str = "",
    elapsed: float | None = None,
    as_of: Said = None,
) -> ScoreSummary:
    """Score a roster too large for HTTP: the same rows out, with their forecasts.

    On Dask, the workers see the state folder under the same path, and the log's database.

    Args:
        data: the roster: a CSV or Parquet file or a database's table, as the worker sees it; of a contract
            with dates, what holds its tables.
        contract: a contract's name, as grade_class, or its YAML file.
        out: file or new table to write; left empty, in `scores` of the state folder, or a table beside it.
        model: an alias, as champion, or a version's number.
        log: whether the forecasts go into the prediction log, which the monitor reads.
        engine: where parts are scored: by processes of the run, or on a Dask cluster.
        scheduler: of Dask, as tcp://HOST:8786; left empty, a cluster on the worker's machine.
        elapsed: how much of the period has passed, above 0 and up to 1, where a column accumulates; a column
            of that name says it row by row. Left empty, all of it.
        as_of: of a contract with dates, the day or date to forecast for; left empty, today.
    """
    try:
        loaded = load_contract(contract)
        target = out or default_out(data, Settings(), loaded, as_of)
        check_roster(data, loaded, as_of)
        check_sink(target)
        check_part(elapsed)
        tag_run(loaded.name)
        with running(Engine.of(engine, scheduler)) as ready:
            scored: ScoreSummary = score_roster(
                data, contract, target, str(model), ready, log=log, elapsed=elapsed, as_of=as_of
            )
    except (BadInput, Stopped) as error:
        return ended(error, contract)
    told = f"{plural(scored.tally.rows, 'row')} scored by version {scored.version}, to {scored.out}"
    publish(contract, "batch-score", score_markdown(scored.model_dump()), told)
    return done(told, scored)


def main(arguments: list[str] | None = None) -> int:
    """Score a roster from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.score", description=__doc__)
    table = "sqlite:///file.db?table=NAME or postgresql://…?table=NAME"
    about = f"CSV or Parquet file, or {table}; of a contract with dates, what holds its tables"
    parser.add_argument("--data", required=True, help=about)
    parser.add_argument(
        "--as-of", help="day or date to forecast for, of a contract with dates (default: today)"
    )
    parser.add_argument("--contract", default="grade_class", help="name or YAML file (default: %(default)s)")
    parser.add_argument("--out", help="file or new table to write (default: in scores/ of the state)")
    parser.add_argument("--model", default="champion", help="alias or version (default: %(default)s)")
    parser.add_argument(
        "--no-log", dest="log", action="store_false", help="leave the prediction log as it is"
    )
    passed = "how much of the period has passed, above 0 and up to 1 (default: all of it)"
    parser.add_argument("--elapsed", type=float, help=passed)
    parser.add_argument("--engine", default="local", help="local or dask (default: %(default)s)")
    parser.add_argument("--scheduler", default="", help="of Dask, tcp://HOST:PORT (default: a local cluster)")
    options = parser.parse_args(arguments)
    registry = partial(import_module, "flows.registry.store")
    return run_flow(batch_score, vars(options), lambda: check_input(options), show, registry)


def check_input(options: argparse.Namespace) -> None:
    """Raise BadInput for what can be told before anything is started."""
    Engine.of(options.engine, options.scheduler)
    check_part(options.elapsed)
    options.data, options.out = set_aside([options.data, options.out])
    contract = load_contract(options.contract)
    check_roster(options.data, contract, options.as_of)
    check_sink(options.out or default_out(options.data, Settings(), contract, options.as_of))


def check_roster(data: str, contract: Contract, as_of: Said) -> None:
    """Raise BadInput where a roster cannot be read, before anything is begun."""
    day = day_asked(data, contract, as_of)
    if not holds_tables(data, contract):
        open_roster(data, contract, day if isinstance(day, int) else None)


def show(console: Console, scored: ScoreSummary, settings: Settings) -> None:  # noqa: ARG001
    """Print what became of the roster."""
    tally = scored.tally
    day = f" as of {_told(scored.as_of)}" if scored.as_of else ""
    by = f"{scored.name} version {scored.version}"
    console.print(f"{tally.rows:,} rows of {scored.source} scored{day} by {by}")
    if tally.errors:
        rows = plural(tally.errors, "row")
        console.print(f"{rows} break the contract, {tally.commonest()}: see their column `error`")
    for note in scored.notes:
        console.print(note)
    for note in scored.assumed:
        console.print(f"Assumed: {note}")
    console.print(f"Written to {scored.out}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
