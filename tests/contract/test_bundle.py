"""A bundle is opened only when every byte is as it was registered, and answers in fixed words."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from data.bundle.answers import risk_of
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
from data.bundle.reasons import standing_of
from data.contract.contract import Contract, load_contract
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
@pytest.mark.usefixtures("unopened")
def test_a_file_of_other_bytes_is_refused_before_anything_is_opened(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    flips = [flipped(whole, place) for place in (0, len(whole) // 2, len(whole) - 1)]
    for content in (*flips, whole[:-1], whole[: len(whole) // 2], b"", whole + b"\n"):
        (folder / name).write_bytes(content)
        with pytest.raises(BundleError, match=f"{name}: the bytes are not those that were registered"):
            Bundle.load(folder)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def in_the_place_of_the_card(folder: Path) -> None:
    (folder / CARD).unlink()
    (folder / CARD).mkdir()


def a_contract_with_a_mistake(folder: Path) -> None:
    (folder / CONTRACT).write_text("name: grade_class\n", encoding="utf-8")
    seal(folder, CONTRACT)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        *(
            (lambda folder, name=name: (folder / name).unlink(), f"not in the manifest: {name}")
            for name in FILES
            if name != REFERENCE
        ),
        *(
            (lambda folder, name=name: (folder / name).touch(), f"not in the manifest: {name}")
            for name in ("model.pkl", ".hidden")
        ),
        (in_the_place_of_the_card, "card.md: the bytes are not those"),
        (a_contract_with_a_mistake, "contract.yaml: line 1: .*this key is missing"),
        *(
            (lambda folder, content=content: (folder / MANIFEST).write_bytes(content), "no readable manifest")
            for content in (b"", b"{", b"[]", b"\xff", b"null")
        ),
        (shutil.rmtree, "no readable manifest"),
    ],
)
@pytest.mark.usefixtures("unopened")
def test_what_is_no_bundle_is_refused_in_words(
    spoil: Callable[[Path], object], says: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(BundleError, match=says):
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


def test_a_bundle_of_before_there_were_families_is_xgboosts(folder: Path, rows: np.ndarray) -> None:
    before = Bundle.load(folder).explain(rows)
    rewrite(folder, MANIFEST, lambda manifest: manifest.pop("family"))
    old = Bundle.load(folder)
    assert old.manifest.family == "xgboost"
    assert (old.explain(rows) == before).all()
    old.check()


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda e: e[0]["probabilities"].reverse(), "its examples are answered"),
        (lambda e: e[-1]["probabilities"].__setitem__(0, float("nan")), "its examples are answered"),
        (
            lambda e: e[3]["record"].update(Absences=(e[3]["record"]["Absences"] + 15) % 31),
            "its examples are answered",
        ),
        (lambda e: e[0]["record"].update(Absences=99), "not records of this contract"),
        (lambda e: e[0].pop("record"), "not records of this contract"),
        (lambda e: e[0]["probabilities"].pop(), "not records of this contract"),
        (lambda e: [one["probabilities"].pop() for one in e], "not one probability a class"),
        (lambda e: e.clear(), "no example"),
    ],
)
def test_examples_that_the_model_does_not_answer_as_registered_are_refused(
    edit: Edit, says: str, folder: Path
) -> None:
    rewrite(folder, EXAMPLES, edit)
    with pytest.raises(BundleError, match=says):
        Bundle.load(folder).check()


def test_a_model_that_answers_otherwise_is_refused_even_with_its_digest(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / MODEL)
    constants = [onnx.numpy_helper.to_array(c) for c in model.graph.initializer]
    moved = next(i for i, array in enumerate(constants) if array.dtype == np.float32 and array.size)
    name = model.graph.initializer[moved].name
    model.graph.initializer[moved].CopyFrom(
        onnx.numpy_helper.from_array(constants[moved] + np.float32(0.5), name)
    )
    onnx.save(model, folder / MODEL)
    seal(folder, MODEL)
    with pytest.raises(BundleError, match="its examples are answered"):
        Bundle.load(folder).check()


def test_probabilities_are_shares_of_one(bundle: Bundle, rows: np.ndarray) -> None:
    found = bundle.probabilities(rows)
    assert found.dtype == np.float32
    assert found.shape == (len(rows), 5)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_one_record_is_answered_as_among_many(bundle: Bundle, rows: np.ndarray) -> None:
    alone = np.concatenate([bundle.probabilities(row[None]) for row in rows])
    np.testing.assert_allclose(alone, bundle.probabilities(rows), atol=1e-6)


def test_an_answer_has_the_fixed_fields(bundle: Bundle, rows: np.ndarray, grade_class: Contract) -> None:
    for answer in bundle.answers(bundle.probabilities(rows)):
        assert list(answer) == ["grade_class", "grade_class_index", "probabilities", "at_risk", "grade_set"]
        shares = answer["probabilities"]
        assert tuple(shares) == grade_class.target.labels
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert answer["grade_class"] == max(shares, key=shares.__getitem__)
        assert grade_class.target.labels[answer["grade_class_index"]] == answer["grade_class"]
        assert answer["at_risk"] == pytest.approx(shares["D"] + shares["F"], abs=1e-6)
        assert answer["grade_class"] in answer["grade_set"]
        assert json.loads(json.dumps(answer)) == answer


def test_grade_sets_always_hold_the_likeliest_class(bundle: Bundle) -> None:
    shares = np.random.default_rng(1).dirichlet(np.ones(5), 500).astype(np.float32)
    strict = Bundle(
        bundle.folder, bundle.manifest.model_copy(update={"set_thresholds": (2.0,) * 5}), bundle.contract
    )
    best = [[bundle.manifest.labels[top]] for top in shares.argmax(axis=1)]
    assert strict.grade_sets(shares) == best
    loose = bundle.grade_sets(shares)
    assert all(set(one) <= set(found) for one, found in zip(best, loose, strict=True))
    assert all(found == sorted(found, key=bundle.manifest.labels.index) for found in loose)


def test_one_answer_says_what_whole_columns_say(bundle: Bundle) -> None:
    shares = np.random.default_rng(2).dirichlet(np.full(5, 0.5), 500).astype(np.float32)
    answers = bundle.answers(shares)
    assert [answer["grade_set"] for answer in answers] == bundle.grade_sets(shares)
    np.testing.assert_array_equal(
        [answer["at_risk"] for answer in answers], risk_of(shares, bundle.contract.target)
    )


def test_answering_changes_nothing_of_the_probabilities(bundle: Bundle, rows: np.ndarray) -> None:
    found = bundle.probabilities(rows)
    before = found.copy()
    bundle.answers(found)
    np.testing.assert_array_equal(found, before)


def test_each_feature_has_a_finite_effect_and_a_known_direction(bundle: Bundle, rows: np.ndarray) -> None:
    effects = bundle.explain(rows)
    assert effects.shape == (len(rows), len(bundle.space.columns))
    assert np.isfinite(effects).all()
    place = bundle.space.columns.index("Absences")
    often, seldom = rows[:1].copy(), rows[:1].copy()
    often[0, place], seldom[0, place] = 29, 0
    assert bundle.explain(often)[0, place] < bundle.explain(seldom)[0, place]


def test_the_latent_puts_students_in_the_order_of_their_risk_and_apart_where_that_is_the_same(
    bundle: Bundle, rows: np.ndarray
) -> None:
    latent, shares = bundle.latent(rows), bundle.probabilities(rows)
    risk = risk_of(shares, bundle.contract.target)
    assert (np.diff(np.round(risk, 6)[np.argsort(latent)]) <= 0).all()
    line = bundle.cuts[bundle.contract.target.labels.index("C")]  # between C and D, which is at risk
    told, base = NormalDist().cdf, bundle.manifest.head["base"]
    by_latent = [sum(base[3:]) + (1 - sum(base)) * told((line - one) / bundle.spread) for one in latent]
    assert risk == pytest.approx(by_latent, abs=1e-4)
    worst = np.sort(latent)[: len(rows) // 4]
    assert len(np.unique(worst)) > len(np.unique(np.round(risk[np.argsort(latent)][: len(worst)], 6)))


def test_in_november_the_latent_is_the_mean_over_what_may_come(bundle: Bundle, rows: np.ndarray) -> None:
    whole = bundle.latent(rows, np.ones(len(rows)))
    early = bundle.latent(rows, np.full(len(rows), 0.25))
    assert whole == pytest.approx(bundle.latent(rows))
    assert (early <= whole + 1e-6).all(), "more absences may yet come, and none go"


def test_of_margins_the_latent_is_the_log_odds_of_not_being_at_risk() -> None:
    target = load_contract("after_school").target
    margins = np.random.default_rng(1).normal(0, 3, (50, len(target.labels)))
    shares = np.exp(margins / 2) / np.exp(margins / 2).sum(axis=1, keepdims=True)
    risk = risk_of(shares, target)
    assert standing_of(margins, target, "softmax", np.full(50, 2.0)) == pytest.approx(
        np.log((1 - risk) / risk)
    )
