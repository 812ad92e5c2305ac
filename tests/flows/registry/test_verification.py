"""A bundle counts only when it loads and answers in a clean process."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data.bundle.manifest import BOOSTER, CARD, EXAMPLES, MANIFEST, MODEL, BundleError
from data.durable import digest
from flows.registry import bundling as verification
from flows.registry.bundling import Submission, make_bundle, verify_bundle
from flows.settings import Settings


@pytest.fixture
def bundle(tmp_path: Path, bundle_folder: Path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))


def with_digests(folder: Path) -> None:
    """Let the manifest agree with what was spoilt."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {name: digest(folder / name) for name in manifest["files"]}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_sound_bundle_passes(bundle: Path) -> None:
    verify_bundle(bundle)


def spoil_the_card(folder: Path) -> None:
    (folder / CARD).write_text("a better card")


def name_a_pickle(folder: Path) -> None:
    (folder / "head.pkl").write_bytes(b"")


def hide_a_pickle(folder: Path) -> None:
    (folder / CARD).write_bytes(pickle.dumps({"cuts": [1, 2]}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_the_card, "the bytes are not those that were registered"),
        (name_a_pickle, "head.pkl: a pickle may not be in a bundle"),
        (hide_a_pickle, "card.md: a pickle may not be in a bundle"),
    ],
)
def test_a_bundle_that_is_not_what_was_registered_is_refused(
    bundle: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(bundle)
    with pytest.raises(BundleError, match=says):
        verify_bundle(bundle)


def promise_other_answers(folder: Path) -> None:
    examples = json.loads((folder / EXAMPLES).read_text())
    examples[3]["probabilities"].reverse()
    (folder / EXAMPLES).write_text(json.dumps(examples))


def break_the_model(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"no model at all")


def break_the_booster(folder: Path) -> None:
    whole = (folder / BOOSTER).read_bytes()
    (folder / BOOSTER).write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize("spoil", [promise_other_answers, break_the_model, break_the_booster])
def test_a_bundle_that_cannot_answer_or_crashes_is_refused_though_its_digests_agree(
    bundle: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(bundle)
    with_digests(bundle)
    with pytest.raises(BundleError, match="refused in a clean process"):
        verify_bundle(bundle)


def test_a_bundle_that_needs_what_serving_lacks_is_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "BARRED", (*verification.BARRED, "onnxruntime"))
    with pytest.raises(BundleError, match="serving has no onnxruntime"):
        verify_bundle(bundle)


def test_a_refused_bundle_leaves_nothing_under_its_final_name(
    submission: Submission, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "BARRED", (*verification.BARRED, "onnxruntime"))
    elsewhere = replace(submission, settings=settings.model_copy(update={"home": tmp_path}))
    with pytest.raises(BundleError):
        make_bundle(elsewhere)
    assert not elsewhere.place.exists()
