"""Rollback as a flow: `prefect deployment run rollback/default`, or the button in the UI."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.states import Failed

from data.contract import load_contract
from data.errors import Stopped
from flows.registry.rollback import RolledBack, roll_back
from flows.reports.markdown import cell
from flows.rollback import NO_REASON, told
from flows.settings import Settings


@flow(name="rollback")
def rollback(
    contract: str = "grade_class",
    to: str | None = None,
    reason: str = NO_REASON,
    by: str = "rollback deployment",
) -> RolledBack:
    """Turn back to the version of a number, or to the champion before this one."""
    try:
        done = roll_back(Settings(), load_contract(contract).model_name, to, reason=reason, by=by)
    except Stopped as stop:
        return Failed(name="Stopped", message=str(stop))  # type: ignore[return-value]
    create_markdown_artifact(f"## {cell(told(done))}\n\n{cell(done.reason)}", key="rollback")
    return done
