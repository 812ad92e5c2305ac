"""The Gunicorn worker: one loop that waits for senders and takers, and threads that wait for nobody.

The loop takes what comes in, gives whole requests to the threads, and sends what a client does not take at
once. A thread has a request only while it is worked on. What is refused, and what is asked by whoever watches
the predictor, is answered by a thread of its own, so that both are answered when all the others are busy.
"""

import gc
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.http import wsgi  # type: ignore[import-untyped]
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from serving.problems import Problem, unavailable
from serving.receiving import IN_MEMORY, LEAST_RATE, Incoming, Withheld, too_large
from serving.request_log import RequestLog, log_error
from serving.security import OPEN
from serving.settings import PredictorSettings

LOOK_SECONDS = 1.0
LINGER_SECONDS = 5.0  # without a byte, in which a refused client may still be sending
READ = 65_536  # bytes at once
GATHERED = 65_536  # bytes of an answer that go out together
MOST_DISCARDED = 100_000_000  # bytes of what a refused client still sends
MOST_KEPT = 1_000_000  # bytes that a client has not taken, before an answer that is made piecemeal waits
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Outlet:
    """Where an answer is written: sent as far as the client takes it, the rest kept for the loop to send."""

    def __init__(self, sock: socket.socket, patience: float) -> None:
        self._sock, self._patience, self._waited = sock, patience, 0.0
        self.kept = bytearray()
        self.sent = 0

    def sendall(self, data: bytes) -> None:
        """Write a piece once there is room for it; raises OSError where the client is gone or too slow."""
        if len(self.kept) > MOST_KEPT:
            self._make_room()
        self.kept += data
        if len(self.kept) > GATHERED:
            self.send()

    def send(self) -> None:
        """Send what the client takes now."""
        with suppress(BlockingIOError):
            while self.kept:
                sent = self._sock.send(self.kept)
                del self.kept[:sent]
                self.sent += sent

    def _make_room(self) -> None:
        with selectors.DefaultSelector() as poller:
            poller.register(self._sock, selectors.EVENT_WRITE)
            while len(self.kept) > GATHERED:
                begun, left = time.monotonic(), self._patience + self.sent / LEAST_RATE - self._waited
                if left <= 0 or not poller.select(left):
                    raise TimeoutError("the client takes its answer too slowly")
                self._waited += time.monotonic() - begun
                self.send()


class Waits(Enum):
    """What the loop waits for on a connection."""

    REQUEST = "for a request, or for the rest of one"
    TAKING = "for the client to take its answer"
    LEAVING = "for a client that was refused to stop sending"


class Connection:
    """A client's connection: what comes in, what goes out, and how long the loop waits for either."""

    def __init__(self, sock: socket.socket, client: Any, server: Any, incoming: Incoming) -> None:
        self.sock, self.client, self.server, self.incoming = sock, client, server, incoming
        self.outlet: Outlet
        self.goes_on = True
        self.discarded = 0
        self.waits, self.since, self.until = Waits.REQUEST, 0.0, 0.0


