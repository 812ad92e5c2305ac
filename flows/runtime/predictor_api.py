"""Ask the predictor over HTTP, as anyone does: which version answers, and what it forecasts."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from flows.settings import Settings

PATIENCE = 30.0  # seconds for one answer of a busy machine
OWN_MACHINE = ("127.0.0.1", "localhost", "::1")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
CANARY = {"X-Gradecast-Canary": "true"}
"""Tells the predictor that no student is asked about: it is noted in the log."""


class Ready(NamedTuple):
    """What the predictor says of itself; None for what it does not say."""

    model: str | None
    version: str | None
    wanted: str | None
    detail: str
    """Why it does not answer with the version that is wanted."""


class PredictorApi:
    """The predictor at an address."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        own = urlsplit(self.url).hostname in OWN_MACHINE  # whose ports a proxy cannot reach
        self._opener = build_opener(ProxyHandler({})) if own else build_opener()
        self._key = {"Authorization": f"Bearer {key}"} if key else {}

    @classmethod
    def of(cls, settings: Settings) -> "PredictorApi | None":
        """Return the predictor that the settings name; None where they name none."""
        key = settings.api_key.get_secret_value() if settings.api_key else None
        return cls(settings.predictor_url, key) if settings.predictor_url else None

    def ready(self) -> Ready | None:
        """Ask which version answers; None where no predictor does."""
        try:
            _, said = self.ask("/health/ready")
        except (OSError, ValueError):
            return None
        if not isinstance(said, dict) or not {"model_version", "detail"} & said.keys():
            return None
        version, wanted = said.get("model_version"), said.get("wanted_version")
        return Ready(said.get("model"), version, wanted, str(said.get("detail", "")))

    def forecast(self, record: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Ask for one forecast as the canary; return the HTTP status and the answer, or what is wrong.

        Raises OSError where nothing answers, ValueError where the answer is no JSON.
        """
        return self.ask("/predict", record, CANARY)

    def ask(self, path: str, body: Any = None, headers: Mapping[str, str] = NO_HEADERS) -> tuple[int, Any]:
        """Get a path, or post JSON to it; return the HTTP status and the JSON answered, whatever it is.

        Raises OSError where nothing answers, ValueError where the answer is no JSON.
        """
        sent = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if sent else {}
        request = Request(f"{self.url}{path}", sent, {**kind, **self._key, **headers})
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
