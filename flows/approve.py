"""Approve: answer whether a version that has won, and waits for a person, becomes the champion.

A command without Prefect, as rollback is. The deployment `approve/default` is flows/rollback_flow.py.
"""

import argparse
import getpass
import sys

from mlflow.exceptions import MlflowException
from rich.console import Console
from rich.markdown import Markdown

from data.contract.contract import load_contract
from data.errors import BadInput, Stopped
from flows.registry.decisions import ApprovalAnswer, settle_answer, waiting
from flows.registry.rollout import watch
from flows.registry.store import open_registry
from flows.reports.artifacts import comparison_markdown
from flows.runtime.exit_codes import DONE, explain
from flows.runtime.progress import open_console, print_line
from flows.settings import Settings

GIVE = 'Give both: make approve VERSION=number REASON="…", or make reject with the same.'


def main(arguments: list[str] | None = None) -> int:
    """Answer from the command line, or show what waits, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.approve", description=__doc__)
    parser.add_argument(
        "--version", metavar="NUMBER", help="version to decide of (default: show those that wait)"
    )
    parser.add_argument("--reason", default="", help="why, for the history")
    parser.add_argument("--reject", action="store_true", help="leave the champion where it is")
    parser.add_argument("--by", default=getpass.getuser(), help="who, for the history (default: %(default)s)")
    parser.add_argument("--contract", default="grade_class", help="name or YAML file (default: %(default)s)")
    given = parser.parse_args(arguments)
    console, settings = open_console(), Settings()
    try:
        name = load_contract(given.contract).model_name
        if given.version is None:
            show_waiting(console, settings, name)
            return DONE
        if not given.reason.strip() or not given.by.strip():
            raise BadInput("a decision needs a reason, and a name.", remedy=GIVE)
        answer = ApprovalAnswer(approved=not given.reject, by=given.by, reason=given.reason)
        print_line(console, decide(settings, name, given.version, answer))
    except (BadInput, Stopped, MlflowException) as error:
        return explain(console, error, settings)
    return DONE


def decide(settings: Settings, name: str, version: str, answer: ApprovalAnswer) -> str:
    """Settle an answer, watch the predictor follow a promotion, and say what came of it.

    Raises what settle_answer raises, and Stopped where the canary took the promotion back.
    """
    verdict = settle_answer(settings, name, version, answer)
    if not verdict.promoted:
        return f"version {version} of {name} stays challenger: {verdict.reason}"
    canary = watch(settings, name, version)
    if canary.state == "rolled back":
        raise Stopped(
            f"version {version} of {name} was promoted ({verdict.reason}), and rolled back: {canary.detail}"
        )
    outcome = f"version {version} of {name} is champion: {verdict.reason}"
    return f"{outcome}. Canary {canary.state}: {canary.detail}."


def show_waiting(console: Console, settings: Settings, name: str) -> None:
    """Print what waits for a person, with what each was judged by, and how to answer."""
    questions = waiting(open_registry(settings), name)
    if not questions:
        print_line(console, f"{name}: nothing waits for a person.")
    for question in questions:
        console.print(
            Markdown(comparison_markdown(name, question.version, question.reason, question.figures))
        )
        over = " Its time is over: run the pipeline again, and it is asked about anew."
        late = over if question.is_over(settings.approval_hours) else ""
        print_line(console, f"Version {question.version} waits since {question.at:%Y-%m-%d %H:%M} UTC.{late}")
        print_line(console, GIVE)


if __name__ == "__main__":
    sys.exit(main())
