"""A registry that tests register at: emptied for each of them, and logged to only once for each model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from data.log.database import open_log
from data.log.history import read, verify
from flows.registry.bundling import Submission, make_bundle
from flows.registry.decisions import PromotionVerdict, newest_entry, settle
from flows.registry.registration import Registered, log_and_register, register_submission
from flows.registry.store import experiment_id, open_registry, version_of_alias
from flows.settings import Settings

NAME = "grade-class"
SEATED = PromotionVerdict(True, "the first champion: seated by a test", {})


@dataclass(frozen=True)
class Desk:
    """A state folder with a real MLflow on SQLite."""

    settings: Settings
    logged: dict[str, ModelVersion] = field(default_factory=dict)

    @property
    def client(self) -> MlflowClient:
        return open_registry(self.settings)

    def experiment(self, submission: Submission) -> str:
        return experiment_id(self.client, submission.contract.model_name, self.settings)

    def register(self, submission: Submission, **changed: object) -> Registered:
        """Register and judge, as the pipeline does."""
        return register_submission(self.own(submission, **changed))

    def own(self, submission: Submission, **changed: object) -> Submission:
        """Return a submission as it is submitted here."""
        own = replace(submission, settings=self.settings.model_copy(update=changed))
        make_bundle(own)
        return own

    def add(self, submission: Submission) -> str:
        """Register without judging, as a run does that is killed in between; return the version."""
        client = self.client
        known = self.logged.get(submission.fingerprint)
        if known is None:
            own = self.own(submission)
            version = log_and_register(client, self.experiment(own), own)
            self.logged[submission.fingerprint] = version
            return str(version.version)
        client.create_registered_model(NAME) if not client.search_registered_models() else None
        again = client.create_model_version(
            NAME, str(known.source), run_id=known.run_id, tags=known.tags, model_id=known.model_id
        )
        return str(again.version)

    def seat(self, submission: Submission) -> str:
        """Make a model the champion whatever it is worth; return its version."""
        return self.promote(self.add(submission))

    def promote(self, version: str) -> str:
        settle(self.client, self.settings, NAME, version, SEATED)
        return version

    def clear(self) -> None:
        """Forget every version and what was decided; what was logged stays."""
        if self.client.search_registered_models():
            self.client.delete_registered_model(NAME)
        for file in self.settings.home.glob("predictions.db*"):
            file.unlink()

    def history(self) -> list[tuple[str, str, str | None, str]]:
        """Return event, version, champion and who decided, oldest first; fails if the chain is broken."""
        entries = read(open_log(self.settings.database_url), NAME)
        assert verify(entries, newest_entry(self.client, NAME)) == []
        return [(entry.event, entry.version, entry.champion, entry.by) for entry in entries]

    def aliases(self) -> dict[str, str]:
        """Return alias → version, of those that are set."""
        client, names = self.client, ("champion", "challenger", "previous")
        found = {alias: version_of_alias(client, NAME, alias) for alias in names}
        return {alias: str(version.version) for alias, version in found.items() if version}

    def versions(self) -> list[str]:
        return sorted(str(v.version) for v in self.client.search_model_versions(f"name = '{NAME}'"))

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(NAME, version).tags)

    @contextmanager
    def spoilt(self, name: str, version: str, *, gone: bool = False) -> Iterator[None]:
        """Have a bit of a file of a version's bundle flipped, or the file gone; `*` is all of them."""
        where = Path(self.client.get_model_version_download_uri(NAME, version).removeprefix("file://"))
        kept = {path: path.read_bytes() for path in where.rglob(f"bundle/{name}")}
        for path, whole in kept.items():
            spoilt = bytearray(whole)
            spoilt[len(spoilt) // 2] ^= 1
            path.unlink() if gone else path.write_bytes(spoilt)
        try:
            yield
        finally:
            for path, whole in kept.items():
                path.write_bytes(whole)
