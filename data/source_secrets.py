"""Secrets of sources: from the environment or the address, and in nothing that is shown or kept.

A command's arguments are kept with its run, in Prefect and in MLflow. So a password that an address holds,
and an option that is one, are taken out of it first and put where the address's reader looks: into the
environment of this process.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote, unquote_plus

from data.errors import BadInput

PASSWORD = "GRADECAST_SOURCE_PASSWORD"  # noqa: S105  the name of a variable
SET_ASIDE = "GRADECAST_SECRETS_SET_ASIDE"
"""The variable from which child processes have what was taken out of addresses; nobody sets it."""
SECRET = re.compile(r"pass|pwd|secret|token|credential|signature|key|mechanism_?properties", re.IGNORECASE)
"""Names of options that are secrets, or files with one: password, passfile, sslpassword, sslkey, …"""
Given = TypeVar("Given", str, str | None)


class _Address(NamedTuple):
    """The parts of an address: the password unquoted, the options as they are written."""

    scheme: str
    user: str
    password: str
    place: str
    options: tuple[str, ...]

    @property
    def server(self) -> str:
        """Return what secrets are those of: a user of a database."""
        return f"{self.scheme}://{self.user}@{self.place}"

    def __str__(self) -> str:
        password = f":{quote(self.password, safe='')}" if self.password else ""
        user = f"{self.user}{password}@" if self.user or password else ""
        options = f"?{'&'.join(self.options)}" if self.options else ""
        return f"{self.scheme}://{user}{self.place}{options}"


def scheme_of(uri: str) -> str:
    """Return what stands before :// in an address, in small letters; nothing for a path."""
    scheme, mark, _ = uri.partition("://")
    return scheme.lower() if mark else ""


def without_secrets(uri: str) -> str:
    """Return an address that can be shown and kept."""
    try:
        read = _read(uri)
    except BadInput:
        return f"{uri.partition('://')[0]}://…"
    return uri if read is None or not _secrets(read) else str(_bare(read))


def with_secrets(uri: str) -> str:
    """Return an address with the secrets that were taken out of it, or the environment's password.

    The latter where it names a user and no password. Raises BadInput for an address that cannot be read.
    """
    read = _read(uri)
    if read is None:
        return uri
    kept: Mapping[str, Any] = json.loads(os.environ.get(SET_ASIDE) or "{}").get(read.server, {})
    password = read.password or kept.get("password", "")
    if read.user and not password:
        password = os.environ.get(PASSWORD, "")
    named = {_name(option) for option in read.options}
    options = tuple(option for option in kept.get("options", ()) if _name(option) not in named)
    if not password and not options:
        return uri
    return str(read._replace(password=password, options=read.options + options))


def set_aside(uris: Iterable[Given]) -> list[Given]:
    """Take the secrets out of addresses and into the environment.

    Raises BadInput where they hold different ones for one user of one database.
    """
    given = list(uris)
    kept: dict[str, dict[str, Any]] = {}
    for read in filter(None, (_read(uri) for uri in given if uri)):
        secrets = _secrets(read)
        if secrets and kept.setdefault(read.server, secrets) != secrets:
            remedy = "Give the one that is right, in both or in one."
            raise BadInput("two addresses of one user with two different passwords.", remedy=remedy)
    if kept:
        os.environ[SET_ASIDE] = json.dumps(kept)
    return [without_secrets(uri) if uri else uri for uri in given]


def _read(uri: str) -> _Address | None:
    """Return the parts of an address; None for a path. Raises BadInput where a password ends them early."""
    scheme, mark, rest = uri.partition("://")
    if not mark or not re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        return None
    before, _, query = rest.partition("?")
    user, at, place = before.rpartition("@")
    name, _, password = user.partition(":")
    if not at or "/" in name:  # then it is of a path
        name, password, place = "", "", before
    if not at and not place.startswith("/") and "@" in query.partition("=")[0]:
        remedy = "Write ? / # @ % and & of a password as %3F %2F %23 %40 %25 and %26."
        raise BadInput(f"{scheme}://…: the address cannot be read.", remedy=remedy)
    return _Address(scheme, name, unquote(password), place, tuple(query.split("&")) if query else ())


def _secrets(read: _Address) -> dict[str, Any]:
    """Return what of an address is secret, as it is kept."""
    options = [option for option in read.options if SECRET.search(_name(option))]
    return {"password": read.password, "options": options} if read.password or options else {}


def _bare(read: _Address) -> _Address:
    options = tuple(option for option in read.options if not SECRET.search(_name(option)))
    return read._replace(password="", options=options)


def _name(option: str) -> str:
    return unquote_plus(option.partition("=")[0])
