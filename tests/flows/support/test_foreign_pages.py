"""What someone else's web page can do to the consoles on this machine, in a real browser: nothing."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import sync_playwright
from prefect.client.orchestration import SyncPrefectClient, get_client

from flows.runtime.server import password_for, port_to_use, prefect_server
from flows.runtime.services import Places, mlflow_server, supervised
from flows.settings import Settings

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 30.0
Script = Callable[[str, str, dict[str, str]], list[object]]

STRANGER = "stranger.example"
REBOUND = "10.stranger.example"
"""A name whose owner lets it point at this machine once his page is there: then his page is of our origin."""

# As JSON, which a browser asks about first; without a type, about which it does not ask; and by WebSocket.
PLANT = """async ({api, name}) => {
    const json = {'content-type': 'application/json'};
    const post = (body, more) => fetch(`${api}/flows/`, {method: 'POST', body, ...more});
    const status = asked => asked.then(answer => answer.status, () => 'refused');
    const event = JSON.stringify({
        id: crypto.randomUUID ? crypto.randomUUID() : '6f2b9c3e-0000-4000-8000-000000000000', event: name,
        occurred: new Date().toISOString(), resource: {'prefect.resource.id': 'a.page'}, payload: {},
    });
    const send = (protocol, first) => new Promise(done => {
        const socket = new WebSocket(`${api.replace('http', 'ws')}/events/in`, protocol);
        socket.onopen = () => { first.forEach(each => socket.send(each)); socket.close(); };
        socket.onclose = done;
    });
    await send([], [event]);
    await send(['prefect'], [JSON.stringify({type: 'auth', token: null}), event]);
    const untyped = new Blob([JSON.stringify({name: `${name} without a type`})]);
    await post(untyped, {mode: 'no-cors'}).catch(() => 0);
    return [await status(post(JSON.stringify({name}), {headers: json})),
            await status(fetch(`${api}/admin/settings`))];
}"""
PLANT_IN_MLFLOW = """async ({api, name}) => {
    const status = asked => asked.then(answer => answer.status, () => 'refused');
    const headers = {'content-type': 'application/json'};
    const body = JSON.stringify({name});
    const create = more => fetch(`${api}/experiments/create`, {method: 'POST', body, ...more});
    await create({mode: 'no-cors'}).catch(() => 0);
    return [await status(create({headers})),
            await status(fetch(`${api}/experiments/get-by-name?experiment_name=Default`))];
}"""


class Page(BaseHTTPRequestHandler):
    """A page on an origin that is none of ours."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>a page</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """The address of a stranger's page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{STRANGER}:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def on() -> Script:
    """Run a script in a page at an address; strangers' names are of this machine."""
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium (apt-get install chromium)")

    def run(address: str, script: str, given: dict[str, str]) -> list[object]:
        rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
        options = ["--no-sandbox", "--disable-dev-shm-usage", rules]
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=str(CHROMIUM), args=options)
            visited = browser.new_page()
            visited.goto(address)
            found: list[object] = visited.evaluate(script, given)
            browser.close()
        return found

    return run


@pytest.fixture
def client(prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    """A client of whoever started the server."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with prefect_server(tmp_path), get_client(sync_client=True) as client:
        yield client


def events(client: SyncPrefectClient, name: str) -> int:
    wanted = {"filter": {"event": {"name": [name]}}}
    return int(client.request("POST", "/events/filter", json=wanted).json()["total"])


def announce(client: SyncPrefectClient, name: str) -> None:
    """Send an event as a client may, and wait until the server has kept it."""
    event = {"id": str(uuid4()), "event": name, "occurred": "2026-11-21T00:00:00Z"}
    client.request("POST", "/events", json=[event | {"resource": {"prefect.resource.id": "ours"}}])
    end = time.monotonic() + PATIENCE
    while not events(client, name) and time.monotonic() < end:
        time.sleep(0.2)
    assert events(client, name) == 1


@pytest.mark.parametrize(
    ("rebound", "told"),
    [(False, ["refused", "refused"]), (True, [403, 401])],
    ids=["of another origin", "of a name that points at us"],
)
def test_a_strangers_page_starts_and_reads_nothing_at_the_prefect_server(
    client: SyncPrefectClient, prefect_api: str, page: str, on: Script, rebound: bool, told: list[object]
) -> None:
    name = f"planted-{uuid4()}"
    api = prefect_api.replace("127.0.0.1", REBOUND) if rebound else prefect_api
    address = api.replace("/api", "/ui-settings") if rebound else page
    assert on(address, PLANT, {"api": api, "name": name}) == told
    announce(client, f"{name} ours")
    assert events(client, name) == 0
    assert [flow.name for flow in client.read_flows() if name in flow.name] == []


def test_the_person_who_started_the_server_logs_in_on_its_pages(prefect_api: str, on: Script) -> None:
    logged_in = """async ({password, api}) => {
        const headers = {Authorization: `Basic ${btoa(password)}`};
        const token = await (await fetch(`${api}/csrf-token?client=page`, {headers})).json();
        Object.assign(headers, {'Prefect-Csrf-Token': token.token, 'Prefect-Csrf-Client': 'page'});
        const own = await fetch(`${api}/flows/count`, {method: 'POST', headers});
        return [own.status];
    }"""
    password = password_for(prefect_api)
    assert password is not None
    by_name = prefect_api.replace("127.0.0.1", "localhost")  # the pages ask 127.0.0.1, wherever they are read
    given = {"api": prefect_api, "password": password}
    assert on(by_name.replace("/api", "/ui-settings"), logged_in, given) == [200]


@pytest.mark.slow
def test_a_strangers_page_changes_and_reads_nothing_at_the_mlflow_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, on: Script
) -> None:
    monkeypatch.setenv("MLFLOW_PORT", str(port_to_use(0)))
    settings, places = Settings(home=tmp_path), Places()
    with supervised(mlflow_server(settings, places), tmp_path / "up", print) as server:
        server.wait_until_healthy()
        api = f"{places.mlflow_url}/ajax-api/2.0/mlflow"
        there = on(places.mlflow_url, PLANT_IN_MLFLOW, {"api": api, "name": "ours"})
        assert there == [200, 200], "its own page may"
        assert on(page, PLANT_IN_MLFLOW, {"api": api, "name": "planted"}) == ["refused"] * 2
        rebound = places.mlflow_url.replace("127.0.0.1", REBOUND)
        given = {"api": api.replace("127.0.0.1", REBOUND), "name": "planted"}
        assert on(f"{rebound}/health", PLANT_IN_MLFLOW, given) == [403, 403]
        names = """async ({api}) => (await (await fetch(`${api}/experiments/search?max_results=9`)).json())
            .experiments.map(each => each.name).sort()"""
        assert on(places.mlflow_url, names, {"api": api}) == ["Default", "ours"]
