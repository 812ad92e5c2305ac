"""Ask a person whether a challenger that has won may become the champion."""

from typing import Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for
from pydantic import BaseModel, ConfigDict, Field

from flows.registry.promotion import Verdict
from flows.reports.progress import open_console

POLL_SECONDS = 2
NOBODY = "time limit"
"""Who decides where no person answers."""


class Approval(RunInput):
    """The form in the Prefect UI."""

    decision: Literal["approve", "reject"] = Field(description="Shall it become the champion?")
    name: str = Field(min_length=1, max_length=200, description="Who decides")
    reason: str = Field(min_length=1, max_length=2_000, description="Why; kept in the promotion history")


class Answer(BaseModel):
    """What a person answered, or that none did."""

    model_config = ConfigDict(frozen=True)

    approved: bool
    by: str
    reason: str

    def applied(self, verdict: Verdict) -> Verdict:
        """Return the verdict of a challenger that has won, as this answer leaves it."""
        word = "approved" if self.approved else "rejected"
        return Verdict(
            self.approved, f"{word} by {self.by}: {self.reason}; {verdict.reason}", verdict.figures
        )


@flow(name="approval", flow_run_name="approve-{name}-version-{version}")
def ask_person(name: str, version: str, comparison: str, hours: float) -> Answer:
    """Pause until a person has filled in the form; raises FlowPauseTimeout when none has in time."""
    create_markdown_artifact(comparison, key="approval")
    where = url_for("flow-run", obj_id=flow_run.id) or "in the Prefect UI"
    open_console().print(
        f"approval: version {version} of {name} waits up to {hours:g} h for a person: {where}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    form = Approval.with_initial_data(description=comparison)
    given = pause_flow_run(form, timeout=max(1, round(3600 * hours)), poll_interval=POLL_SECONDS)
    return Answer(approved=given.decision == "approve", by=_plain(given.name), reason=_plain(given.reason))


def answer_of(name: str, version: str, comparison: str, hours: float) -> Answer:
    """Ask a person; without an answer in time nothing changes, which is a rejection."""
    try:
        return ask_person(name, version, comparison, hours)
    except FlowPauseTimeout:
        return Answer(approved=False, by=NOBODY, reason=f"nobody answered within {hours:g} h")


def _plain(text: str) -> str:
    """Return a text as one line that any database takes."""
    return " ".join(text.replace("\0", "").split())
