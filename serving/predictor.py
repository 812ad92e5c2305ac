"""A bundle on disk that answers validated records, and the one that is current. Needs no registry."""

import logging
import threading
import time
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data.bundle.bundle import Bundle
from data.bundle.card import read_card
from data.bundle.card_text import counts_hint
from data.bundle.manifest import MANIFEST, BundleError
from data.contract.columns import ELAPSED
from data.contract.dated import AS_OF
from data.durable import digest
from data.log.entries import new_ids
from data.rows.records import Record

LOOK_SECONDS = 0.2
RETRY_SECONDS = 5.0

Answer = dict[str, Any]
Seen = tuple[str, int, int]

log = logging.getLogger("gradecast.predictor")


class Predictor:
    """One verified bundle, and the version that its folder's name says."""

    def __init__(self, folder: Path) -> None:
        """Open a synced bundle, `VERSION-DIGEST` (of the manifest); raises BundleError."""
        self.version, _, digits = folder.name.rpartition("-")
        if (folder / MANIFEST).is_file() and not digest(folder / MANIFEST).startswith(digits):
            raise BundleError(f"{MANIFEST}: the bytes are not those that were synced")
        self.bundle = Bundle.load(folder)

    @cached_property
    def counts_hint(self) -> str:
        """What to say of counts over a period wherever values go in; nothing where there are none."""
        return counts_hint(self.bundle.contract, read_card(self.bundle.folder, self.bundle.manifest))

    def predict(self, records: list[Record], *, explain: bool = False) -> list[Answer]:
        """Return one answer a record, in order, with the reasons if wanted."""
        if not records:
            return []
        bundle, matrix, elapsed = self.bundle, self.bundle.matrix(records), self.bundle.elapsed(records)
        answers = bundle.answers(bundle.probabilities(matrix, elapsed), elapsed)
        told = (*((AS_OF,) if bundle.contract.dated else ()), *(() if elapsed is None else (ELAPSED,)))
        for answer, record, new in zip(answers, records, new_ids(len(answers)), strict=True):
            answer["model_version"], answer["prediction_id"] = self.version, new
            answer |= {name: record[name] for name in told if name in record}
        if explain:
            every = bundle.explain(matrix, elapsed)
            for answer, record, effects in zip(answers, records, every, strict=True):
                answer["reasons"] = self._reasons(record, effects)
        return answers

    def _reasons(self, record: Record, effects: np.ndarray) -> list[dict[str, Any]]:
        """Return each feature's effect on the forecast, largest first, and what it speaks for."""
        names, scale = self.bundle.space.columns, self.bundle.scale
        about = {"unit": scale.unit, "toward": list(scale.toward)}
        return [
            {"feature": names[i], "value": record[names[i]], "effect": float(effects[i]), **about}
            for i in np.argsort(-np.abs(effects), kind="stable")
        ]


class CurrentPredictor:
    """The predictor of the bundle that a link points at; follows the link's switches by itself.

    A thread looks at the link and opens what is new; requests go on with the last good bundle until
    then, and see the new one by one assignment. Make it after the fork: threads do not survive one.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self._seen: Seen | None = None
        self._again = 0.0
        self._looking = threading.Lock()
        self._predictor: Predictor | None = None
        self.problem: str | None = None
        """Why the bundle that is current is not the one that answers."""
        self.look()
        stop = threading.Event()
        watcher = threading.Thread(target=_watch, args=(weakref.ref(self), stop), daemon=True)
        weakref.finalize(self, _end, watcher, stop)
        watcher.start()

    def get(self) -> Predictor:
        """Return the predictor; raises BundleError while there is no bundle that can be used.

        Ask once a request: the next answer may come from another version. The first one waits for a bundle
        that is there and not open yet, for another worker may have said already that it is ready.
        """
        predictor = self._predictor
        if predictor is None:
            self.look()
            predictor = self._predictor
        if predictor is None:
            raise BundleError(self.problem or "no model has been synced yet")
        return predictor

    def look(self) -> None:
        """Open the current bundle if it is another one than before; on failure the last good one stays."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        seen = self._read_link()
        if seen is None or (seen == self._seen and (not self.problem or time.monotonic() < self._again)):
            return
        self._seen = seen
        try:
            self._predictor = Predictor(self._link.with_name(seen[0]))
        except Exception as error:
            if str(error) != self.problem:
                log.exception("bundle %s cannot be opened", seen[0])
            self.problem, self._again = str(error), time.monotonic() + RETRY_SECONDS
        else:
            self.problem = None

    def _read_link(self) -> Seen | None:
        """Return what tells one current bundle from another: its name, and which folder has it."""
        try:
            name = self._link.readlink().name
            folder = self._link.with_name(name).stat()
        except OSError:  # nothing there, or between two states
            return None
        return name, folder.st_ino, folder.st_ctime_ns


def _watch(reference: "weakref.ref[CurrentPredictor]", stop: threading.Event) -> None:
    """Look until told to stop, or nobody holds the predictor any more."""
    while not stop.wait(LOOK_SECONDS) and (current := reference()) is not None:
        current.look()
        del current


def _end(watcher: threading.Thread, stop: threading.Event) -> None:
    """Let a bundle that is being opened be opened before the interpreter goes."""
    stop.set()
    if watcher is not threading.current_thread():
        watcher.join()
