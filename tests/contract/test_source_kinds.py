"""The same students are read alike from a file, several files, a database, a store and a collection."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import bson
import fsspec
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.frames import parse
from data.sources.databases import (
    PASSWORD,
    SET_ASIDE,
    SqlAddress,
    document_chunks,
    hidden,
    open_collection,
    set_aside,
    with_secrets,
    without_secrets,
)
from data.sources.reading import check_source, open_chunks, read_whole
from tests.contract.files import read_records
from tests.contract.postgres import Postgres
from tests.contract.stores import running_store
from tests.contract.tiny import students

STUDENTS = students(
    7, Sleep=[7.5, None, 6, None, 8.25, 9, 7], Job=["shop", "Farm", "zoo", "other", *["shop"] * 3]
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "school.db"
    with sqlite3.connect(path) as connection:
        STUDENTS.assign(Shoe=40).to_sql("students", sa.create_engine(f"sqlite:///{path}"), index=False)
    connection.close()
    return path


def parsed(uri: str, contract: Contract) -> pd.DataFrame:
    return parse(read_records(uri, contract).frame, contract)


@pytest.mark.parametrize("what", ["table=students", "query=SELECT * FROM students ORDER BY Student"])
def test_a_table_and_a_query_are_read_as_a_file_is(what: str, database: Path, tiny: Contract) -> None:
    uri = f"sqlite:///{database}?{what}"
    check_source(uri)
    pd.testing.assert_frame_equal(parsed(uri, tiny), parse(STUDENTS, tiny))
    records = read_records(uri, tiny)
    assert records.undeclared == ("Shoe",)
    assert "Early" not in records.frame
    assert records.sha256 == read_records(uri, tiny).sha256


def test_a_postgresql_table_is_read_as_a_file_is_and_cannot_be_written_by_a_query(
    server: Postgres, tiny: Contract
) -> None:
    engine = sa.create_engine(server.url, poolclass=sa.NullPool)
    STUDENTS.to_sql("students", engine, index=False, if_exists="replace")
    plain = server.url.replace("postgresql+psycopg", "postgresql")
    pd.testing.assert_frame_equal(parsed(f"{plain}&table=students", tiny), parse(STUDENTS, tiny))
    query = f'{plain}&query=SELECT * FROM students ORDER BY "Student"'
    pd.testing.assert_frame_equal(parsed(query, tiny), parse(STUDENTS, tiny))
    with pytest.raises(BadInput, match="data-modifying statement must be at the top level"):
        read_records(f"{plain}&query=WITH x AS (DELETE FROM students RETURNING *) SELECT * FROM x", tiny)
    colons = SqlAddress.to_read(f"{plain}&query=SELECT '7'::int AS a, ' :b' AS c, 10 %25 3 AS d")
    assert (colons.count(), colons.names()) == (1, ["a", "c", "d"])
    inside = "SELECT 1) AS x; COMMIT; DELETE FROM students; SELECT count(*) FROM (SELECT 1"
    for end, read in (
        (inside, SqlAddress.count),
        (inside, SqlAddress.names),
        ("SELECT 1; COMMIT", _rows),
    ):
        with pytest.raises(BadInput, match="cannot insert multiple commands"):
            read(SqlAddress.to_read(f"{plain}&query={end}"))
    with open_chunks(f"{plain}&table=students&password=hush", tiny) as chunks:
        assert sum(map(len, chunks.read())) == len(STUDENTS)
        assert "hush" not in chunks.uri


def _rows(source: SqlAddress) -> list[object]:
    with source.rows() as found:
        return list(found)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT *, ':name' AS Note FROM students WHERE '8:30' <> ':x' ORDER BY Student",
        "SELECT *, 'a@b' AS Note FROM students ORDER BY Student",
        "SELECT * FROM students ORDER BY Student -- all: of them",
        "SELECT * FROM students ORDER BY Student; ",
    ],
)
def test_a_query_is_read_as_it_is_whatever_its_texts_hold(query: str, database: Path, tiny: Contract) -> None:
    uri = f"sqlite:///{database}?query={query}"
    source = SqlAddress.to_read(uri)
    assert source.count() == len(STUDENTS)
    with open_chunks(uri, tiny) as chunks:
        assert sum(map(len, chunks.read())) == len(STUDENTS)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("table=pupils", "there is no such table. There are: students."),
        ("query=SELECT Colour FROM students", "the database says: no such column: Colour"),
        ("query=DELETE FROM students", "give one table, or one SELECT"),
        ("query=SELECT 1&table=students", "give one table, or one SELECT"),
        ("query=WITH x AS (SELECT 1) DELETE FROM students", 'the database says: near "DELETE": syntax error'),
        ("query=SELECT Hours FROM students", "missing columns Student, Group,"),
        ("query=SELECT * FROM students WHERE Days > 99", "a header and no rows"),
        ("nothing", "it names no table"),
    ],
)
def test_what_a_database_cannot_give_is_said(what: str, says: str, database: Path, tiny: Contract) -> None:
    with pytest.raises(BadInput) as refusal:
        read_records(f"sqlite:///{database}?{what}", tiny)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (5_000 * "a", "a…: it cannot be looked for: File name too long. Check the path"),
        (f"{5_000 * 'a'}.csv", "a…: it cannot be looked for: File name too long. Check the path"),
        ("a**b/*.csv", "it cannot be looked for: Invalid pattern"),
        (f"sqlite:///{5_000 * 'a'}?table=x", "a…: there is no such database. Check the path"),
        ("sqlite:////etc/passwd?table=x", "the database says: file is not a database. Write sqlite:///path"),
        ("s3://", "s3://: it names no bucket. Write s3://bucket/file.csv"),
        ("s3:///year.csv", "it names no bucket"),
        ("http://[", "nothing here reads http://. Give a path"),
        ("mongodb://[::1/school?collection=x", "the address cannot be read. Write mongodb://"),
        ("postgresql://db:port/school?table=x", "the address of the database cannot be read. Write sqlite"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_in_one_sentence(
    uri: str, says: str, tiny: Contract
) -> None:
    for read in (check_source, lambda given: read_records(given, tiny)):
        with pytest.raises(BadInput) as refusal:
            read(uri)
        assert says in str(refusal.value)
        assert len(str(refusal.value)) < 300


def test_a_store_without_credentials_is_said(monkeypatch: pytest.MonkeyPatch, tiny: Contract) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(BadInput, match="s3://school: it cannot be fetched: Unable to locate credentials"):
        read_records("s3://school", tiny)
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # it keeps the connection without any


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path, tiny: Contract) -> None:
    with pytest.raises(BadInput, match="there is no such database"):
        check_source(f"sqlite:///{tmp_path / 'school.db'}?table=students")
    assert not (tmp_path / "school.db").exists()


@pytest.mark.parametrize("pattern", ["", "/*.csv", "/**/*"])
def test_a_folder_and_a_pattern_give_their_files_one_after_the_other(
    pattern: str, tmp_path: Path, tiny: Contract
) -> None:
    folder = tmp_path / "year"
    folder.mkdir()
    for number in range(3):
        part = STUDENTS.iloc[number::3]
        part.to_csv(folder / f"{number}.csv", index=False)
    if not pattern:
        STUDENTS.iloc[2::3].to_parquet(folder / "2.parquet")
        (folder / "2.csv").unlink()
    order = [*range(0, 7, 3), *range(1, 7, 3), *range(2, 7, 3)]
    found = parsed(f"{folder}{pattern}", tiny)
    wanted = parse(STUDENTS.iloc[order].reset_index(drop=True), tiny)
    pd.testing.assert_frame_equal(found.drop(columns="Job"), wanted.drop(columns="Job"))
    assert found["Job"].astype(str).tolist() == wanted["Job"].astype(str).tolist()


def test_a_pattern_that_nothing_matches_and_a_column_that_one_file_lacks_are_said(
    tmp_path: Path, tiny: Contract
) -> None:
    with pytest.raises(BadInput, match="no file that can be read matches this"):
        check_source(str(tmp_path / "*.csv"))
    STUDENTS.to_csv(tmp_path / "a.csv", index=False)
    STUDENTS.drop(columns="Days").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(BadInput, match=r"b\.csv: missing column Days"):
        read_records(str(tmp_path), tiny)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    parts = {"year/a.csv": STUDENTS.head(4), "year/b.csv": STUDENTS.tail(3)}
    objects = {key: rows.to_csv(index=False).encode() for key, rows in parts.items()}
    with running_store(monkeypatch, "school", objects):
        yield "s3://school"


def test_objects_of_a_store_are_read_one_by_one_by_prefix_and_by_pattern(bucket: str, tiny: Contract) -> None:
    assert len(read_records(f"{bucket}/year/a.csv", tiny).frame) == 4
    assert len(read_records(f"{bucket}/year/", tiny).frame) == 7
    assert len(read_records(f"{bucket}/year/*.csv", tiny).frame) == 7
    with pytest.raises(BadInput, match="it cannot be fetched"):
        read_records(f"{bucket}/year/c.csv", tiny)


def test_documents_in_the_drivers_own_types_are_rows(tiny: Contract) -> None:
    written = [
        {
            "_id": bson.ObjectId(),
            **{str(name): value for name, value in row.items() if value is not None and value == value},
            "Hours": bson.Decimal128(str(row["Hours"])),
            "Days": bson.Int64(row["Days"]),
        }
        for row in STUDENTS.astype(object).to_dict("records")
    ]
    read = [bson.decode(bson.encode(document)) for document in written]
    (frame,) = document_chunks(read)
    assert all(isinstance(value, str) for value in frame["_id"])
    pd.testing.assert_frame_equal(parse(frame, tiny), parse(STUDENTS, tiny))


def test_many_documents_come_in_chunks_and_a_field_that_some_lack_is_missing_there() -> None:
    sizes = [len(frame) for frame in document_chunks({"n": n} for n in range(100_001))]
    assert sizes == [50_000, 50_000, 1]
    (frame,) = document_chunks([{"a": 1}, {"b": 2}])
    assert np.isnan(frame["a"].to_numpy(dtype=float)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("mongodb://teacher:secret@127.0.0.1:1/school", "it names no database or no collection"),
        (
            "mongodb://teacher:secret@127.0.0.1:1/?collection=students",
            "it names no database or no collection",
        ),
        ("mongodb://teacher:secret@:x/school?collection=students", "cannot be read"),
        (
            "mongodb://teacher:secret@127.0.0.1:1/school?collection=students&serverSelectionTimeoutMS=50",
            "127.0.0.1:1: [Errno 111] Connection refused",
        ),
    ],
)
def test_a_collection_that_cannot_be_read_is_said_without_its_password(
    uri: str, says: str, tiny: Contract
) -> None:
    with pytest.raises(BadInput) as refusal:
        read_records(uri, tiny)
    assert says in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_collection_is_opened_without_its_server() -> None:
    collection = open_collection("mongodb://127.0.0.1:1/school?collection=students")
    assert collection.full_name == "school.students"
    collection.database.client.close()


SECRETS = {
    "postgresql://ann:p%40ss@db/school?table=x": "postgresql://ann@db/school?table=x",
    "postgresql://ann:hush@db/school?sslmode=require&table=x&password=other": (
        "postgresql://ann@db/school?sslmode=require&table=x"
    ),
    "postgresql://db/school?user=ann&password=hush&table=x": "postgresql://db/school?user=ann&table=x",
    "postgresql://ann@db/school?table=x&passfile=/home/hush&sslpassword=hush": (
        "postgresql://ann@db/school?table=x"
    ),
    "postgresql://ann@db/school?table=x&pass%77ord=hush": "postgresql://ann@db/school?table=x",
    "postgresql://ann:hu/sh#2@db/school?table=x": "postgresql://ann@db/school?table=x",
    "postgresql://ann:hu@sh@db/school?table=x": "postgresql://ann@db/school?table=x",
    "mongodb://db/school?collection=x&tlsCertificateKeyFilePassword=hush&authSource=a": (
        "mongodb://db/school?collection=x&authSource=a"
    ),
    "mongodb://db/school?authMechanismProperties=AWS_SESSION_TOKEN:hush&collection=x": (
        "mongodb://db/school?collection=x"
    ),
    "s3://key:hush@school/year.csv": "s3://key@school/year.csv",
    "s3://school/year.csv?X-Amz-Signature=hush&AWSAccessKeyId=hush&api_key=hush": "s3://school/year.csv",
}


@pytest.mark.parametrize(("uri", "shown"), SECRETS.items())
def test_secrets_are_taken_out_of_an_address_and_found_again_where_it_is_opened(
    uri: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SET_ASIDE, "")
    assert without_secrets(uri) == shown
    assert set_aside([uri, None]) == [shown, None]
    again = with_secrets(shown)
    assert without_secrets(again) == shown
    assert _user_and_options(again) == _user_and_options(uri)


def _user_and_options(uri: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what is before the last @, and the options in the order of their names, both unquoted."""
    before, _, query = uri.partition("?")
    return unquote(before.rpartition("@")[0]), sorted(parse_qsl(query))


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://ann@db/school?table=x&keepalives=1",
        "sqlite:///a.db?table=x",
        "sqlite:////home/a:b@c/d.db?query=SELECT 'password=1' AS \"token\"",
        "s3://school/a:b@c/year.csv",
        "mongodb://a:1,b:2/school?collection=x",
        "a@b?password=c.csv",
        "cohort://2392?seed=7",
    ],
)
def test_an_address_without_secrets_stays_as_it_is(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SET_ASIDE, "")
    assert [without_secrets(uri), *set_aside([uri]), with_secrets(uri)] == [uri] * 3


