"""What a person decides, as flows: `prefect deployment run rollback/default`, or the button in the UI."""

from typing import Annotated, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
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
from flows.settings import Settings


@flow(name="rollback")
def rollback(
    contract: str = "grade_class",
    to: str | int | None = None,
    reason: str = NO_REASON,
    by: str = "rollback deployment",
) -> RolledBack:
    """Turn back to the version of a number, or to the champion before this one."""
    try:
        done = roll_back(
            Settings(),
            load_contract(contract).model_name,
            None if to is None else str(to),
            reason=reason,
            by=by,
        )
    except (BadInput, Stopped) as error:
        return ended(error)
    create_markdown_artifact(f"## {cell(describe_rollback(done))}\n\n{cell(done.reason)}", key="rollback")
    return done


@flow(name="approve")
def approve(
    version: str | int,
    decision: Literal["approve", "reject"],
    name: Annotated[str, Field(min_length=1, max_length=200)],
    reason: Annotated[str, Field(min_length=1, max_length=2_000)],
    contract: str = "grade_class",
) -> State[None]:
    """Decide of a version that has won and waits for a person; `name` and `reason` go into the history."""
    answer = ApprovalAnswer(approved=decision == "approve", by=name, reason=reason)
    try:
        outcome = decide(Settings(), load_contract(contract).model_name, str(version), answer)
    except (BadInput, Stopped) as error:
        return ended(error)
    create_markdown_artifact(cell(outcome), key="approval")
    return Completed(message=outcome)
