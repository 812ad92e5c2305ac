"""Backup, loss and restore, rehearsed: nothing is lost."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from data.bundle.manifest import MANIFEST
from data.durable import digest
from data.errors import BadInput
from data.log.database import create_tables, drain, open_log, predictions
from flows import backup, restore
from flows.backup import back_up
from flows.backups.parts import read_manifest
from flows.registry.registration import Registered
from flows.registry.store import open_registry, version_of_alias
from flows.settings import Settings
from tests.contract.logged import asked
from tests.contract.postgres import Postgres, postgres

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def school(registered: Registered, settings: Settings, tmp_path: Path) -> Settings:
    """A home of its own with the session's registry, a log, a line in the spool, and Prefect's database."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(settings.home / "mlartifacts", home / "mlartifacts")
    shutil.copytree(settings.home / "bundles", home / "bundles")
    with (
        closing(sqlite3.connect(settings.home / "mlflow.db")) as live,
        closing(sqlite3.connect(home / "mlflow.db")) as copy,
    ):
        live.backup(copy)
        for table, column in PLACES:
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            copy.execute(change, (str(settings.home.resolve()), str(home.resolve())))
        copy.commit()
    own = settings.model_copy(update={"home": home})
    log(own, asked(at=NOW), asked("1002", at=NOW))
    spool(own, asked("1003", at=NOW))
    (home / "prefect").mkdir()
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as prefect, prefect:
        prefect.execute("CREATE TABLE flow_run (name text)")
        prefect.execute("INSERT INTO flow_run VALUES ('grade-pipeline')")
    return own


PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)


def spool(settings: Settings, *entries: object) -> None:
    folder = settings.home / "spool"
    folder.mkdir(exist_ok=True)
    (folder / "1-1.jsonl").write_bytes(b"".join(orjson.dumps(entry) + b"\n" for entry in entries))


def log(settings: Settings, *entries: object) -> None:
    spool(settings, *entries)
    drain(open_log(settings.database_url), settings.home / "spool")


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): digest(path) for path in files}


def logged(url: str) -> set[str]:
    with open_log(url).connect() as connection:
        return set(connection.execute(sa.select(predictions.c.prediction_id)).scalars())


def test_what_is_lost_is_there_again_after_a_restore(school: Settings, tmp_path: Path) -> None:
    saved = back_up(school, tmp_path / "backups")
    before = {name: digests(school.home / name) for name in ("mlartifacts", "bundles", "spool")}
    answered = logged(school.database_url)
    shutil.rmtree(school.home)

    restore.restore(school, saved)
    assert {name: digests(school.home / name) for name in before} == before
    assert logged(school.database_url) == answered
    drain(open_log(school.database_url), school.home / "spool")
    assert len(logged(school.database_url)) == 3
    client = open_registry(school)
    champion = version_of_alias(client, "grade-class", "champion")
    assert champion is not None
    bundle = Path(
        client.get_model_version_download_uri("grade-class", champion.version).removeprefix("file://")
    )
    assert digest(bundle / "artifacts" / "bundle" / MANIFEST) == champion.tags["manifest_sha256"]
    with closing(sqlite3.connect(school.home / "prefect" / "prefect.db")) as prefect:
        assert prefect.execute("SELECT name FROM flow_run").fetchall() == [("grade-pipeline",)]


def test_answers_that_are_logged_meanwhile_are_in_the_backup_or_after_it(
    school: Settings, tmp_path: Path
) -> None:
    stop, ids = threading.Event(), []

    def answer() -> None:
        while not stop.is_set():
            entry = asked(at=NOW)
            log(school, entry)
            ids.append(entry["prediction_id"])

    writer = threading.Thread(target=answer)
    writer.start()
    try:
        while len(ids) < 5:
            stop.wait(0.01)
        before = set(ids)
        saved = back_up(school, tmp_path / "backups")
    finally:
        stop.set()
        writer.join()
    shutil.rmtree(school.home)
    restore.restore(school, saved)
    drain(open_log(school.database_url), school.home / "spool")
    assert before <= logged(school.database_url)


