"""Who may ask, by which name, from where and from which page; and what every answer says to browsers."""

import hmac
import ipaddress
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from wsgiref.types import WSGIEnvironment

from data.durable import file_lock
from data.rows.ids import OWN_KEY, PUBLIC_KEY, is_loopback
from serving.problems import Problem, unavailable
from serving.settings import Network, PredictorSettings

MOST = 10_000  # names; of more, those that were heard of longest ago are forgotten


class Remembered:
    """Names, each with the moments at which something happened to it, forgotten after some seconds."""

    def __init__(self, file: Path, seconds: float) -> None:
        self._file, self._seconds = file, seconds

    def add(self, name: str) -> None:
        """Note that something happened now; raises OSError where it cannot be kept."""
        with file_lock(self._file.with_suffix(".lock")):
            known = self.all()
            known[name] = [*known.pop(name, []), time.time()]
            draft = self._file.with_suffix(".draft")
            draft.write_text(json.dumps(dict(list(known.items())[-MOST:])), encoding="utf-8")
            draft.replace(self._file)

    def all(self) -> dict[str, list[float]]:
        """Return what has not been forgotten yet; the last to be added comes last."""
        now = time.time()
        since = now - self._seconds
        try:
            if self._file.stat().st_mtime < since:
                return {}
            kept = json.loads(self._file.read_bytes())
        except (OSError, ValueError):  # none yet, or not whole after a loss of power
            return {}
        # What lies ahead was noted before the clock was put back.
        recent = {name: [at for at in moments if since < at <= now] for name, moments in kept.items()}
        return {name: moments for name, moments in recent.items() if moments}


HEALTH = frozenset({"/health", "/health/live", "/health/ready"})
"""Routes that answer by any name: a probe asks by whatever address it has."""
OPEN = HEALTH | {"/metrics"}
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

SHORTEST_KEY = 16  # letters
MINUTE = 60.0
GUESSES_OF_ONE, GUESSES_OF_ALL = 10, 100  # wrong keys a minute
HOUSE = 64  # bits of an IPv6 address that one client has to choose from


def require_api_key(settings: PredictorSettings) -> None:
    """Raise SystemExit where others could ask without a key, or with one that is soon guessed.

    Nobody who has allowed the former by name is stopped by it.
    """
    if settings.api_key is not None and len(settings.api_key.get_secret_value()) < SHORTEST_KEY:
        raise SystemExit(
            f"GRADECAST_API_KEY is soon guessed: it needs at least {SHORTEST_KEY} letters. Make one with "
            "`openssl rand -hex 24`."
        )
    if is_loopback(settings.host):
        return
    if settings.api_key is None and not settings.allow_no_key:
        raise SystemExit(
            f"The predictor would answer anyone who reaches {settings.host}. Set GRADECAST_API_KEY, bind to "
            "127.0.0.1 (GRADECAST_HOST), or allow it with GRADECAST_ALLOW_NO_KEY=true."
        )
    if settings.id_key == PUBLIC_KEY:
        raise SystemExit(
            f"The predictor would log the ids of those who reach {settings.host} by a hash that anyone can "
            f"repeat. {OWN_KEY} Or bind to 127.0.0.1 (GRADECAST_HOST)."
        )


class ApiKey:
    """The key, and how often it was guessed wrongly, at whichever worker."""

    def __init__(self, key: str, home: Path) -> None:
        self._key = key.encode()
        self._wrong = Remembered(home / "wrong-keys.json", MINUTE)
        self._known: set[str] = set()

    def accepts(self, given: bytes, client: str, *, typed: bool = False) -> bool:
        """Tell whether this is the key, in constant time; `typed` says that a person gave it.

        A program at an address that has brought the key before is let in whatever others there guess. Raises
        Problem 429 for a client that has guessed too often, and where all together have, for whoever types a
        key; 503 where a wrong one cannot be noted.
        """
        if not typed and client in self._known and hmac.compare_digest(given, self._key):
            return True
        wrong, house = self._wrong.all(), _house(client)
        mine = len(wrong.get(house, ()))
        crowded = sum(map(len, wrong.values())) >= GUESSES_OF_ALL
        if mine >= GUESSES_OF_ONE or (crowded and (typed or mine)):
            detail = "There were too many wrong keys. Wait a minute, then try again."
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, (), {"Retry-After": f"{MINUTE:.0f}"})
        if hmac.compare_digest(given, self._key):
            if not typed and len(self._known) < MOST:
                self._known.add(client)
            return True
        try:
            self._wrong.add(house)
        except OSError as error:
            raise unavailable("No key can be taken now: the disk is full.", 30) from error
        return False


def bearer_of(authorization: str) -> bytes | None:
    """Return the bearer token of an Authorization header, if it brings one."""
    scheme, _, token = authorization.partition(" ")
    return token.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else None


def believe_proxies(environ: WSGIEnvironment, proxies: Sequence[Network]) -> str:
    """Return the address of who asks, and put it and the scheme into a request that came by our proxies.

    Of X-Forwarded-For, the last address that is no proxy of ours counts: what stands before it is hearsay.
    """
    client = str(environ.get("REMOTE_ADDR", ""))
    if not proxies or not _is_in(client, proxies):
        return client
    named = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    client = next((part for part in reversed(named) if part and not _is_in(part, proxies)), client)
    with suppress(ValueError):
        environ["REMOTE_ADDR"] = str(ipaddress.ip_address(client))
    if environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip() == "https":
        environ["wsgi.url_scheme"] = "https"
    return str(environ["REMOTE_ADDR"])


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        return any(ipaddress.ip_address(address) in network for network in networks)
    except ValueError:
        return False


def _house(client: str) -> str:
    """Return what guesses are counted by: an address, of IPv6 the network that a household has."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, HOUSE), strict=False))
    return str(address)


class Names:
    """The names by which the predictor may be asked.

    A page anywhere can have its own name lead to this machine, and then asks as if it were ours (DNS
    rebinding). An address cannot be made to lead elsewhere, a name without a dot cannot be had by a
    stranger; and where a key is wanted, who does not bring it gets nothing by any name.
    """

    def __init__(self, settings: PredictorSettings) -> None:
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
