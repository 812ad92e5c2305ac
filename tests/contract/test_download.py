"""The published data set is kept only when its bytes are right, and there is never half a file."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data.errors import BadInput
from data.sources import download as published
from data.sources.download import download

CONTENT = b"StudentID,Age\n1001,17\n" * 200
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def archive(**files: bytes) -> bytes:
    """Return a zip of files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return content.getvalue()


RIGHT = archive(readme=b"hello", **{"Student_performance_data _.csv": CONTENT})
FLIPPED = RIGHT[:80] + bytes([RIGHT[80] ^ 255]) + RIGHT[81:]
ANSWERS = {
    "/right": RIGHT,
    "/wrong": archive(data=CONTENT + b"x"),
    "/empty": archive(),
    "/page": b"<html>Sign in</html>",
    "/cut": RIGHT[: len(RIGHT) // 2],
    "/flipped": FLIPPED,
}


class Handler(BaseHTTPRequestHandler):
    """Answers the paths above; /short promises more than it sends."""

    def do_GET(self) -> None:
        content = ANSWERS.get(self.path, RIGHT[:50])
        self.send_response(200 if self.path in ANSWERS or self.path == "/short" else 404)
        self.send_header("Content-Length", str(len(content) + (900 if self.path == "/short" else 0)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_file_with_the_right_bytes_is_kept_whatever_its_name(address: str, tmp_path: Path) -> None:
    target = tmp_path / "data" / "grades.csv"
    for before in (None, CONTENT[:-1]):
        if before is not None:
            target.write_bytes(before)
        assert download(target, f"{address}/right", SHA256) == target
        assert target.read_bytes() == CONTENT
        assert [path.name for path in target.parent.iterdir()] == ["grades.csv"]
    assert download(target, "http://127.0.0.1:1/", SHA256) == target, "it is there already"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/wrong", f"no file has the SHA-256 {SHA256}; nothing was kept."),
        ("/empty", f"no file has the SHA-256 {SHA256}; nothing was kept."),
        ("/page", "gave no archive: File is not a zip file."),
        ("/cut", "gave no archive: File is not a zip file."),
        ("/flipped", "gave no archive: "),
        ("/short", "gave no archive: IncompleteRead"),
        ("/nowhere", "gave no archive: HTTP Error 404: Not Found."),
    ],
)
def test_anything_else_is_refused_and_nothing_is_written(
    path: str, says: str, address: str, tmp_path: Path
) -> None:
    target = tmp_path / "grades.csv"
    target.write_bytes(b"as it was")
    with pytest.raises(BadInput) as refusal:
        download(target, f"{address}{path}", SHA256)
    assert str(refusal.value).startswith(f"{address}{path}")
    assert says in str(refusal.value)
    assert "download it in a browser and give its path: make pipeline DATA=" in str(refusal.value)
    assert target.read_bytes() == b"as it was"
    assert [found.name for found in tmp_path.iterdir()] == ["grades.csv"]


def test_the_command_says_what_to_do_next_or_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    monkeypatch.setattr(download, "__defaults__", ("http://127.0.0.1:1/", SHA256))
    assert published.main() == 2
    assert "Bad input: http://127.0.0.1:1/ gave no archive" in capsys.readouterr().err
    target = tmp_path / "data" / "grade_class.csv"
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert published.main() == 0
    assert f"make pipeline DATA={target}" in capsys.readouterr().out


def test_the_published_digest_is_that_of_the_real_set(real_grades: Path, tmp_path: Path) -> None:
    target = tmp_path / "grade_class.csv"
    target.write_bytes(real_grades.read_bytes())
    assert download(target, "http://127.0.0.1:1/") == target
