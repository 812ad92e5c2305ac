"""What an engineer sees of a run who opens Prefect's pages, and MLflow's from there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from prefect.client.schemas.objects import State

from flows.pipeline import PipelineResult, grade_pipeline
from flows.registry.registration import Registered
from flows.runtime.commands import without_heartbeats
from flows.runtime.server import password_for, port_to_use, prefect_server
from flows.runtime.services import Places, mlflow_server, supervised
from flows.settings import Settings
from flows.training.grid import Grid

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 60_000  # milliseconds


@pytest.fixture(scope="module")
def mlflow_pages(
    registered: Registered, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """MLflow's pages of the session's registry."""
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium (apt-get install chromium)")
    assert registered.promoted
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_PORT", str(port_to_use(0)))
        places = Places()
    with supervised(mlflow_server(settings, places), tmp_path_factory.mktemp("up"), print) as server:
        server.wait_until_healthy()
        yield places.mlflow_url


@pytest.fixture
def state(
    mlflow_pages: str,
    prefect_api: str,
    settings: Settings,
    small_grid: Grid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> State[PipelineResult]:
    """The last state of a run of the pipeline, which reuses what the session has."""
    grid = tmp_path / "small.yaml"
    grid.write_text(small_grid.model_dump_json())
    for name, value in {
        "PREFECT_API_URL": prefect_api,
        "GRADECAST_HOME": str(settings.home),
        "GRADECAST_FOLDS": str(settings.folds),
        "GRADECAST_JOBS": "1",
        "GRADECAST_MLFLOW_UI": mlflow_pages,
    }.items():
        monkeypatch.setenv(name, value)
    with prefect_server(settings.home), without_heartbeats():
        ended: State[PipelineResult] = grade_pipeline(
            "cohort://600", grid=str(grid), because="loss: grades moved.", return_state=True
        )
    return ended


@pytest.fixture
def page(state: State[PipelineResult], prefect_api: str) -> Iterator[Page]:
    """A browser whose person is logged in at Prefect's pages."""
    assert state.is_completed()
    with sync_playwright() as started:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=options)
        visited = browser.new_page()
        visited.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        visited.goto(prefect_api.removesuffix("/api"))
        visited.evaluate("p => localStorage.setItem('prefect-password', btoa(p))", password_for(prefect_api))
        yield visited
        browser.close()


def test_the_page_of_a_run_tells_verdict_and_reason_and_leads_to_the_figures_in_mlflow(
    page: Page, state: State[PipelineResult], prefect_api: str, registered: Registered
) -> None:
    pages, run = prefect_api.removesuffix("/api"), state.state_details.flow_run_id
    page.goto(f"{pages}/runs/flow-run/{run}")
    expect(page.get_by_text("grade_class · retraining: loss").first).to_be_visible()
    expect(page.get_by_text(str(state.message)).first).to_be_visible()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("grade-class-summary").last.click()
    expect(page.get_by_role("heading", name=f"grade-class {state.message}").first).to_be_visible()
    expect(page.get_by_text("loss: grades moved.").first).to_be_visible()
    expect(page.get_by_text(registered.reason).first).to_be_visible()
    where = page.get_by_role("link", name="Its run, with candidates and plots").get_attribute("href")
    assert where is not None
    page.goto(where)
    accuracy = registered.metrics["test_accuracy"]
    expect(page.get_by_text("test_accuracy", exact=True).first).to_be_visible()
    expect(page.get_by_text(f"{accuracy:.6f}"[:7]).first).to_be_visible()
    expect(page.get_by_text(str(state.message)).first).to_be_visible()
    expect(page.get_by_role("link", name="Prefect run")).to_have_attribute(
        "href", f"{pages}/runs/flow-run/{run}"
    )