def test_the_password_of_the_environment_is_that_of_whoever_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "p@ss")
    assert with_secrets("postgresql://ann@db/school?table=x") == "postgresql://ann:p%40ss@db/school?table=x"
    assert with_secrets("postgresql://ann:own@db/x?table=x") == "postgresql://ann:own@db/x?table=x"
    assert with_secrets("postgresql://db/x?table=x") == "postgresql://db/x?table=x"


def test_two_passwords_of_one_user_are_refused_and_those_of_two_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SET_ASIDE, "")
    with pytest.raises(BadInput, match="two different passwords"):
        set_aside(["postgresql://a:one@db/x?table=x", "postgresql://a:two@db/x?table=y"])
    given = ["postgresql://a:one@db/x?table=x", "postgresql://b:two@db/x?table=y"]
    assert [with_secrets(uri) for uri in set_aside(given)] == given


@pytest.mark.parametrize("scheme", ["postgresql", "mongodb"])
def test_a_password_that_ends_an_address_early_is_refused_unseen(scheme: str) -> None:
    uri = f"{scheme}://ann:hu?sh@db/school?table=x"
    assert without_secrets(uri) == f"{scheme}://…"
    for read in (with_secrets, lambda given: set_aside([given]), check_source):
        with pytest.raises(BadInput, match=r"%3F") as refusal:
            read(uri)
        assert "sh@" not in str(refusal.value)


@pytest.mark.parametrize("option", ["password", "sslpassword", "passfile", "oauth_client_secret"])
def test_no_error_digest_or_name_of_a_database_has_a_secret_of_its_address(
    option: str, tiny: Contract
) -> None:
    uri = f"postgresql://ann@127.0.0.1:1/school?connect_timeout=2&{option}=hush"
    reads: tuple[Callable[[], object], ...] = (
        lambda: check_source(f"{uri}&table=x"),
        lambda: check_source(f"{uri}&query=SELECT 1"),
        lambda: check_source(f"{uri}&query=DELETE"),
        lambda: check_source(uri),
        lambda: read_whole(f"{uri}&table=x"),
        lambda: read_records(f"{uri}&table=x", tiny),
    )
    for read in reads:
        with pytest.raises(BadInput) as refusal:
            read()
        assert "hush" not in str(refusal.value)
    assert "hush" not in str(SqlAddress.to_read(f"{uri}&table=x"))
    assert "hush" not in hidden(sa.make_url(uri))
