"""History: every promotion, rejection and rollback, by whom and why, and whether the record is whole."""

import argparse
import sys
from collections.abc import Sequence

import sqlalchemy as sa
from mlflow.exceptions import MlflowException
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.contract.contract import load_contract
from data.errors import BadInput
from data.log.database import open_log
from data.log.history import Entry, read, verify
from flows.registry.decisions import newest_entry
from flows.registry.store import open_registry
from flows.runtime.exit_codes import DONE, FAILED, explain
from flows.runtime.progress import open_console
from flows.settings import Settings

STYLES = {"asked": "cyan", "promoted": "green", "rejected": "yellow", "rolled back": "bold red"}


def main(arguments: list[str] | None = None) -> int:
    """Print the history; exit 1 when it is not as it was written."""
    parser = argparse.ArgumentParser(prog="python -m flows.history", description=__doc__)
    parser.add_argument("--contract", default="grade_class", help="name or YAML file (default: %(default)s)")
    parser.add_argument(
        "--json", action="store_true", help="one line of JSON for each entry, with all evidence"
    )
    given = parser.parse_args(arguments)
    console, settings = open_console(), Settings()
    try:
        name = load_contract(given.contract).model_name
        entries, faults = read_history(settings, name)
    except (BadInput, MlflowException) as error:
        return explain(console, error, settings)
    if given.json:
        sys.stdout.writelines(f"{entry.model_dump_json()}\n" for entry in entries)
    else:
        show(console, name, entries)
    for fault in faults:
        print(f"history: {fault}", file=sys.stderr)
    return FAILED if faults else DONE


def read_history(settings: Settings, name: str) -> tuple[list[Entry], list[str]]:
    """Return a model's entries, and what is wrong with them by what the registry has noted.

    Raises BadInput where their database does not answer.
    """
    try:
        entries = read(open_log(settings.database_url), name)
    except sa.exc.OperationalError as error:
        remedy = "Start that database, or correct GRADECAST_LOG_URL."
        raise BadInput(f"the history cannot be read: {error.orig}.", remedy=remedy) from error
    if settings.local_registry and not (settings.home / "mlflow.db").exists():
        return entries, verify(entries)
    return entries, verify(entries, newest_entry(open_registry(settings), name))


def show(console: Console, name: str, entries: Sequence[Entry]) -> None:
    """Print the entries as a table."""
    if not entries:
        console.print(f"{name}: nothing has been decided yet.", highlight=False)
        return
    table = Table(title=name, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("", "when (UTC)", "version", "what", "champion", "by", "why"):
        table.add_column(column, overflow="fold", no_wrap=column != "why")
    for entry in entries:
        table.add_row(
            str(entry.entry),
            f"{entry.at:%Y-%m-%d %H:%M}",
            entry.version,
            Text(entry.event, style=STYLES[entry.event]),
            entry.champion or "none",
            Text(entry.by),
            Text(entry.reason),
        )
    console.print(table, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
