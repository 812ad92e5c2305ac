"""Bytes put together to requests: whatever the pieces, the same requests come out, or none."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.problems import Problem
from serving.receiving import IN_MEMORY, Incoming

MOST = 200_000
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
Request = tuple[str, str, bytes]

names = st.sampled_from(["/predict", "/outcomes", "/predict/batch"])
bodies = st.binary(max_size=300) | st.sampled_from([b"", b"\r\n\r\n", b"0\r\n\r\n", b"a" * (IN_MEMORY + 10)])
sizes = st.lists(st.integers(1, 40), max_size=5)


def in_chunks(body: bytes, lengths: list[int]) -> bytes:
    """A body as chunks of these lengths, and one more with what is left."""
    pieces, left = [], body
    for length in [*lengths, len(body)]:
        piece, left = left[:length], left[length:]
        if piece:
            pieces.append(f"{len(piece):X};a=b\r\n".encode() + piece + b"\r\n")
    return b"".join(pieces) + b"0\r\nX-After: 1\r\n\r\n"


def written(path: str, body: bytes, lengths: list[int] | None) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode()
    if lengths is None:
        return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body, lengths)


def incoming(folder: Path) -> Incoming:
    return Incoming(Config(), ("127.0.0.1", 1), folder, lambda request, length: MOST)


def whole(request: Any) -> bytes:
    with request.body as body:
        return bytes(body.read())


def read(connection: Incoming, sent: bytes, cuts: list[int]) -> list[Any]:
    """What comes out when the bytes come in pieces, cut at these places."""
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        request = connection.take(sent[start:end])
        while request is not None:
            found.append(request)
            request = connection.take()
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), asked=st.lists(st.tuples(names, bodies, st.none() | sizes), min_size=1, max_size=3))
def test_requests_come_out_the_same_however_they_come_in(
    tmp_path: Path, data: st.DataObject, asked: list[tuple[str, bytes, list[int] | None]]
) -> None:
    sent = b"".join(written(*one) for one in asked)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    connection = incoming(tmp_path)
    found = read(connection, sent, cuts)
    assert [(one.path, whole(one)) for one in found] == [(path, body) for path, body, _ in asked]
    assert [dict(one.headers)["CONTENT-LENGTH"] for one in found] == [str(len(body)) for _, body, _ in asked]
    assert not connection.begun


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), path=names, body=bodies, lengths=st.none() | sizes)
def test_nothing_comes_out_before_the_last_byte_and_an_end_before_it_is_told(
    tmp_path: Path, data: st.DataObject, path: str, body: bytes, lengths: list[int] | None
) -> None:
    sent = written(path, body, lengths)
    end = data.draw(st.integers(1, len(sent) - 1))
    connection = incoming(tmp_path)
    assert read(connection, sent[:end], [end // 2]) == []
    cut = connection.end()
    with pytest.raises(Problem) as told:
        cut.body.read()
    assert told.value.status == HTTPStatus.BAD_REQUEST
    assert cut.should_close()


def test_a_body_that_grows_too_long_is_refused_where_it_does(tmp_path: Path) -> None:
    connection = incoming(tmp_path)
    assert connection.take(HEAD + b"Transfer-Encoding: chunked\r\n\r\n") is None
    chunk = b"8000\r\n" + b"a" * 32_768 + b"\r\n"
    found = [connection.take(chunk) for _ in range(MOST // 32_768 + 1)]
    assert found[:-1] == [None] * (MOST // 32_768)
    assert found[-1].body.problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_where_a_body_cannot_be_kept_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("in the way of the folder")
    connection = incoming(tmp_path / "uploads")
    request = connection.take(HEAD + b"Content-Length: 150000\r\n\r\n" + b"a" * 100_000)
    assert request is not None
    assert request.body.problem.status == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize(
    "tail", [b"a" * 5_000, b"0\r\n" + b"X: a\r\n" * 100, b"-1\r\n", b"\r\n", b"fffffffffffffffff\r\n"]
)
def test_chunks_that_are_none_are_refused(tmp_path: Path, tail: bytes) -> None:
    request = incoming(tmp_path).take(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + tail)
    assert request is not None
    assert request.body.problem.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
