"""The cookie that a browser is known by: signed, read by no script, sent to this site alone."""

import fcntl
import hashlib
import logging
import os
import secrets
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Request, current_app, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from data.durable import write_whole
from serving.problems import Problem
from serving.remembered import Remembered
from serving.settings import Settings

COOKIE = "gradecast"
HOURS = 12
SECRET = "cookies.key"  # noqa: S105  the file's name
BYTES = 32
INSIDE, NUMBER = "inside", "number"

log = logging.getLogger("gradecast.sessions")


class Sessions(SecureCookieSessionInterface):
    """Flask's own signed sessions; programs, which bring no cookie, cost nothing."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the session of a request."""
        if "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        """Keep the cookie to HTTPS where that is how it was asked for."""
        from flask import request

        return request.is_secure or super().get_cookie_secure(app)


def keep_sessions(app: Flask, settings: Settings) -> None:
    """Give an application its sessions."""
    given = settings.secret_key.get_secret_value() if settings.secret_key else None
    try:
        app.secret_key = given or kept_secret(settings.home / SECRET)
    except OSError as error:  # a full disk must not keep a worker from starting
        log.warning("no secret can be kept in %s, so log-ins hold with one worker alone: %s", SECRET, error)
        app.secret_key = secrets.token_bytes(BYTES)
    app.session_interface = Sessions()
    app.extensions["ended_sessions"] = Remembered(settings.home / "ended-sessions.json", HOURS * 3_600)
    app.config |= {
        "SESSION_COOKIE_NAME": COOKIE,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "PERMANENT_SESSION_LIFETIME": timedelta(hours=HOURS),
    }


def kept_secret(path: Path) -> bytes:
    """Return the secret that all workers of one home share; made by the first to ask; anew if cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # never over another worker's
        if not path.exists() or path.stat().st_size < BYTES:
            write_whole(path, secrets.token_bytes(BYTES), mode=0o600)
        return path.read_bytes()
    finally:
        os.close(folder)


def let_in(key: str) -> None:
    """Remember in the session that its owner brought this key."""
    session.clear()
    session.permanent = True
    session[INSIDE] = proof_of(key)
    session[NUMBER] = secrets.token_hex(BYTES)


def is_inside(key: str) -> bool:
    """Tell whether the session's owner brought the key that is in force now, and has not logged out."""
    if not is_ours(key, str(session.get(INSIDE, ""))):
        return False
    ended: Remembered = current_app.extensions["ended_sessions"]
    return NUMBER in session and session[NUMBER] not in ended.all()


def end_session(key: str | None) -> None:
    """End the session of a browser for all its copies; raises Problem 503 where that cannot be kept."""
    try:
        if key is not None and is_inside(key):
            current_app.extensions["ended_sessions"].add(session[NUMBER])
    except OSError as error:
        detail = "You cannot be logged out now: the disk is full. Close the browser."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error
    session.clear()


def is_ours(text: str, proof: str) -> bool:
    """Tell whether a proof is that of a text, and so was made here."""
    return secrets.compare_digest(proof.encode(), proof_of(text).encode())


def proof_of(text: str) -> str:
    """Return what only who has the secret can say of a text: a key, or the id of a forecast."""
    secret = current_app.secret_key
    bytes_of_secret = secret if isinstance(secret, bytes) else str(secret).encode()
    return hashlib.blake2b(text.encode(), key=hashlib.sha256(bytes_of_secret).digest()).hexdigest()[:32]
