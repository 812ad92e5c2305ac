"""Who may ask, and by which name and from which page; and what every answer says to browsers."""

import hmac
import ipaddress
from functools import lru_cache
from wsgiref.types import WSGIEnvironment

from serving.settings import Settings

OPEN = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
"""Routes that want no key and are never shed: whoever watches the predictor asks them."""

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
"""What an answer says unless it says it itself."""


def refuse_open_door(settings: Settings) -> None:
    """Raise SystemExit where others could ask without a key and nobody has allowed it by name."""
    if settings.api_key is None and not settings.allow_no_key and not is_loopback(settings.host):
        raise SystemExit(
            f"The predictor would answer anyone who reaches {settings.host}. Set GRADECAST_API_KEY, bind to "
            "127.0.0.1 (GRADECAST_HOST), or allow it with GRADECAST_ALLOW_NO_KEY=true."
        )


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone; of names, localhost is."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Names:
    """The names by which the predictor may be asked.

    A page anywhere can have its own name lead to this machine, and then asks as if it were ours (DNS
    rebinding). An address cannot be made to lead elsewhere, a name without a dot cannot be had by a
    stranger; and where a key is wanted, who does not bring it gets nothing by any name.
    """

    def __init__(self, settings: Settings) -> None:
        listed = settings.allowed_hosts or (("*",) if settings.api_key else ())
        self._all, self._listed = "*" in listed, {*listed, settings.host.lower()}
        self.admit = lru_cache(maxsize=1_000)(self._admit)

    def _admit(self, host: str) -> bool:
        """Tell whether what a Host header says is one of the names; without the header it is no browser."""
        name = host.removeprefix("[").partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        name = name.lower().removesuffix(".")
        if self._all or name in self._listed or "." not in name or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def is_foreign(environ: WSGIEnvironment) -> bool:
    """Tell whether a browser sends a request for a page of another site; other clients say nothing of it.

    A proxy may ask by another name than the browser did, and then says by which that was.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE", "")
    if site in ("same-origin", "none", "cross-site"):
        return site == "cross-site"
    _, _, origin = environ.get("HTTP_ORIGIN", "").lower().rpartition("://")
    ours = {environ.get(header, "").lower() for header in ("HTTP_HOST", "HTTP_X_FORWARDED_HOST")}
    return "HTTP_ORIGIN" in environ and origin not in ours - {""}


def brings_key(authorization: str, key: str) -> bool:
    """Tell whether an Authorization header brings the key as its bearer token, in constant time."""
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode("latin-1"), key.encode())