def test_nothing_is_overwritten(school: Settings, tmp_path: Path) -> None:
    saved = back_up(school, tmp_path / "backups")
    (school.home / "mlflow.db").unlink()
    before = digests(school.home)
    with pytest.raises(BadInput, match="nothing is overwritten"):
        restore.restore(school, saved)
    assert digests(school.home) == before


def test_a_backup_that_was_damaged_restores_nothing(school: Settings, tmp_path: Path) -> None:
    saved = back_up(school, tmp_path / "backups")
    shutil.rmtree(school.home)
    file = saved / "log.db"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(BadInput, match="not as it was backed up"):
        restore.restore(school, saved)
    assert not school.home.exists()


def test_a_backup_says_what_it_holds_and_holds_no_key(
    school: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADECAST_HOME", str(school.home))
    monkeypatch.setenv("GRADECAST_ID_KEY", "a school's own key")
    assert backup.main([str(tmp_path / "backups")]) == 0
    (saved,) = (tmp_path / "backups").glob("gradecast-*")
    assert [kept.name for kept in read_manifest(saved).kept] == [
        "spool",
        "log",
        "registry",
        "prefect",
        "artifacts",
        "state",
    ]
    assert not [path for path in saved.iterdir() if b"a school's own key" in path.read_bytes()]
    assert restore.main([str(saved), "--check"]) == 0
    assert restore.main([str(saved)]) == 2
    assert restore.main([str(tmp_path)]) == 2
    assert backup.main([str(school.home / "backups")]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert all(
        word in said
        for word in ("Backed up", "Sound", "nothing is overwritten", "no backup there", "Name another disk")
    )


def test_an_empty_home_has_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to back up"):
        back_up(Settings(home=tmp_path / "none", tracking_uri=""), tmp_path / "backups")
    assert list((tmp_path / "backups").glob("gradecast-*")) == []


def test_a_registry_behind_a_server_must_be_named(school: Settings, tmp_path: Path) -> None:
    remote = school.model_copy(update={"tracking_uri": "http://127.0.0.1:5000"})
    with pytest.raises(BadInput, match="MLFLOW_BACKEND_STORE_URI"):
        back_up(remote, tmp_path / "backups")


@pytest.fixture
def server() -> Iterator[Postgres]:
    with postgres() as started:
        yield started


def test_databases_of_a_server_are_saved_and_restored(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def url(name: str, driver: str = "psycopg") -> str:
        return f"postgresql+{driver}://postgres@/{name}?host={server.folder}"

    def execute(name: str, *statements: str) -> None:
        engine = sa.create_engine(url(name), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    names = ("log", "mlflow", "prefect")
    make = tuple(f'CREATE DATABASE "{name}"' for name in names)
    execute("postgres", *make)
    for name in ("mlflow", "prefect"):
        execute(name, "CREATE TABLE kept (word text)", f"INSERT INTO kept VALUES ('{name}')")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", url("mlflow"))
    monkeypatch.setenv("MLFLOW_ARTIFACTS_DESTINATION", str(tmp_path / "artifacts"))
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", url("prefect", "asyncpg"))
    own = Settings(home=tmp_path / "home", tracking_uri="http://mlflow:5000", log_url=url("log"))
    own.home.mkdir()
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "model").write_bytes(b"model")
    log(own, asked(at=NOW), asked("1002", at=NOW))
    answered = logged(url("log"))
    saved = back_up(own, tmp_path / "backups")
    with pytest.raises(BadInput, match="nothing is overwritten"):
        restore.restore(own, saved)

    shutil.rmtree(tmp_path / "artifacts")
    execute("postgres", *(f'DROP DATABASE "{name}"' for name in names), *make)
    restore.restore(own, saved)
    assert logged(url("log")) == answered
    with open_log(url("log")).connect() as connection:
        create_tables(connection)
    for name in ("mlflow", "prefect"):
        engine = sa.create_engine(url(name), poolclass=sa.NullPool)
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT word FROM kept")).scalar_one() == name
    assert (tmp_path / "artifacts" / "model").read_bytes() == b"model"
