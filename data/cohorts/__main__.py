"""Write a generated cohort as CSV files, to look at or to copy: `python -m data.cohorts ADDRESS FOLDER`."""

import argparse
import sys
from pathlib import Path

from data.cohorts.addresses import write_cohort
from data.contract.contract import load_contract
from data.errors import BadInput
from data.words import plural


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, or 2 for bad input."""
    options = _parser().parse_args(arguments)
    try:
        rows, _ = write_cohort(options.address, load_contract(options.contract), options.folder)
    except BadInput as error:
        print(f"Bad input: {error}", file=sys.stderr)
        return 2
    written = ", ".join(f"{name}.csv ({plural(count, 'row')})" for name, count in rows.items())
    print(f"{options.folder}: {written}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data.cohorts", description=__doc__)
    parser.add_argument("address", help="cohort://ROWS?seed=N&scenario=NAME&strength=X")
    parser.add_argument("folder", type=Path, help="a new folder, or an empty one")
    parser.add_argument("--contract", default="school_year", help="name (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
