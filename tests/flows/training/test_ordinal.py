"""Cut points and the ordinal objective: against the normal distribution and finite differences."""

import numpy as np
import pytest
from scipy.stats import norm

from flows.training.ordinal import OrdinalLink, fit_sigma, gradient, move_cuts, starting_cuts

CUTS = np.array([1.0, 0.0, -1.5])


def test_cut_points_give_the_normal_probabilities_of_each_class() -> None:
    shares = OrdinalLink("probit", (3.5, 3.0), 0.2).probabilities(np.array([3.2]))[0]
    above = norm.sf([3.5, 3.0], loc=3.2, scale=0.2)
    assert shares == pytest.approx([above[0], above[1] - above[0], 1 - above[1]])


@pytest.mark.parametrize("latent", [-1e4, 0.0, 1e4])
def test_probabilities_sum_to_one_however_far_the_latent(latent: float) -> None:
    shares = OrdinalLink("probit", tuple(CUTS), 0.3).probabilities(np.array([latent]))
    assert shares.sum() == pytest.approx(1.0)
    assert (shares >= 0).all()


def test_softmax_of_margins_is_cooled_by_sigma() -> None:
    margins = np.array([[2.0, 0.0, 0.0]])
    assert OrdinalLink("softmax", (), 1.0).probabilities(margins)[0, 0] == pytest.approx(
        np.e**2 / (np.e**2 + 2)
    )
    assert OrdinalLink("softmax", (), 4.0).probabilities(margins)[0, 0] < 0.5


def test_sigma_is_found_from_classes_alone() -> None:
    rng = np.random.default_rng(0)
    latent = rng.normal(0, 2, 20_000)
    y = (latent[:, None] + rng.normal(0, 0.4, (20_000, 1)) < CUTS).sum(axis=1)
    sigma, _ = fit_sigma(latent, y, CUTS, near=2.0)
    assert sigma == pytest.approx(0.4, rel=0.03)


def test_the_ordinal_gradient_and_hessian_are_the_derivatives_of_the_log_loss() -> None:
    latent, step = np.linspace(-2, 2, 41), 1e-3
    link = OrdinalLink("probit", tuple(CUTS), 1.0)
    for label in range(4):
        y = np.full(len(latent), label)
        loss = [-np.log(link.probabilities(latent + d)[:, label]) for d in (-step, 0, step)]
        slope, curvature = gradient(latent, y, CUTS)
        assert slope == pytest.approx((loss[2] - loss[0]) / (2 * step), abs=1e-5)
        assert curvature == pytest.approx((loss[2] - 2 * loss[1] + loss[0]) / step**2, abs=1e-5)


def test_the_ordinal_gradient_stays_finite_far_on_the_wrong_side() -> None:
    far = np.array([-1e3, -25.0, 25.0, 1e3])
    for label in range(4):
        slope, curvature = gradient(far, np.full(4, label), CUTS)
        assert np.isfinite(slope).all()
        assert (curvature > 0).all()


def test_moved_cuts_expect_each_class_as_often_as_it_occurs() -> None:
    rng = np.random.default_rng(1)
    latent = rng.normal(0, 1, 5_000)
    y = (latent[:, None] + rng.normal(0, 1, (5_000, 1)) < CUTS).sum(axis=1)
    cuts = move_cuts(starting_cuts(y, 4), latent, y, steps=10)
    expected = OrdinalLink("probit", tuple(cuts), 1.0).probabilities(latent).mean(axis=0)
    assert expected == pytest.approx(np.bincount(y) / len(y), abs=1e-6)
    assert (np.diff(cuts) < 0).all()
