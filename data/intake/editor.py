"""A local page to write a contract: `python -m data.contract edit FILE`.

It binds to this machine alone and answers nobody without the token that the command prints. It needs no
JavaScript. What is saved is the same commented YAML that `infer` drafts; a column that was read loses the
marks of its guesses. Check and training are started from it, the latter as the command that they are.
"""

import logging
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    redirect,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from data.contract.columns import Kind, Role
from data.contract.contract import IGNORE, Contract, parse_contract
from data.contract.yaml_files import read_text
from data.durable import write_whole
from data.errors import BadInput
from data.intake.check import Report, check
from data.intake.columns import MOST_NAMES, codes_of, notations_of, texts_of, title_of
from data.intake.commented import Commented
from data.intake.draft import draft_contract
from data.rows.frames import to_numbers
from data.rows.kinds import date_of
from data.sources.files import as_plain
from data.sources.reading import read_whole

DESIGN = Path(__file__).parents[2] / "serving" / "static"
"""The style of all of Gradecast's pages."""
COOKIE = "gradecast_contract"
HERE = ("127.0.0.1", "localhost")
BARS, PARTS = 8, 12
CODED = (Kind.BOOLEAN, Kind.ORDINAL, Kind.NOMINAL)
NUMBERS = (Kind.NUMBER, Kind.INTEGER, Kind.DATE)
FLAGS = ("nullable", "audited", "accumulates", "actionable", "several")
TEXTS = ("unit", "help", "effect", "age_at", "days_since")
ROLES = {
    "feature": "feature: the model sees it",
    "audit": "audit: for fairness alone",
    "id": "id: who a student is",
    "score": "score: the class is cut from it",
    "leak": "leak: known too late",
    IGNORE: "ignore: used for nothing",
    "": "left out",
}
POLICY = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; form-action 'self'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
MOST = 20_000_000  # bytes of a form
LOG_LINES = 40


@dataclass(frozen=True)
class Bar:
    """A part of a column's cells: what they say, and how many there are, of the most."""

    label: str
    count: int
    share: float


@dataclass
class Training:
    """The training that was started from the page, and what it has said so far."""

    process: "subprocess.Popen[bytes] | None" = None
    log: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="gradecast-")) / "train.log")

    def start(self, file: str, contract: Path) -> None:
        """Train, unless it runs already."""
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "flows.pipeline", "--data", file, "--contract", str(contract)]
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return None if self.process is None else self.process.poll()

    def said(self) -> str:
        """Return the last lines."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:])


@dataclass
class Desk:
    """What is on the page: a file's cells as they are read, and its contract on disk."""

    file: str
    contract: Path
    frame: pd.DataFrame
    training: Training = field(default_factory=Training)

    @classmethod
    def of(cls, file: str, contract: Path) -> "Desk":
        """Read a file whole; raises BadInput."""
        whole = read_whole(file)
        delimiter = whole.header.delimiter if whole.header else ","
        return cls(file, contract, as_plain(whole.frame, notations_of(whole.frame, delimiter).notations))

    def written(self) -> Commented:
        """Return the contract as it is on disk; raises BadInput."""
        return Commented.of(read_text(self.contract), self.contract)

    def draft(self, target: str) -> None:
        """Draft the contract, unless there is one; raises BadInput."""
        if not self.contract.exists():
            write_whole(self.contract, draft_contract(Path(self.file), target).text.encode())

    def save(self, form: Mapping[str, str]) -> None:
        """Write the contract as a form has it; raises BadInput where it is none, and writes nothing then."""
        found = self.written()
        columns = found.raw.setdefault("columns", {})
        for place, name in enumerate(map(str, self.frame.columns)):
            if f"c{place}.role" not in form:
                continue
            keys = _column(form, f"c{place}.", columns.get(name) or {}, self.frame[name])
            columns.pop(name, None) if keys is None else columns.update({name: keys})
            if form.get(f"c{place}.read"):
                found.confirm("columns", name)
        _target(form, found.raw.get("target", {}))
        if form.get("t.read"):
            for key in list(found.raw.get("target", {})):
                found.confirm("target", key)
        thumb = columns.get(found.raw.get("rule_of_thumb"), {})
        if thumb.get("role", "feature" if thumb else "") != Role.FEATURE:
            found.raw.pop("rule_of_thumb", None)
        text = found.text()
        parse_contract(text, Contract, file=self.contract)
        write_whole(self.contract, text.encode())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield what the page shows of each column of the file that is not the target."""
        found = self.written()
        target = found.raw.get("target", {}).get("column")
        for place, name in enumerate(map(str, self.frame.columns)):
            if name == target:
                continue
            keys = found.raw.get("columns", {}).get(name)
            cells = texts_of(self.frame[name])
            yield {
                "id": f"c{place}",
                "name": name,
                "keys": keys or {},
                "role": "" if keys is None else keys.get("role", "feature"),
                "guesses": found.guesses("columns", name),
                "bars": bars_of(cells),
                "missing": int(cells.isna().sum()),
                "different": int(cells.nunique()),
            }


def bars_of(cells: pd.Series) -> list[Bar]:
    """Return the distribution of a column's texts: parts of a range, months of dates, or the commonest."""
    days = cells.dropna()
    if len(days) and days.map(date_of).map(lambda day: isinstance(day, date)).all():
        months = days.str[:7].value_counts().sort_index()
        cells = days.str[: 7 if len(months) <= PARTS else 4]
        return _bars(cells.value_counts().sort_index())
    numbers, wrong = to_numbers(cells)
    known = numbers.dropna()
    if not wrong.any() and known.nunique() > PARTS:
        counts, edges = np.histogram(known, PARTS)
        labels = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
        return _bars(pd.Series(counts, labels))
    return _bars(cells.value_counts().head(BARS))


