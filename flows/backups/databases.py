"""A database into one file and back: SQLite by its online backup, PostgreSQL by pg_dump and pg_restore.

Both see one moment of the database, whoever writes to it meanwhile.
"""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from data.errors import BadInput
from data.sources.databases import hidden
from flows.runtime.workspace import finished_file

OF_LIBPQ = {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey"}
"""What an address may say that PostgreSQL's own programs know; drivers have words of their own."""
CLIENT = "Install PostgreSQL's client (Debian: postgresql-client), at least as new as the server."


def is_sqlite(url: sa.URL) -> bool:
    """Tell whether a URL is of a SQLite file; raises BadInput where it is of neither kind."""
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise BadInput(f"{hidden(url)} is neither SQLite nor PostgreSQL.")
    return kind == "sqlite"


def exists(url: sa.URL) -> bool:
    """Tell whether a database has anything in it; raises BadInput where a server does not answer."""
    if is_sqlite(url):
        return file_of(url).exists()
    engine = sa.create_engine(_plain(url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    try:
        return bool(sa.inspect(engine).get_table_names())
    except sa.exc.OperationalError as error:
        raise BadInput(f"{hidden(url)} does not answer: {error.orig}.") from error


def dump(url: sa.URL, file: Path) -> None:
    """Copy a database into a file; raises BadInput where that cannot be done, and says why."""
    if is_sqlite(url):
        _copy(file_of(url), file)
    else:
        _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={file}")


def load(file: Path, url: sa.URL) -> None:
    """Fill an empty database from a file, wholly or not at all; raises BadInput as `dump` does."""
    if is_sqlite(url):
        target = file_of(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        finished_file(target, lambda draft: _copy(file, draft))
    else:
        options = ("--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
        _run("pg_restore", url, *options, str(file))


def file_of(url: sa.URL) -> Path:
    """Return the file of a SQLite database."""
    return Path(url.database or "")


def _copy(source: Path, target: Path) -> None:
    """Copy a SQLite database that others may be writing to, and check every page of the copy."""
    # Not made if missing, but not read-only either: a reader of a log in WAL mode takes part in it.
    address = f"{source.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True)) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            (sound,) = copy.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise BadInput(f"cannot be copied: {error}.", file=source) from error
    if sound != "ok":
        raise BadInput(f"is damaged: {sound}.", file=source)


def _run(program: str, url: sa.URL, *options: str) -> None:
    """Run one of PostgreSQL's programs; the password goes by the environment, which others cannot read."""
    address = _plain(url).set(drivername="postgresql", password=None)
    command = [program, f"--dbname={address.render_as_string()}", *options]
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    try:
        done = subprocess.run(command, env=os.environ | secret, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BadInput(f"{program} is not installed.", remedy=CLIENT) from error
    if done.returncode:
        raise BadInput(f"{program} of {hidden(url)} failed: {done.stderr.strip()}")


def _plain(url: sa.URL) -> sa.URL:
    return url.difference_update_query(set(url.query) - OF_LIBPQ)
