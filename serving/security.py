"""Who may ask, and what every answer says to browsers."""

import hmac
import ipaddress

from serving.settings import Settings

OPEN = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})
"""Routes that want no key and are never shed: whoever watches the predictor asks them."""

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


def brings_key(authorization: str, key: str) -> bool:
    """Tell whether an Authorization header brings the key as its bearer token, in constant time."""
    scheme, _, token = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode("latin-1"), key.encode())
