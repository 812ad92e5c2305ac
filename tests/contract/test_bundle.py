"""A bundle is opened only when every byte is the one that was registered."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.bundle.bundle import Bundle
from data.bundle.manifest import (
    CARD,
    CONTRACT,
    EXAMPLES,
    FILES,
    MANIFEST,
    MODEL,
    REFERENCE,
    BundleError,
    read_manifest,
)
from data.durable import digest
from data.rows.records import typical_record
from tests.contract.tampering import Edit, rewrite, seal


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """See to it that no model is opened."""

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("the model was opened")

    monkeypatch.setattr("onnxruntime.InferenceSession", refuse)


def test_a_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"grades")
    assert digest(tmp_path / "file") == hashlib.sha256(b"grades").hexdigest()


def test_the_registered_bundle_is_whole_and_answers_its_examples(bundle_folder: Path, bundle: Bundle) -> None:
    assert set(read_manifest(bundle_folder).files) == set(FILES)
    bundle.check()


def test_a_bundle_answers_without_its_sample_of_students(folder: Path) -> None:
    (folder / REFERENCE).unlink()
    Bundle.load(folder).check()


def test_examples_that_may_be_students_are_not_shown(folder: Path) -> None:
    def of_an_earlier_release(examples: Any) -> None:
        for example in examples:
            del example["made_up"]

    shown = Bundle.load(folder).shown
    rewrite(folder, EXAMPLES, of_an_earlier_release)
    assert Bundle.load(folder).shown == shown  # they were generated
    rewrite(folder, MANIFEST, lambda manifest: manifest["training"].update(source="students.csv"))
    bundle = Bundle.load(folder)
    assert bundle.shown == [typical_record(bundle.contract)]
    assert bundle.record.validate_python(bundle.shown[0]) == bundle.shown[0]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0], ids=["first byte", "middle byte", "last byte"])
@pytest.mark.usefixtures("unopened")
def test_a_flipped_bit_in_any_file_is_refused_before_anything_is_opened(
    name: str, place: float, folder: Path
) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name}: the bytes are not those that were registered"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b + b"\n"]
)
@pytest.mark.usefixtures("unopened")
def test_a_file_cut_short_or_grown_is_refused(
    name: str, change: Callable[[bytes], bytes], folder: Path
) -> None:
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(BundleError, match=f"{name}: the bytes are not those that were registered"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", [name for name in FILES if name != REFERENCE])
@pytest.mark.usefixtures("unopened")
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"files missing, or not in the manifest: {name}"):
        Bundle.load(folder)


@pytest.mark.parametrize("name", ["model.pkl", "notes.txt", ".hidden"])
@pytest.mark.usefixtures("unopened")
def test_a_file_too_many_is_named(name: str, folder: Path) -> None:
    (folder / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=f"files missing, or not in the manifest: {name}"):
        Bundle.load(folder)


@pytest.mark.usefixtures("unopened")
def test_a_folder_in_the_place_of_a_file_is_refused(folder: Path) -> None:
    (folder / CARD).unlink()
    (folder / CARD).mkdir()
    with pytest.raises(BundleError, match=r"card\.md: the bytes are not those"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["files"].update({MODEL: "0" * 64}),
        lambda m: m["files"].update({"../secret": "0" * 64}),
        lambda m: m["files"].pop(MODEL),
        lambda m: m.update(files={}),
        lambda m: m.pop("files"),
        lambda m: m.pop("head"),
        lambda m: m.update(format=2),
        lambda m: m.update(surprise=1),
        lambda m: m.update(contract="pass_fail"),
        lambda m: m.update(labels=m["labels"][::-1]),
        lambda m: m.update(labels=m["labels"][:-1]),
        lambda m: m.update(set_thresholds=m["set_thresholds"][:-1]),
        lambda m: m.update(set_thresholds="low"),
        lambda m: m.update(unit="points"),
    ],
)
@pytest.mark.usefixtures("unopened")
def test_a_manifest_that_was_tampered_with_is_refused(edit: Edit, folder: Path) -> None:
    rewrite(folder, MANIFEST, edit)
    with pytest.raises(BundleError):
        Bundle.load(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null"])
@pytest.mark.usefixtures("unopened")
def test_a_manifest_that_is_none_is_refused(content: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match="no readable manifest"):
        Bundle.load(folder)


def test_a_folder_that_is_not_there_or_has_no_manifest_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BundleError, match="no readable manifest"):
            Bundle.load(place)


@pytest.mark.usefixtures("unopened")
def test_a_contract_with_a_mistake_is_refused_even_with_its_digest(folder: Path) -> None:
    (folder / CONTRACT).write_text("name: grade_class\n", encoding="utf-8")
    seal(folder, CONTRACT)
    with pytest.raises(BundleError, match=r"contract\.yaml: line 1: .*this key is missing"):
        Bundle.load(folder)


def test_a_bundle_of_before_there_were_families_is_xgboosts(folder: Path, rows: np.ndarray) -> None:
    before = Bundle.load(folder).explain(rows)
    rewrite(folder, MANIFEST, lambda manifest: manifest.pop("family"))
    old = Bundle.load(folder)
    assert old.manifest.family == "xgboost"
    assert (old.explain(rows) == before).all()
    old.check()
