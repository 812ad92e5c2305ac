"""Who may see the pages, and whose forms are taken."""

from http import HTTPStatus
from urllib.parse import urlencode

from flask import current_app, redirect, request
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from werkzeug.wrappers import Response

from serving.pages.sessions import is_inside
from serving.problems import Problem
from serving.security import HARMLESS, Door, bearer_of, is_foreign
from serving.settings import Settings

csrf = CSRFProtect()


def wanted_key() -> str | None:
    """Return the key that must be brought, if one must."""
    settings: Settings = current_app.extensions["settings"]
    return settings.api_key.get_secret_value() if settings.api_key else None


def may_see() -> bool:
    """Tell whether no key is wanted, or whoever asks has brought it, now or when logging in."""
    key = wanted_key()
    if key is None or is_inside(key):
        return True
    brought = bearer_of(request.environ.get("HTTP_AUTHORIZATION", ""))
    return brought is not None and is_key(brought)


def is_key(given: bytes, *, typed: bool = False) -> bool:
    """Tell whether this is the key that must be brought; raises Problem 429 for who guesses."""
    door: Door = current_app.extensions["door"]
    return door.opens(given, request.environ.get("REMOTE_ADDR", ""), typed=typed)


def let_through() -> Response | None:
    """Send who has not been let in to the door; raises Problem 401 where something was being sent."""
    if may_see():
        return None
    if request.method in ("GET", "HEAD"):
        return redirect(f"/login?{urlencode({'next': request.path})}", HTTPStatus.SEE_OTHER)
    raise Problem(HTTPStatus.UNAUTHORIZED, "You have been logged out. Nothing that you sent was kept.")


def protect() -> None:
    """Refuse a form that did not come from one of our own pages; raises CSRFError, which is a 400.

    Under HTTPS, where every browser says which site a request is sent for, that is looked at as well: a
    cookie may have been planted by whoever can write on a plain connection.
    """
    csrf.protect()
    if request.is_secure and request.method not in HARMLESS and is_foreign(request.environ):
        raise CSRFError("A page of another site may send nothing here.")
