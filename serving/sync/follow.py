"""Follow the model that is wanted: `python -m serving.sync.follow`, one process beside the workers.

Every GRADECAST_SYNC_SECONDS it looks at GRADECAST_MODEL_URI, and makes current what is new there if it
passes. Whatever goes wrong, the last good bundle stays current, and status.json beside it says why.
"""

import logging
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from data.bundle.manifest import BundleError
from data.durable import file_lock
from data.errors import BadInput
from serving.health import Status, describe_error, read_status, write_status
from serving.processes import end_when_told
from serving.request_log import log_json_lines
from serving.settings import PredictorSettings
from serving.sync.bring import WantedModel, adopt_former, bring, file_identity, find

LOCK = ".follower"
LONGEST_PAUSE = 60.0  # seconds between two tries of a model that is refused

log = logging.getLogger("gradecast.follow")


@dataclass
class ModelSyncer:
    """What a follower remembers between two looks."""

    settings: PredictorSettings
    status: Status = field(default_factory=Status)
    current: WantedModel | None = None
    refused: WantedModel | None = None
    why: str = ""
    """Of the refusal."""
    pause: float = 0.0
    again: float = 0.0

    def look(self, now: float) -> None:
        """Look for the wanted model once and make it current if it is new. `now` is monotonic seconds.

        Raises nothing that a later look may mend: it is told in the status.
        """
        error, wanted = None, self.status.wanted
        try:
            found = find(self.settings)
            wanted = found.version
            if found != self.current or not self.settings.current_bundle.exists():
                error = self._bring(found, now)
        except BadInput as missing:
            error = describe_error(missing)
        except Exception as unforeseen:
            error = describe_error(unforeseen)
            if error != self.status.error:
                log.exception("the wanted model cannot be looked for")
        self._tell(error=error, wanted=wanted, checked=datetime.now(UTC))

    def _bring(self, found: WantedModel, now: float) -> str | None:
        """Make a model current, or return why not; one that was refused is tried again ever more rarely."""
        if found == self.refused and now < self.again:
            return self.why
        before = _current(self.settings)
        self._tell(wanted=found.version)
        try:
            folder = bring(found, self.settings)
        except (BadInput, BundleError, OSError) as error:
            first = found != self.refused
            self.pause = self.settings.sync_seconds if first else min(2 * self.pause, LONGEST_PAUSE)
            self.refused, self.why, self.again = found, describe_error(error), now + self.pause
            self._tell(refused=self.status.refused + first)
            return self.why
        self.current, self.refused = found, None
        if folder.name != before:
            self._tell(version=found.version, since=datetime.now(UTC), ok=self.status.ok + 1)
            log.info("%s is current", folder.name)
        return None

    def _tell(self, **changes: Any) -> None:
        """Write what changed; a reason is logged when it is a new one."""
        status = self.status.model_copy(update=changes)
        if status.error and status.error != self.status.error:
            log.warning("%s", status.error)
        self.status = status
        try:
            write_status(self.settings.bundles, status)
        except OSError as error:  # a full disk: told again at the next look
            log.warning("the status cannot be written: %s", error)


def main() -> int:
    """Follow until told to end, or until another file is in the place of the registry's."""
    log_json_lines()
    log.setLevel(logging.INFO)
    end_when_told(lambda *_: sys.exit(0))
    settings = PredictorSettings.from_environment()
    with file_lock(settings.bundles / LOCK):  # a new master's waits for the end of the old one's
        adopt_former(settings)
        follower = ModelSyncer(settings, last_status(settings))
        opened = None
        while opened in (None, _registry(settings)):
            opened = opened or _registry(settings)
            follower.look(time.monotonic())
            time.sleep(settings.sync_seconds)
    log.info("the registry is another file now: starting again")  # MLflow holds on to the one it opened
    return 0


def _registry(settings: PredictorSettings) -> tuple[int, int] | None:
    """Return which file the registry is, if it is one and it is followed."""
    return file_identity(settings.registry_uri) if settings.model_uri.startswith("models:") else None


def last_status(settings: PredictorSettings) -> Status:
    """Return the last follower's status as far as it still holds: its counters, and what is current."""
    status, name = read_status(settings.bundles), _current(settings)
    version = name.rpartition("-")[0] if name else None
    since = status.since if version == status.version else datetime.now(UTC)
    return status.model_copy(update={"version": version, "since": since if version else None, "error": None})


def _current(settings: PredictorSettings) -> str | None:
    """Return the name of the bundle that is current, if it is there."""
    link = settings.current_bundle
    return link.readlink().name if link.exists() else None


if __name__ == "__main__":
    sys.exit(main())
