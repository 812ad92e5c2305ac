"""The Gunicorn worker: threads, a count of what waits for them, and an end to who sends too slowly."""

import gc
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from serving.request_log import RequestLog

LOOK_SECONDS = 1.0


class Pool(ThreadPoolExecutor):
    """Threads that know how many requests they have, running and waiting."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.in_flight, self._counting = 0, threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a request as soon as a thread is free."""
        self._count(1)
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(lambda _: self._count(-1))
        return future

    def _count(self, by: int) -> None:
        with self._counting:
            self.in_flight += by


class Worker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's threaded worker; the application sees how much waits, and slow senders are let go."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._since: dict[TConn, float] = {}
        self._looked = 0.0

    def get_thread_pool(self) -> Pool:
        """Return the pool that counts."""
        return Pool(self.cfg.threads)

    def load_wsgi(self) -> None:
        """Load the application and show it the pool, by whose length it sheds."""
        super().load_wsgi()
        gc.collect()
        gc.freeze()  # what is loaded stays: it need not be looked through for garbage again and again
        self.wsgi.extensions["in_flight"] = lambda: self.tpool.in_flight
        self._patience: float = self.wsgi.extensions["settings"].request_seconds
        self._log: RequestLog = self.wsgi.extensions["request_log"]
        self._log.gathers = True

    def run(self) -> None:
        """Serve until told to stop; the last lines of the log are written then."""
        try:
            super().run()
        finally:
            self._log.flush()

    def enqueue_req(self, conn: TConn) -> None:
        """Give a thread to a connection that says something, not to one that is silent yet."""
        if conn.initialized or conn.wait_for_data(0):
            self._since[conn] = time.monotonic()
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Forget a request that is over."""
        self._since.pop(conn, None)
        super().finish_request(conn, fs)

    def notify(self) -> None:
        """Tell the arbiter that this worker lives, as Gunicorn does in every round; look at slow ones."""
        super().notify()
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked = now
            self._log.flush()
            self._end_slow(now - self._patience)

    def _end_slow(self, begun_before: float) -> None:
        """Read no more of what has been coming in for too long; its thread sees the end of it at once.

        A request that has come in whole is not touched by this, however long its answer takes; and one
        whose route has given its socket a time limit of its own, as a batch does, looks after itself.
        """
        for conn, since in list(self._since.items()):
            if since < begun_before and conn.sock.gettimeout() is None:
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
