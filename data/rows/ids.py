"""One function for a student's pseudonym: splits, log, outcomes and erasure all use it."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Sequence
from itertools import repeat
from numbers import Real

from data.contract.columns import is_missing

SPLIT_BITS = 53  # what a float holds exactly
PUBLIC_KEY = "gradecast-public-default"
OWN_KEY = (
    "Set GRADECAST_ID_KEY to a secret of your own (`openssl rand -hex 24`), the same for pipeline and "
    "predictor, and keep a copy: with another one nothing that was logged finds its student again."
)
"""What to do about the public key."""
WHOLE_ID = re.compile(r"-?[0-9]+")
WRITTEN_AS_FLOAT = re.compile(r"(-?[0-9]+)(?:\.0+|,0{1,2})")
LEADING_ZEROS = re.compile(r"^(-?)0+(?=[0-9]+$)")


def pseudonym(student: str, key: str = PUBLIC_KEY) -> str:
    """Return the keyed hash (HMAC-SHA-256, 32 hex digits) of a student's id in canonical text."""
    return hmac.digest(key.encode(), student.encode(), "sha256").hex()[:32]


def pseudonym_maker(key: str) -> Callable[[str], str]:
    """Return what says the same as `pseudonym` in half the time, for many students under one key."""
    keyed = hmac.new(key.encode(), digestmod="sha256")

    def make(student: str) -> str:
        hashed = keyed.copy()
        hashed.update(student.encode())
        return hashed.hexdigest()[:32]

    return make


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone; of names, localhost is."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def split_position(pseudonym_: str) -> float:
    """Return where a pseudonym falls in [0, 1), the same for ever: what decides its split."""
    return (int(pseudonym_[:16], 16) >> (64 - SPLIT_BITS)) / 2**SPLIT_BITS


def canonical_id(value: object, *, whole: bool) -> str:
    """Return an id as text, empty where there is none.

    1001, 1001.0 and " 1001 " are one student; 007 and 7 too where ids are whole numbers.
    """
    text = str(value).strip()
    if text.isdecimal() and text.isascii() and text[0] != "0":  # as most are
        return text
    if is_missing(text):
        return ""
    number = WRITTEN_AS_FLOAT.fullmatch(text)
    text = number[1] if number else text
    return LEADING_ZEROS.sub(r"\1", text) if whole else text


def are_plain(texts: Sequence[str]) -> bool:
    """Tell at one look that all ids are canonical already: whole numbers without zeros before them."""
    try:
        together = "".join(texts)
    except TypeError:
        return False
    zero = map(str.startswith, texts, repeat("0"))
    return together.isdecimal() and together.isascii() and all(texts) and not any(zero)


def record_id(values: list[str]) -> str:
    """Return the id of a row without one: the SHA-256 of its canonical values in contract order."""
    return hashlib.sha256("\x1f".join(values).encode()).hexdigest()


def canonical_text(value: object) -> str:
    """Return one value of a canonical row as text: numbers alike however written, missing as nothing."""
    if value is None or value != value:
        return ""
    return repr(float(value) + 0.0) if isinstance(value, Real) else str(value)  # and -0.0 is 0.0
