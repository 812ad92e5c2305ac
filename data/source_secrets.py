"""Passwords of sources: from the environment or the address, and in nothing that is shown or kept.

A command's arguments are kept with its run, in Prefect and in MLflow. So a password that an address holds is
taken out of it first and put where the address's reader looks: into the environment of this process.
"""

import os
from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from data.errors import BadInput

PASSWORD = "GRADECAST_SOURCE_PASSWORD"  # noqa: S105  the name of a variable
Address = TypeVar("Address", str, str | None)


def password_in(uri: str) -> str | None:
    """Return the password that an address holds."""
    try:
        found = urlsplit(uri).password if "://" in uri else None
    except ValueError:
        return None
    return unquote(found) if found else None


def without_password(uri: str) -> str:
    """Return an address that can be shown and kept."""
    if password_in(uri) is None:
        return uri
    parts = urlsplit(uri)
    user, host = parts.netloc.rpartition("@")[0].partition(":")[0], parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}"))


def with_password(uri: str) -> str:
    """Return an address with the environment's password, where it names a user and no password."""
    password = os.environ.get(PASSWORD)
    parts = urlsplit(uri) if "://" in uri else None
    if not password or parts is None or not parts.username or parts.password:
        return uri
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def set_aside(uris: Iterable[Address]) -> list[Address]:
    """Take the password out of addresses and into the environment.

    Raises BadInput where they hold two different ones, for there is one place.
    """
    given = list(uris)
    found = {password for uri in given if uri and (password := password_in(uri))}
    if len(found) > 1:
        remedy = "Leave them to the driver: PGPASSFILE names a file with the password of each database."
        raise BadInput("two addresses with two different passwords.", remedy=remedy)
    for password in found:
        os.environ[PASSWORD] = password
    return [without_password(uri) if uri else uri for uri in given]
