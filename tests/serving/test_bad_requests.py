"""Requests made from the OpenAPI document, to it and against it: no answer is a server error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from serving.app import create_app
from serving.settings import Settings
from tests.serving.running import running, wait_until

FEW, MANY = 60, 10_000  # of each mode
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
USUAL = {GenerationMode.POSITIVE: {200, 202}, GenerationMode.NEGATIVE: {400, 422}}
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]


def cases_of(schema: BaseSchema, mode: GenerationMode) -> st.SearchStrategy[Case[Any]]:
    """Requests to every operation that takes a body or a query."""
    operations = [result.ok() for result in schema.get_all_operations()]
    asked = [operation for operation in operations if operation.method.upper() == "POST"]
    return st.one_of([operation.as_strategy(generation_mode=mode) for operation in asked])


def ask_many(
    cases: st.SearchStrategy[Case[Any]], count: int, ask: Callable[[Case[Any]], Response]
) -> set[int]:
    """Ask as many times as told, check each answer, and return the statuses that were seen."""
    seen: set[int] = set()

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=cases)
    def each(case: Case[Any]) -> None:
        answer = ask(case)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    each()
    return seen


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: str(mode.value))
def test_no_request_that_the_document_suggests_is_a_server_error(
    synced: Settings, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(synced))
    statuses = ask_many(cases_of(schema, mode), FEW, lambda case: case.call())
    assert statuses <= {200, 202, 400, 405, 413, 415, 422}
    assert statuses & USUAL[mode]


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_twenty_thousand_bad_requests_kill_no_worker_and_none_is_a_server_error(
    tmp_path: Path, bundle_folder: Path
) -> None:
    with running(tmp_path / "home", GRADECAST_MODEL_URI=bundle_folder) as server:
        wait_until(lambda: server.ready()[0] == 200, "there is a model")
        workers = sorted(server.workers())
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
        for mode in MODES:
            statuses = ask_many(cases_of(schema, mode), MANY, lambda case: case.call())
            assert max(statuses) < 500
        assert sorted(server.workers()) == workers
