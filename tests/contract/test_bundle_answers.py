"""A bundle answers in fixed words, and its own examples as they were registered."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.bundle.answers import risk_of
from data.bundle.bundle import Bundle
from data.bundle.manifest import EXAMPLES, MODEL, BundleError
from data.contract.contract import Contract
from tests.contract.tampering import Edit, rewrite, seal


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
