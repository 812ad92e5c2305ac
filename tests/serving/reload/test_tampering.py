"""No bundle of which a single byte is not as registered gets as far as being tried, let alone served."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data.bundle.manifest import FILES, MANIFEST, REFERENCE, BundleError
from serving.predictor import Predictor
from serving.settings import PredictorSettings
from serving.sync import bring as syncing
from serving.sync.bring import sync
from tests.contract.tampering import rewrite, seal
from tests.serving.variants import Shelf, flip

SERVED = tuple(name for name in FILES if name != REFERENCE)  # which stays in the registry
EVERY_FILE = (*SERVED, MANIFEST)


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """See to it that no bundle is loaded, not even to try it."""

    def refuse(folder: Path) -> None:
        raise AssertionError(f"{folder} was tried")

    monkeypatch.setattr(syncing, "smoke_test", refuse)


@pytest.fixture
def stored(shelf: Shelf, milder: Path) -> Path:
    """The stored files of a version that was not synced yet, and is the champion now."""
    version = shelf.add(milder)
    shelf.seat(version)
    return shelf.stored(version)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def refused(wanted: PredictorSettings) -> str:
    with pytest.raises(BundleError) as error:
        sync(wanted)
    return str(error.value)


def places(size: int) -> tuple[int, ...]:
    """The first, a middle and the last byte: of a file that is hashed whole, any stands for all."""
    return 0, size // 2, size - 1


@pytest.mark.parametrize("name", EVERY_FILE)
@pytest.mark.usefixtures("untried")
def test_a_flipped_bit_or_a_file_cut_or_grown_is_refused_before_the_bundle_is_loaded(
    wanted: PredictorSettings, stored: Path, name: str
) -> None:
    whole = (stored / name).read_bytes()
    flips = (flipped(whole, place) for place in places(len(whole)))
    for content in (*flips, *(whole[:place] for place in places(len(whole))), whole + b"\n"):
        (stored / name).write_bytes(content)
        assert f"{name}: the bytes are not those that were registered" in refused(wanted)
    assert not wanted.current_bundle.exists()


@pytest.mark.parametrize("name", SERVED)
@pytest.mark.usefixtures("untried")
def test_a_changed_digest_is_refused_even_with_the_file_changed_to_match(
    wanted: PredictorSettings, stored: Path, name: str
) -> None:
    flip(stored / name, 0)
    seal(stored, name)
    assert "manifest.json: the bytes are not those" in refused(wanted)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / "card.md").unlink(),
        lambda folder: (folder / "more.pkl").write_bytes(b"x"),
        lambda folder: (folder / "inner").mkdir(),
        lambda folder: rewrite(folder, MANIFEST, lambda manifest: manifest["files"].clear()),
    ],
    ids=["no manifest", "a file missing", "a file too many", "a folder too many", "nothing sealed"],
)
@pytest.mark.usefixtures("untried")
def test_another_set_of_files_is_refused(
    wanted: PredictorSettings, stored: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(stored)
    refused(wanted)


@pytest.mark.parametrize("name", EVERY_FILE)
def test_a_worker_opens_no_bundle_that_was_changed_after_it_was_synced(
    serving_first: PredictorSettings, name: str
) -> None:
    synced = serving_first.current_bundle.resolve()
    for place in places((synced / name).stat().st_size):
        flip(synced / name, place)
        with pytest.raises(BundleError, match=f"{name}: the bytes are not those"):
            Predictor(synced)
        flip(synced / name, place)
    assert Predictor(synced).version == "1"
