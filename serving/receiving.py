"""What comes in over a connection, put together to whole requests before anyone works on them.

Nothing here waits or knows of sockets: bytes go in as they come, and a request comes out when all of it is
there, or a refused one as soon as it is clear that it cannot be answered. So no sender, however slow, holds
a thread, and nothing that was cut off is ever taken for the whole.
"""

import io
import re
import tempfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

from gunicorn.http.body import ChunkedReader  # type: ignore[import-untyped]
from gunicorn.http.errors import (  # type: ignore[import-untyped]
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.http.unreader import IterUnreader  # type: ignore[import-untyped]

from serving.problems import Problem, unavailable

MOST_HEAD = 32_768  # bytes of a request's first line and headers
MOST_LINE = 4_096  # bytes of the line before a chunk, or of one after the last
MOST_TRAILERS = 32  # lines after the last chunk
IN_MEMORY = 65_536  # bytes of a body; what is longer goes to the disk
LEAST_RATE = 32_000  # bytes a second: a body may take a second more for each so many of its bytes

LINE_END, HEAD_END = b"\r\n", b"\r\n\r\n"
SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
STAND_IN = b"UNREADABLE /unreadable HTTP/1.1\r\n\r\n"
"""What is answered where no request can be read: a route and a method that are none of ours."""

PARSER_SAYS = {
    LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "The request's first line is too long."),
    LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The headers are too many or too long.",
    ),
    ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "Of expectations, 100-continue alone is understood."),
}
UNREADABLE = (HTTPStatus.BAD_REQUEST, "The request's first line or one of its headers is not HTTP/1.1.")

Admit = Callable[[Request, int | None], int]
"""Returns how many bytes a request's body may have, of which it says how many it has; raises Problem."""


class Withheld(io.RawIOBase):
    """In the place of a body that is not to be had: whoever reads it is told why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def readable(self) -> bool:
        """Tell that it may be tried."""
        return True

    def readinto(self, _: Any, /) -> NoReturn:
        """Raise the Problem, as all that reads comes here."""
        raise self.problem


class ChunkedBody:
    """A chunked body, decoded as it comes in."""

    def __init__(self) -> None:
        self._left: int | None = None  # bytes of the chunk that has begun, and of its line end
        self._trailers = -1  # lines seen after the last chunk, once it has come

    def take(self, buffer: bytearray) -> tuple[bytes, bool]:
        """Take off a buffer what is the body's; return the bytes, and whether they are the last."""
        found = bytearray()
        while buffer:
            if self._left is None:
                if (line := _line_of(buffer)) is None:
                    break
                if self._is_last(line):
                    return bytes(found), True
            elif self._left > len(LINE_END):
                some = buffer[: self._left - len(LINE_END)]
                found += some
                self._left -= len(some)
                del buffer[: len(some)]
            elif not self._end_chunk(buffer):
                break
        return bytes(found), False

    def _is_last(self, line: bytes) -> bool:
        """Read the line before a chunk, or one after the last; tell whether nothing is to follow."""
        if self._trailers >= 0:
            self._trailers += 1
            if self._trailers > MOST_TRAILERS:
                raise Problem(HTTPStatus.BAD_REQUEST, "Too much follows the body's last chunk.")
            return not line
        size = SIZE.fullmatch(line)
        if not size:
            raise Problem(HTTPStatus.BAD_REQUEST, "The body's chunks are not as HTTP/1.1 has them.")
        length = int(size[1], 16)
        if length:
            self._left = length + len(LINE_END)
        else:
            self._trailers = 0
        return False

    def _end_chunk(self, buffer: bytearray) -> bool:
        """Take the line end after a chunk, if it has come."""
        if len(buffer) < len(LINE_END):
            return False
        if not buffer.startswith(LINE_END):
            raise Problem(HTTPStatus.BAD_REQUEST, "A chunk of the body is not as long as it says.")
        del buffer[: len(LINE_END)]
        self._left = None
        return True


class SizedBody:
    """A body whose length was told."""

    def __init__(self, length: int) -> None:
        self.left = length

    def take(self, buffer: bytearray) -> tuple[bytes, bool]:
        """Take off a buffer what is the body's; return the bytes, and whether they are the last."""
        found = bytes(buffer[: self.left])
        del buffer[: self.left]
        self.left -= len(found)
        return found, not self.left


class UploadFile(tempfile.SpooledTemporaryFile[bytes]):
    """Where what comes in is put: in memory, or in a file without a name once it grows long.

    That file is beside the rest of the state: the folder for temporary files may be in memory.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(IN_MEMORY, dir=str(folder))
        self._folder = folder

    def write(self, data: Any) -> int:
        """Add to it; raises Problem 503 where the disk takes no more, and is closed then."""
        try:
            return super().write(data)
        except OSError as error:
            self.close()
            detail = "There is no room to put aside what is being sent. Send it later, or in parts."
            raise unavailable(detail, 30) from error

    def rollover(self) -> None:
        """Go on in a file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        super().rollover()


class UnderWay(NamedTuple):
    """A request whose head has been read and whose body is on its way."""

    request: Request
    body: SizedBody | ChunkedBody
    kept: UploadFile
    most: int


