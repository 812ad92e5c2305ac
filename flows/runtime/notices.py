"""Who is told what: Prefect's automations that tell of failures, drift, promotions and open questions."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict

from data.errors import BadInput
from flows.runtime.exit_codes import NAMES
from flows.runtime.run_page import APPROVAL_WANTED, DRIFTED, MODEL, PROMOTED, ROLLED_BACK

OURS = "gradecast: "
"""Begins the name of each automation."""
FLOWS = ["grade-pipeline", "drift-monitor", "batch-score", "rollback", "approve"]
ENDED_BADLY = ["Failed", "Crashed", "TimedOut", *NAMES.values()]
MONITOR = "drift-monitor"
DAY_AND_MORE = timedelta(hours=26)
RUN = "{{ flow_run.name }}: {{ flow_run.state.name }}"
RUN_BODY = "{{ flow_run.state.message }}\n{{ flow_run|ui_url }}"
PAYLOAD = "{{ event.payload.model }} version {{ event.payload.version }}"
WHY = "{{ event.payload.reason }}"
ANSWER = "Approve: {{ event.payload.approve }}\nReject: {{ event.payload.reject }}"
NOTICES: dict[str, tuple[str, str, str]] = {
    "a version waits for approval": (
        APPROVAL_WANTED,
        f"{PAYLOAD} waits for a person",
        f"{WHY}\n{ANSWER}\nWithin {{{{ event.payload.hours }}}} hours.",
    ),
    "drift": (DRIFTED, "{{ event.payload.model }}: {{ event.payload.verdict }}", WHY),
    "a version was promoted": (PROMOTED, f"{PAYLOAD} is champion", WHY),
    "a version was rolled back": (ROLLED_BACK, f"{PAYLOAD} was rolled back", WHY),
}
"""What is told of a model: the automation's name, the event, subject and body."""


def ensure_notices(wanted: str) -> list[str]:
    """Make the automations that tell whoever is named, in the place of what was there; return their names.

    `wanted` is a webhook's address, or a notification block as `slack-webhook/NAME`; where it is empty,
    nobody is told any more. Raises BadInput where there is no such block.
    """
    with get_client(sync_client=True) as client:
        block = _block(client, wanted) if wanted else None
        named = {each.name: each for each in automations(block)} if block else {}
        for known in client.read_automations():
            if known.name.startswith(OURS):
                client.delete_automation(known.id)
        for each in named.values():
            client.create_automation(each)
    return list(named)


def _block(client: SyncPrefectClient, wanted: str) -> UUID:
    """Return the block that sends: of a webhook's address it is made, with the address kept as a secret."""
    if "://" in wanted:
        made = CustomWebhookNotificationBlock(
            name="gradecast",
            url="{{address}}",
            json_data={"subject": "{{subject}}", "text": "{{subject}}\n{{body}}"},
            secrets=SecretDict({"address": wanted}),
        )
        saved: Any = made.save("gradecast", overwrite=True)
        return UUID(str(saved))
    kind, _, name = wanted.partition("/")
    try:
        return client.read_block_document_by_name(name, kind).id
    except ObjectNotFound as error:
        remedy = "Make it on the page Blocks, or give a webhook's address."
        raise BadInput(f"GRADECAST_NOTIFY: Prefect has no block {wanted!r}.", remedy=remedy) from error


def automations(block: UUID) -> Iterator[AutomationCore]:
    """Yield what is told, and when."""

    def notice(name: str, trigger: EventTrigger, subject: str, body: str) -> AutomationCore:
        action = SendNotification(block_document_id=block, subject=subject, body=body)
        return AutomationCore(name=f"{OURS}{name}", trigger=trigger, actions=[action])

    of_flows = {"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}
    failed = _when(*(f"prefect.flow-run.{state}" for state in ENDED_BADLY), related=of_flows)
    yield notice("a run ended badly", failed, RUN, RUN_BODY)
    late = _when("prefect.flow-run.Late", related=of_flows)
    yield notice("a run is late", late, RUN, f"Does a worker run?\n{RUN_BODY}")
    missed = EventTrigger(
        expect={"prefect.flow-run.Completed"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": MONITOR},
        posture=Posture.Proactive,
        threshold=1,
        within=DAY_AND_MORE,
    )
    told = "No look of the monitor has ended well for 26 hours: see its runs, and whether a worker is there."
    yield notice("the monitor is late", missed, "The monitor is late", told)
    for name, (event, subject, body) in NOTICES.items():
        yield notice(name, _when(event, resource={"prefect.resource.id": f"{MODEL}*"}), subject, body)


def _when(*events: str, resource: dict[str, str] | None = None, related: Any = None) -> EventTrigger:
    return EventTrigger(
        expect=set(events),
        match=resource or {},
        match_related=related or {},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
