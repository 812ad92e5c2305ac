"""Draft a contract, edit it, check a file against it: `python -m data.contract infer|edit|check FILE`."""

import argparse
import sys
from pathlib import Path

from data.errors import BadInput
from data.intake.check import check
from data.intake.dated_draft import draft_tables
from data.intake.draft import Wishes, draft_contract
from data.snapshots.tables import are_tables

WISHES = {
    "nominal": "column whose cells are names, not numbers",
    "leak": "column that is known too late",
    "audit": "column that is recorded for the fairness audit alone",
    "ignore": "column that is used for nothing",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, or 2 where something is to be mended."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BadInput as error:
        print(f"Bad input: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data.contract", description=__doc__)
    commands = parser.add_subparsers(required=True)
    infer = commands.add_parser("infer", help="draft a contract, with its guesses marked")
    infer.add_argument("file", type=Path, help="CSV, Parquet file or workbook; a folder or ZIP of tables")
    infer.add_argument("--target", required=True, help="column to forecast: a class, or a score to cut")
    infer.add_argument("--name", help="name of the contract (default: the file's)")
    infer.add_argument("--output", type=Path, help="file to write (default: the screen)")
    for option, what in WISHES.items():
        infer.add_argument(
            f"--{option}", action="append", default=[], metavar="COLUMN", help=f"{what}; a name or a pattern"
        )
    infer.set_defaults(run=_infer)
    edit = commands.add_parser("edit", help="write a contract on a local page, from a draft or as it is")
    edit.add_argument("file", help="CSV, Parquet file or workbook")
    edit.add_argument("--contract", type=Path, help="YAML file (default: the file's name, beside it)")
    edit.add_argument("--target", default="", help="column to forecast, where there is no contract yet")
    edit.add_argument("--port", type=int, default=0, help="of this machine (default: a free one)")
    edit.set_defaults(run=_edit)
    held = commands.add_parser("check", help="say everything that is wrong with a contract and a file")
    held.add_argument("file", help="CSV, Parquet file or workbook to train on, or tables")
    held.add_argument("--contract", default="grade_class", help="name or YAML file (default: %(default)s)")
    held.set_defaults(run=_check)
    return parser


def _infer(options: argparse.Namespace) -> int:
    if options.output is not None and options.output.exists():
        raise BadInput("there is a file already.", file=options.output, remedy="Name another, or move it.")
    wishes = Wishes(**{option: getattr(options, option) for option in WISHES})
    drafted = draft_tables if are_tables(str(options.file)) else draft_contract
    draft = drafted(options.file, options.target, options.name, wishes)
    if options.output is None:
        print(draft.text, end="")
        return 0
    options.output.write_text(draft.text, encoding="utf-8")
    for note in draft.assumed:
        print(f"Assumed: {note}")
    for line in draft.left_out:
        print(f"Note: {line}")
    guesses = draft.text.count("# guess")
    print(f"{options.output}: a draft with {guesses} guesses. Read each one, mend it, delete its mark.")
    return 0


def _edit(options: argparse.Namespace) -> int:
    from data.intake.editor import Desk, serve  # Flask, which the other commands do without

    path = options.contract or Path(options.file.partition("#")[0]).with_suffix(".yaml")
    desk = Desk.of(options.file, path)
    if options.target:
        desk.draft(options.target)
    serve(desk, options.port)
    return 0


def _check(options: argparse.Namespace) -> int:
    report = check(options.file, options.contract)
    for problem in report.problems:
        print(f"Problem: {problem}")
    for note in report.notes:
        print(f"Note: {note}")
    if not report.problems:
        print(f"{options.file} keeps the contract {options.contract}.")
    return 2 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