class Incoming:
    """The requests of one connection, one after the other."""

    def __init__(self, cfg: Any, client: Any, folder: Path, admit: Admit) -> None:
        """Parse by Gunicorn's settings, keep long bodies in a folder, and ask `admit` before each of them."""
        self._cfg, self._client, self._folder, self._admit = cfg, client, folder, admit
        self._buffer = bytearray()
        self._searched = 0
        self._under_way: UnderWay | None = None
        self.refused = False
        """Whether one was refused: what follows it on the connection cannot be told apart from it."""
        self.asks = False
        """Whether the client wants to hear that a body is wanted before it sends it."""

    @property
    def begun(self) -> bool:
        """Whether a part of the next request is there."""
        return bool(self._buffer or self._under_way)

    @property
    def length(self) -> int:
        """How much of the next request's body has come."""
        return self._under_way.kept.tell() if self._under_way else 0

    @property
    def most(self) -> int:
        """How much of it may come."""
        return self._under_way.most if self._under_way else 0

    def take(self, data: bytes = b"") -> Request | None:
        """Add what came in; return the next request if it is whole, or to be refused."""
        self._buffer += data
        try:
            return self._rest() if self._under_way else self._head()
        except Problem as problem:
            return self.refuse(problem)

    def refuse(self, problem: Problem) -> Request:
        """Return the request that is on its way, or a stand-in for it, as one that is refused."""
        request = self._under_way.request if self._under_way else _parsed(STAND_IN, self._cfg, self._client)
        return self._without_body(request, problem)

    def end(self) -> Request:
        """Return what is on its way as a request that was cut off."""
        what = f"after {self.length} bytes of the body" if self._under_way else "within the request's head"
        return self.refuse(
            Problem(HTTPStatus.BAD_REQUEST, f"The connection ended {what}; nothing was taken.")
        )

    def _head(self) -> Request | None:
        """Read the first line and the headers once they are there, and as much of the body as is."""
        buffer = self._buffer
        end = buffer.find(HEAD_END, self._searched)
        if (end if end >= 0 else len(buffer)) > MOST_HEAD:
            raise Problem(*PARSER_SAYS[LimitRequestHeaders])
        if end < 0:
            self._searched = max(0, len(buffer) - len(HEAD_END) + 1)
            return None
        head = bytes(buffer[: end + len(HEAD_END)])
        del buffer[: end + len(HEAD_END)]
        self._searched = 0
        request = _parsed(head, self._cfg, self._client)
        body = _body_of(request)
        if isinstance(body, SizedBody) and body.left <= len(buffer):
            request.body = io.BytesIO(body.take(buffer)[0])
            return request
        return self._first_part(request, body)

    def _first_part(self, request: Request, body: SizedBody | ChunkedBody) -> Request | None:
        """Ask whether a body is wanted before more of it is waited for, and take what is there."""
        try:
            most = self._admit(request, body.left if isinstance(body, SizedBody) else None)
        except Problem as problem:
            return self._without_body(request, problem)
        self._under_way = UnderWay(request, body, UploadFile(self._folder), most)
        whole = self._rest()
        self.asks = (
            not whole and request.version >= (1, 1) and any(name == "EXPECT" for name, _ in request.headers)
        )
        return whole

    def _rest(self) -> Request | None:
        """Take what is there of a body; return its request if that was the last of it."""
        request, body, kept, most = cast(UnderWay, self._under_way)
        found, last = body.take(self._buffer)
        length = kept.tell() + len(found)
        if length > most:
            raise too_large(most)
        kept.write(found)
        if not last:
            if len(self._buffer) > MOST_LINE:
                raise Problem(HTTPStatus.BAD_REQUEST, "A line between the body's chunks is too long.")
            return None
        self._under_way = None
        kept.seek(0)
        request.body = kept
        if isinstance(body, ChunkedBody):  # decoded, and so as any other body
            request.headers = [header for header in request.headers if header[0] != "TRANSFER-ENCODING"]
            request.headers.append(("CONTENT-LENGTH", str(length)))
        return request

    def close(self) -> None:
        """Let go of what has come of a body."""
        if self._under_way:
            self._under_way.kept.close()
            self._under_way = None

    def _without_body(self, request: Request, problem: Problem) -> Request:
        self.close()
        self.refused = True
        request.body = Withheld(problem)
        request.force_close()
        return request


def too_large(most: int) -> Problem:
    """Return what is said of a body that is longer than it may be."""
    detail = f"The body is larger than {most:,} bytes. Send it in parts."
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _parsed(head: bytes, cfg: Any, client: Any) -> Request:
    """Return Gunicorn's reading of a head; raises Problem."""
    try:
        request = Request(cfg, IterUnreader((head,)), client)
    except (ParseException, OSError, StopIteration) as error:
        raise Problem(*PARSER_SAYS.get(type(error), UNREADABLE)) from error
    request._expected_100_continue = False  # noqa: SLF001  said by whoever admits the body, not by Gunicorn
    return request


def _body_of(request: Request) -> SizedBody | ChunkedBody:
    """Return how a request's body is told from what follows it; raises Problem."""
    codings = [value.lower() for name, value in request.headers if name == "TRANSFER-ENCODING"]
    if codings not in ([], ["chunked"]):
        raise Problem(HTTPStatus.BAD_REQUEST, "Of transfer codings, chunked alone is understood.")
    reader = request.body.reader
    return ChunkedBody() if isinstance(reader, ChunkedReader) else SizedBody(reader.length)


def _line_of(buffer: bytearray) -> bytes | None:
    """Take a line off a buffer, without its end, if it is there."""
    end = buffer.find(LINE_END)
    if end < 0:
        return None
    line = bytes(buffer[:end])
    del buffer[: end + len(LINE_END)]
    return line
