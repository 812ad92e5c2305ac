"""Requests that the OpenAPI document suggests, good ones and bad ones."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import BaseSchema, Case, GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

__all__ = ["ask_many", "openapi"]
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]


def ask_many(document: BaseSchema, mode: str, count: int) -> set[int]:
    """Ask what the document suggests as many times as told, check each answer, return the statuses seen."""
    operations = [result.ok() for result in document.get_all_operations()]
    posts = [operation for operation in operations if operation.method.upper() == "POST"]
    cases = st.one_of([operation.as_strategy(generation_mode=GenerationMode(mode)) for operation in posts])
    seen: set[int] = set()

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=cases)
    def each(case: Case[Any]) -> None:
        answer = case.call()
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    each()
    return seen
