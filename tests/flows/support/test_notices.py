"""Who is told what: the automations on a real Prefect server, and what a webhook gets."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client

from data.errors import BadInput
from flows.rollback_flow import rollback
from flows.runtime import notices
from flows.runtime.commands import without_heartbeats
from flows.runtime.notices import OURS, ensure_notices
from flows.runtime.run_page import APPROVAL_WANTED, DRIFTED, PROMOTED, ROLLED_BACK, tell
from flows.runtime.server import prefect_server

PATIENCE = 60.0
RECEIVED: list[dict[str, str]] = []


class Webhook(BaseHTTPRequestHandler):
    """Notes what it is sent."""

    def do_POST(self) -> None:
        RECEIVED.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def webhook() -> Iterator[str]:
    """The address of a receiver."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hooks/secret-part"
        server.shutdown()
        thread.join()


@pytest.fixture
def client(prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    """A client of the session's server, with nobody to tell again afterwards."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    with prefect_server(tmp_path), without_heartbeats(), get_client(sync_client=True) as client:
        yield client
        ensure_notices("")


def ours(client: SyncPrefectClient) -> list[str]:
    return [each.name for each in client.read_automations() if each.name.startswith(OURS)]


def received(subject: str) -> dict[str, str]:
    """Wait for a notice; return it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for notice in RECEIVED:
            if notice["subject"] == subject:
                return notice
        time.sleep(0.2)
    raise AssertionError(f"{subject!r} did not come: {RECEIVED}")


def test_a_webhook_is_told_of_failures_and_of_what_happens_to_a_model(
    client: SyncPrefectClient, webhook: str
) -> None:
    names = ensure_notices(webhook)
    about = {"version": "5", "reason": "better: −0.046"}
    tell(PROMOTED, "grade-class", **about)
    tell(ROLLED_BACK, "grade-class", **about)
    tell(DRIFTED, "grade-class", verdict="loss", reason="loss: grades moved")
    tell(APPROVAL_WANTED, "grade-class", **about, approve="make approve VERSION=5", reject="no", hours=24.0)
    state = rollback(contract="nobody", return_state=True)
    assert len(names) == 7
    assert received("grade-class version 5 is champion")["text"].endswith("better: −0.046")
    assert received("grade-class version 5 was rolled back")
    assert "grades moved" in received("grade-class: loss")["text"]
    assert "make approve VERSION=5" in received("grade-class version 5 waits for a person")["text"]
    assert state.state_details.flow_run_id is not None
    run = client.read_flow_run(state.state_details.flow_run_id)
    failed = received(f"{run.name}: Bad input")["text"]
    assert "there is no contract 'nobody'" in failed
    assert f"/runs/flow-run/{run.id}" in failed


def test_notices_are_made_once_and_their_address_is_kept_secret(
    client: SyncPrefectClient, webhook: str
) -> None:
    first, second = ensure_notices(webhook), ensure_notices(webhook)
    assert sorted(ours(client)) == sorted(first) == sorted(second)
    block = client.read_block_document_by_name("gradecast", "custom-webhook", include_secrets=False)
    assert "secret-part" not in block.model_dump_json()


def test_nobody_is_told_any_more_where_nobody_is_named(client: SyncPrefectClient, webhook: str) -> None:
    ensure_notices(webhook)
    assert ensure_notices("") == []
    assert ours(client) == []


def test_a_block_that_is_not_there_is_bad_input_and_leaves_what_was_there(
    client: SyncPrefectClient, webhook: str
) -> None:
    ensure_notices(webhook)
    with pytest.raises(BadInput, match="Prefect has no block 'slack-webhook/ops'"):
        ensure_notices("slack-webhook/ops")
    assert len(ours(client)) == 7


@pytest.mark.slow
def test_a_monitor_that_is_not_heard_of_in_time_is_told_of(
    client: SyncPrefectClient, webhook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ours(client) == []
    monkeypatch.setattr(notices, "DAY_AND_MORE", notices.timedelta(seconds=10))
    ensure_notices(webhook)
    assert "No look of the monitor has ended well" in received("The monitor is late")["text"]
