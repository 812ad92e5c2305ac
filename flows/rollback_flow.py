"""What a person decides, as flows: `prefect deployment run rollback/default`, or the button in the UI."""

from typing import Annotated, Literal

from prefect import flow
from prefect.states import Completed, State
from pydantic import Field

from data.contract.contract import load_contract
from data.errors import BadInput, Stopped
from data.words import cell
from flows.approve import decide
from flows.registry.decisions import ApprovalAnswer
from flows.registry.rollout import RolledBack, roll_back
from flows.rollback import NO_REASON, describe_rollback
from flows.runtime.exit_codes import ended
from flows.runtime.run_page import ROLLED_BACK, SHORT, Given, done, publish, run_named, tag_run, tell
from flows.settings import Settings


def answer_named(given: Given) -> str:
    """Name the run that answers for what is answered: `approve version 5`."""
    return f"{given['decision']} version {given['version']}"


@flow(name="rollback", flow_run_name=run_named("rollback"), timeout_seconds=SHORT)
def rollback(
    contract: str = "grade_class",
    to: str | int | None = None,
    reason: str = NO_REASON,
    by: str = "rollback deployment",
) -> RolledBack:
    """Turn the champion back to an earlier version; the predictor follows within seconds.

    Args:
        contract: a contract's name, as grade_class, or its YAML file.
        to: number of a version that was champion once; left empty, the champion before this one.
        reason: why, for the history.
        by: who, for the history.
    """
    try:
        name = load_contract(contract).model_name
        back = roll_back(Settings(), name, None if to is None else str(to), reason=reason, by=by)
    except (BadInput, Stopped) as error:
        return ended(error, contract)
    told = describe_rollback(back)
    tag_run(contract)
    publish(contract, "rollback", f"## {cell(told)}\n\n{cell(by)}: {cell(reason)}", told)
    why = {"champion": back.champion, "reason": f"{by}: {reason}"}
    tell(ROLLED_BACK, name, version=back.version, **why)
    return done(f"{told[:-1]}: {reason}", back)


@flow(name="approve", flow_run_name=run_named(answer_named), timeout_seconds=SHORT)
def approve(
    version: str | int,
    decision: Literal["approve", "reject"],
    name: Annotated[str, Field(min_length=1, max_length=200)],
    reason: Annotated[str, Field(min_length=1, max_length=2_000)],
    contract: str = "grade_class",
) -> State[None]:
    """Decide of a version that has won and waits for a person.

    What it was judged by, beside the champion, is on the page of the run that asked.

    Args:
        version: its number.
        decision: approve makes it the champion, reject leaves the champion where it is.
        name: who decides, for the history.
        reason: why, for the history.
        contract: a contract's name, as grade_class, or its YAML file.
    """
    answer = ApprovalAnswer(approved=decision == "approve", by=name, reason=reason)
    try:
        outcome = decide(Settings(), load_contract(contract).model_name, str(version), answer)
    except (BadInput, Stopped) as error:
        return ended(error, contract)
    tag_run(contract)
    publish(contract, "approval", cell(outcome), outcome)
    return Completed(message=outcome)
