"""Rollback: make an earlier champion the champion again; the predictor follows within seconds.

A command without Prefect, whose import alone takes seconds: it must be quick, whatever else is down. The
deployment `rollback/default` is flows/rollback_flow.py.
"""

import argparse
import getpass
import sys

from mlflow.exceptions import MlflowException

from data.contract.contract import load_contract
from data.errors import BadInput, Stopped
from flows.registry.rollout import RolledBack, await_rollout, roll_back
from flows.runtime.exit_codes import DONE, explain
from flows.runtime.predictor_api import PredictorApi
from flows.runtime.progress import open_console, print_line
from flows.settings import Settings

NO_REASON = "no reason was given"


def main(arguments: list[str] | None = None) -> int:
    """Roll back from the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.rollback", description=__doc__)
    parser.add_argument("--to", metavar="VERSION", help="version to go back to (default: the one before)")
    parser.add_argument("--reason", default=NO_REASON, help="why, for the history")
    parser.add_argument("--by", default=getpass.getuser(), help="who, for the history (default: %(default)s)")
    parser.add_argument("--contract", default="grade_class", help="name or YAML file (default: %(default)s)")
    given = parser.parse_args(arguments)
    console, settings = open_console(), Settings()
    try:
        name = load_contract(given.contract).model_name
        done = roll_back(settings, name, given.to, reason=given.reason, by=given.by)
    except (BadInput, Stopped, MlflowException) as error:
        return explain(console, error, settings)
    print_line(console, describe_rollback(done))
    if not done.recorded:
        print_line(console, "Its database does not answer now: the next run writes the promotion history.")
    print_line(console, describe_rollout(done, settings))
    return DONE


def describe_rollback(done: RolledBack) -> str:
    """Say what was done, in one sentence."""
    return f"{done.name} is back at version {done.champion}, from version {done.version}."


def describe_rollout(done: RolledBack, settings: Settings) -> str:
    """Wait until the predictor has followed, and say so."""
    api = PredictorApi.of(settings)
    if api is None or done.champion is None:
        return "No predictor is named in GRADECAST_PREDICTOR_URL."
    detail = await_rollout(api, done.name, done.champion, settings.canary_seconds).detail
    return f"{detail[0].upper()}{detail[1:]}."


if __name__ == "__main__":
    sys.exit(main())