class Worker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's threaded worker, with a loop that never waits for one client alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: dict[Connection, None] = {}  # in the order in which their waiting began
        self._in_flight: set[Connection] = set()  # whose requests the threads have, running and waiting
        self._looked = 0.0
        self._ways = {
            Waits.REQUEST: (selectors.EVENT_READ, self._receive),
            Waits.TAKING: (selectors.EVENT_WRITE, self._send_on),
            Waits.LEAVING: (selectors.EVENT_READ, self._discard),
        }

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return Gunicorn's pool, and make the thread beside it."""
        self._aside = ThreadPoolExecutor(1)
        pool: ThreadPoolExecutor = super().get_thread_pool()
        return pool

    def load_wsgi(self) -> None:
        """Load the application and tell it how many requests there are, by which it sheds."""
        super().load_wsgi()
        gc.collect()
        gc.freeze()  # what is loaded stays: it need not be looked through for garbage again and again
        extensions = self.wsgi.extensions
        extensions["in_flight"] = lambda: len(self._in_flight)
        self._settings: PredictorSettings = extensions["settings"]
        self._patience = self._settings.request_seconds
        self._refusal: Callable[[dict[str, Any]], Problem | None] = extensions["refusal"]
        self._log: RequestLog = extensions["request_log"]
        self._log.gathers = True

    def run(self) -> None:
        """Serve until told to stop; the last lines of the log are written then."""
        try:
            super().run()
        finally:
            self._log.flush()
            self._aside.shutdown(wait=False)

    def notify(self) -> None:
        """Tell the arbiter that this worker lives, as Gunicorn does in every round; flush the log."""
        super().notify()
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._log.flush()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for what happens next, but not past the next look at who is late."""
        super().wait_for_and_dispatch_events(min(timeout, LOOK_SECONDS))

    def murder_keepalived(self) -> None:
        """Let those go who have been waited for too long; Gunicorn calls it in every round."""
        now = time.monotonic()
        if now - self._looked <= LOOK_SECONDS and self.alive:
            return
        self._looked = now
        for conn in list(self._waiting):
            is_idle = conn.waits is Waits.REQUEST and not conn.incoming.begun
            if now > conn.until or (is_idle and not self.alive):
                self._give_up(conn)

    def murder_pending(self) -> None:
        """Do nothing: all waiting is of one kind here."""

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection; where there is no room, the one goes that has been waited for longest."""
        try:
            sock, client = listener.accept()
        except BlockingIOError:
            return  # another worker has it
        except OSError:  # it is gone again, or no more files may be open
            self._make_room()
            return
        sock.setblocking(False)
        incoming = Incoming(self.cfg, client, self._settings.uploads, self._admit)
        conn = Connection(sock, client, listener.getsockname(), incoming)
        self.nr_conns += 1
        self._wait(conn, Waits.REQUEST, self.cfg.keepalive)
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def handle(self, conn: Connection, request: Request) -> bool:
        """Answer a request, in a thread; return whether the connection may go on."""
        outlet = conn.outlet = Outlet(conn.sock, self._patience)
        try:
            response, environ = wsgi.create(request, outlet, conn.client, conn.server, self.cfg)
            environ["wsgi.multithread"] = True
            if not self.alive:
                response.force_close()
            answer = self.wsgi(environ, response.start_response)
            try:
                for piece in answer:
                    response.write(piece)
                response.close()
            finally:
                if hasattr(answer, "close"):
                    answer.close()
        finally:
            request.body.close()
        outlet.send()
        return not response.should_close()

    def finish_request(self, conn: Connection, future: Future[bool]) -> None:
        """Go on with a connection after an answer, in the loop again."""
        self._in_flight.discard(conn)
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error:
            _log_unforeseen(error)
            self._close(conn)
            return
        conn.goes_on = future.result()
        self._go_on(conn)

    def _go_on(self, conn: Connection) -> None:
        """Send the rest of an answer, or go on to the next request, or end."""
        if conn.outlet.kept:
            self._wait(conn, Waits.TAKING, self._patience)
        elif not (conn.goes_on and self.alive):
            self._leave(conn)
        elif (request := conn.incoming.take()) is not None:
            self._give(conn, request)
        else:
            self._wait(conn, Waits.REQUEST, self._patience if conn.incoming.begun else self.cfg.keepalive)

    def _give(self, conn: Connection, request: Request) -> None:
        """Give a request to a thread."""
        is_urgent = request.path in OPEN or isinstance(request.body, Withheld)
        pool = self._aside if is_urgent else self.tpool
        if not is_urgent:
            self._in_flight.add(conn)
        done = partial(self.method_queue.defer, self.finish_request, conn)
        pool.submit(self.handle, conn, request).add_done_callback(done)

    def _admit(self, request: Request, length: int | None) -> int:
        """Return how long a body may be that is not all there yet; raises Problem if it is not wanted."""
        _, environ = wsgi.create(request, None, request.peer_addr, ("", 0), self.cfg)
        if problem := self._refusal(environ):
            raise problem
        settings, threads = self._settings, self.cfg.threads
        most = settings.body_limit(environ["PATH_INFO"])
        if length is not None:
            if length > most:
                raise too_large(most)
            if length <= IN_MEMORY:
                return length
        at_once = threads // 2 if most > settings.max_body_bytes else settings.max_in_flight
        if sum(conn.incoming.most == most for conn in self._waiting) >= at_once:
            raise unavailable("As many files are being sent as can be; ask again in half a minute.", 30)
        return most

    # What happens on a connection that is waited for

    def _receive(self, conn: Connection, data: bytes) -> None:
        incoming = conn.incoming
        had_begun = incoming.begun
        if not data and not had_begun:
            self._let_go(conn)
            return
        request = incoming.take(data) if data else incoming.end()
        if request is not None:
            self._stop_waiting(conn)
            self._give(conn, request)
            return
        if not had_begun:
            conn.since = time.monotonic()
        conn.until = conn.since + self._patience + incoming.length / LEAST_RATE
        if incoming.asks:
            incoming.asks = False
            conn.sock.send(CONTINUE)

    def _discard(self, conn: Connection, data: bytes) -> None:
        conn.discarded += len(data)
        if not data or conn.discarded > MOST_DISCARDED:
            self._let_go(conn)
            return
        latest = conn.since + self._patience + conn.discarded / LEAST_RATE
        conn.until = min(latest, time.monotonic() + LINGER_SECONDS)

    def _send_on(self, conn: Connection, _: bytes) -> None:
        conn.outlet.send()
        conn.until = conn.since + self._patience + conn.outlet.sent / LEAST_RATE
        if not conn.outlet.kept:
            self._stop_waiting(conn)
            self._go_on(conn)

    # Waiting, and its end

    def _wait(self, conn: Connection, waits: Waits, seconds: float) -> None:
        conn.waits, conn.since = waits, time.monotonic()
        conn.until = conn.since + seconds
        self._waiting[conn] = None
        self.poller.register(conn.sock, self._ways[waits][0], partial(self._happened, conn))

    def _happened(self, conn: Connection, sock: socket.socket) -> None:
        """Do what is to be done when a connection can be read or written; nothing ends the loop."""
        if conn not in self._waiting:
            return  # let go in this very round
        events, happened = self._ways[conn.waits]
        try:
            happened(conn, sock.recv(READ) if events == selectors.EVENT_READ else b"")
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001  one connection's, which must not be the end of the others
            _log_unforeseen(error)
            self._let_go(conn)

    def _stop_waiting(self, conn: Connection) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.sock)

    def _give_up(self, conn: Connection) -> None:
        """Wait no longer; who has sent a part of a request is told."""
        if conn.waits is Waits.REQUEST and conn.incoming.begun:
            self._stop_waiting(conn)
            detail = "The request did not come in whole in the time it has; nothing was taken."
            self._give(conn, conn.incoming.refuse(Problem(HTTPStatus.REQUEST_TIMEOUT, detail)))
        else:
            self._let_go(conn)

    def _make_room(self) -> None:
        if self._waiting:
            self._let_go(next(iter(self._waiting)))

    def _leave(self, conn: Connection) -> None:
        """End a connection; where the client may still be sending, let it read its answer first.

        To close with something unread resets the connection, and the answer is lost.
        """
        if not (conn.incoming.refused or conn.incoming.begun):
            self._close(conn)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, Waits.LEAVING, LINGER_SECONDS)

    def _let_go(self, conn: Connection) -> None:
        if conn in self._waiting:
            self._stop_waiting(conn)
            self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.incoming.close()
        conn.sock.close()


def _log_unforeseen(error: BaseException | None) -> None:
    """Log an error that does not merely say that the client is gone."""
    if error is not None and not isinstance(error, OSError):
        log_error(error, error.__traceback__)
