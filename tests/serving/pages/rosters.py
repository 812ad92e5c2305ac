"""Classes of generated students as CSV files, and forms that bring them."""

import html
import io
import re
from typing import Any

import pandas as pd
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from data.cohorts.grades import generate

OUTCOME = ["GPA", "GradeClass"]
NAMES = ("Ada", "Ben", "Chidi", "Dana", "Emre")


def students(count: int = 12, seed: int = 4) -> pd.DataFrame:
    """Generated students as texts, with a name that the contract does not know."""
    frame = generate(count, seed=seed).drop(columns=OUTCOME)
    frame["StudyTimeWeekly"] = frame["StudyTimeWeekly"].round(1)
    frame = frame.astype(str)
    frame.insert(1, "Name", [f"{NAMES[place % 5]} {place}" for place in range(count)])
    return frame


def text_of(page: str) -> str:
    """What a page says, without its marks and with plain spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def csv_of(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def send(client: FlaskClient, path: str = "/roster", file: bytes | None = None, **form: Any) -> TestResponse:
    """Send a form with the token that it must bring."""
    headers = form.pop("headers", None)
    data: dict[str, Any] = {"csrf_token": token_of(client), **form}
    if file is not None:
        data["file"] = (io.BytesIO(file), "class.csv")
    return client.post(path, data=data, headers=headers, content_type="multipart/form-data")


def token_of(client: FlaskClient, path: str = "/roster") -> str:
    """The token that a client's forms must bring."""
    return field(client.get(path).text, "csrf_token")


def field(page: str, name: str) -> str:
    """What a hidden field of a page says."""
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found is not None, f"no field {name}"
    return found[1]


def shown(page: str) -> list[str]:
    """The ids of the students that a page shows, in order."""
    return re.findall(r'data-is="(?:name|id)">(\d+)<', page)


def listed(page: str) -> list[str]:
    """The rows that are on the list."""
    return re.findall(r'data-row="(\d+)" class="listed"', page)