def _bars(counts: pd.Series) -> list[Bar]:
    most = max(counts, default=1) or 1
    return [Bar(str(text)[:30], int(n), float(n / most)) for text, n in counts.items()]


def _column(
    form: Mapping[str, str], at: str, old: Mapping[str, Any], cells: pd.Series
) -> dict[str, Any] | None:
    """Return a column's keys as the form has them, those that it does not ask for as they were."""
    role = form[f"{at}role"]
    if role in ("", IGNORE):
        return {"role": IGNORE} if role else None
    kind = Kind(form.get(f"{at}kind") or Kind.NOMINAL)
    asked = {"title", "role", "kind", "codes", "min", "max", "day_first", *FLAGS, *TEXTS}
    keys: dict[str, Any] = {"title": form.get(f"{at}title", "").strip() or title_of(str(cells.name))}
    keys |= {"role": role} if role != Role.FEATURE else {}
    keys["kind"] = str(kind)
    if kind in CODED and role != Role.ID:
        texts = sorted(map(str, texts_of(cells).dropna().unique()))
        keys["codes"] = codes_in(form, at) or codes_of(texts)
        if kind is Kind.BOOLEAN and keys["codes"] == {0: "0", 1: "1"}:
            del keys["codes"]  # which are No and Yes then
        elif len(keys["codes"]) > MOST_NAMES:
            raise BadInput(f"{len(keys['codes'])} codes are too many.", column=str(cells.name))
    keys |= {
        key: _number(form[f"{at}{key}"]) for key in ("min", "max") if kind in NUMBERS and form.get(at + key)
    }
    keys |= {key: form[f"{at}{key}"].strip() for key in TEXTS if form.get(f"{at}{key}", "").strip()}
    keys |= {"day_first": old["day_first"]} if kind is Kind.DATE and "day_first" in old else {}
    keys |= {key: True for key in FLAGS if form.get(f"{at}{key}")}
    return keys | {key: value for key, value in old.items() if key not in asked}


def codes_in(form: Mapping[str, str], at: str) -> dict[Any, str]:
    """Return the codes of a form in the order of their places, with their labels."""
    found = []
    for number in range(MOST_NAMES + 1):
        code = form.get(f"{at}code{number}")
        if code is not None:
            place = form.get(f"{at}place{number}", "")
            found.append((_number(place) if place.strip() else number, number, code))
    ordered = [(code, form.get(f"{at}label{number}", "").strip()) for _, number, code in sorted(found)]
    known = codes_of([code for code, _ in ordered])
    return {code: label or known[code] for code, (_, label) in zip(known, ordered, strict=True)}


def _target(form: Mapping[str, str], target: dict[str, Any]) -> None:
    """Change what the form says of the target."""
    classes = codes_in(form, "t.")
    if not classes:
        return
    target["classes"] = classes
    risky = {form[f"t.code{n}"] for n in range(MOST_NAMES) if form.get(f"t.risk{n}")}
    target["at_risk"] = [label for code, label in classes.items() if str(code) in risky]
    target.pop("ordered", None)
    if not form.get("t.ordered"):
        target["ordered"] = False
    for key in ("at_least", "at_most"):
        if key in target and tuple(target[key]) != tuple(classes.values())[:-1]:
            target[key] = dict(zip([*classes.values()][:-1], target[key].values(), strict=False))


