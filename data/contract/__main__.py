"""Draft a contract from a file, or check a file against one: `python -m data.contract infer|check FILE`."""

import argparse
import sys
from pathlib import Path

from data.errors import BadInput
from data.intake.check import check
from data.intake.draft import draft_contract


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
    infer.add_argument("file", type=Path, help="CSV or Parquet file")
    infer.add_argument("--target", required=True, help="column to forecast: a class, or a score to cut")
    infer.add_argument("--name", help="name of the contract (default: the file's)")
    infer.add_argument("--output", type=Path, help="file to write (default: the screen)")
    infer.set_defaults(run=_infer)
    held = commands.add_parser("check", help="say everything that is wrong with a contract and a file")
    held.add_argument("file", help="CSV or Parquet file to train on")
    held.add_argument("--contract", default="grade_class", help="name or YAML file (default: %(default)s)")
    held.set_defaults(run=_check)
    return parser


def _infer(options: argparse.Namespace) -> int:
    text = draft_contract(options.file, options.target, options.name)
    if options.output is None:
        print(text, end="")
        return 0
    if options.output.exists():
        raise BadInput("there is a file already.", file=options.output, remedy="Name another, or move it.")
    options.output.write_text(text, encoding="utf-8")
    guesses = text.count("# guess")
    print(f"{options.output}: a draft with {guesses} guesses. Read each one, mend it, delete its mark.")
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
