"""GET and POST /login, POST /logout: where a key is wanted, people type it once."""

from http import HTTPStatus

from flask import Response, current_app, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from serving.pages.guard import is_key, wanted_key
from serving.pages.sessions import end_session, is_inside, let_in
from serving.pages.shell import open_blueprint, render

HOME = "/"

door = open_blueprint("door")


@door.get("/login")
def ask_key() -> AnyResponse:
    """Ask for the key; who is inside already goes on."""
    key = wanted_key()
    if key is None or is_inside(key):
        return redirect(_next(), HTTPStatus.SEE_OTHER)
    return _ask(wrong=False)


@door.post("/login")
def take_key() -> AnyResponse:
    """Let in who brings the right key, and go on to the page that was asked for."""
    key = wanted_key()
    if key is not None:
        if not is_key(request.form.get("key", "").strip().encode(), typed=True):
            return _ask(wrong=True)
        let_in(key)
    return redirect(_next(), HTTPStatus.SEE_OTHER)


@door.post("/logout")
def leave() -> AnyResponse:
    """End the session: whoever kept its cookie is let in no more."""
    end_session(wanted_key())
    return redirect("/login" if wanted_key() else HOME, HTTPStatus.SEE_OTHER)


def _ask(*, wrong: bool) -> Response:
    status = HTTPStatus.UNAUTHORIZED if wrong else HTTPStatus.OK
    return render("login.html", status, next=_next(), wrong=wrong)


def _next() -> str:
    """Return the page to go on to: one of ours that can be read, never another site's."""
    wanted = request.values.get("next", HOME)
    known = wanted in current_app.extensions["page_paths"]
    return wanted if known and current_app.url_map.bind("").test(wanted, "GET") else HOME