def _day(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text  # which the contract refuses with its reason


def _number(text: str) -> int | float:
    try:
        number = float(text.replace(",", "."))
    except ValueError as error:
        raise BadInput(f"{text!r} is not a number.", remedy="Write a number there.") from error
    return int(number) if number.is_integer() else number


pages = Blueprint("contract", __name__, template_folder="templates")


@pages.before_app_request
def _let_in() -> AnyResponse | None:
    token: str = current_app.extensions["token"]
    if request.host.rpartition(":")[0] not in HERE:
        abort(HTTPStatus.FORBIDDEN, "This page is for its own machine.")
    if _is(request.args.get("token", ""), token):
        answer = redirect(url_for("contract.show"))
        answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
        return answer
    if not _is(request.cookies.get(COOKIE, ""), token):
        abort(HTTPStatus.FORBIDDEN, "Open the address that the command printed, with its token.")
    return None


def _is(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())


@pages.after_app_request
def _with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


@pages.get("/")
def show() -> str:
    """Show the contract, or ask what is to be forecast where there is none yet."""
    desk = _desk()
    if not desk.contract.exists():
        return render_template("start.html", desk=desk, problem="")
    return page(desk, saved="saved" in request.args)


@pages.post("/draft")
def draft() -> AnyResponse | tuple[str, int]:
    """Draft the contract."""
    desk = _desk()
    try:
        desk.draft(request.form.get("target", ""))
    except BadInput as error:
        return render_template("start.html", desk=desk, problem=str(error)), HTTPStatus.UNPROCESSABLE_ENTITY
    return redirect(url_for("contract.show"))


@pages.post("/")
def save() -> AnyResponse | tuple[str, int]:
    """Save it, and check or train then where that was asked for."""
    desk, then = _desk(), request.form.get("then")
    try:
        desk.save(request.form)
    except BadInput as error:
        return page(desk, problem=str(error)), HTTPStatus.UNPROCESSABLE_ENTITY
    if then == "check":
        return page(desk, report=check(desk.file, str(desk.contract))), HTTPStatus.OK
    if then == "train":
        desk.training.start(desk.file, desk.contract)
        return redirect(url_for("contract.training"))
    return redirect(url_for("contract.show", saved=""))


@pages.get("/training")
def training() -> AnyResponse | str:
    """Show how far the training is."""
    desk = _desk()
    if desk.training.process is None:
        return redirect(url_for("contract.show"))
    return render_template("training.html", training=desk.training, desk=desk)


@pages.get("/design/<name>")
def design(name: str) -> Response:
    """Show a file of the style."""
    return send_from_directory(DESIGN, name)


def _desk() -> Desk:
    desk: Desk = current_app.extensions["desk"]
    return desk


def create_editor(desk: Desk, token: str) -> Flask:
    """Return the application of one file and its contract."""
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_FORM_PARTS=200_000, MAX_CONTENT_LENGTH=MOST, MAX_FORM_MEMORY_SIZE=MOST)
    app.extensions |= {"desk": desk, "token": token}
    app.jinja_env.globals |= {"kinds": [*map(str, Kind)], "roles": ROLES}
    app.register_blueprint(pages)
    return app


def page(desk: Desk, *, problem: str = "", report: Report | None = None, saved: bool = False) -> str:
    """Return the page with what is wrong, or what the check found."""
    found = desk.written()
    target = found.raw.get("target", {})
    told = [reason for key in target for reason in found.guesses("target", key)]
    return render_template(
        "contract.html",
        desk=desk,
        target=target,
        told=told,
        rows=list(desk.rows()),
        problem=problem,
        report=report,
        saved=saved,
    )


def serve(desk: Desk, port: int) -> None:
    """Show the page on this machine until the command is interrupted; the address has the token."""
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # whose lines would have the token in them
    token = secrets.token_urlsafe(24)
    server = make_server(HERE[0], port, create_editor(desk, token), threaded=True)
    print(f"Open http://{HERE[0]}:{server.server_port}/?token={token}", flush=True)
    print(f"{desk.contract} is what is written. Ctrl-C ends it.", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
