"""Cut points and the ordinal objective: against the normal distribution and finite differences."""

import numpy as np
import pytest
from scipy.stats import norm

from data.bundle.models import forecast_of
from flows.training.ordinal import (
    Head,
    OrdinalLink,
    fit_head,
    fit_sigma,
    floor_of,
    gradient,
    move_cuts,
    row_losses,
    starting_cuts,
)

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
        np.exp(2) / (np.exp(2) + 2)
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


N = 6_000


def headed(latent: np.ndarray, y: np.ndarray, cuts: np.ndarray = CUTS) -> Head:
    """Fit a head to latents whose noise is about 0.5."""
    shares = np.bincount(y, minlength=len(CUTS) + 1) / len(y)
    return fit_head(latent, y, cuts, 0.5, floor_of(len(y), len(CUTS) + 1), shares)


def drawn(
    rng: np.random.Generator, outliers: float = 0.0, moved: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw latents with noise 0.3 and classes; of outliers any class at all, the cuts moved."""
    latent = rng.normal(0, 1.5, N)
    y = (latent[:, None] + rng.normal(0, 0.3, (N, 1)) < CUTS + moved).sum(axis=1)
    return latent, np.where(rng.random(N) < outliers, rng.permutation(y), y)


def test_the_cuts_of_whole_points_and_their_noise_are_found() -> None:
    latent, y = drawn(np.random.default_rng(2), moved=-0.25)
    head = headed(latent, y)
    assert head.shifts == pytest.approx(-0.25, abs=0.03)
    assert head.sigma == pytest.approx(0.3, rel=0.06)
    assert head.outliers < 0.004


def test_a_few_rows_that_nothing_explains_leave_the_others_as_sure_as_they_were() -> None:
    latent, y = drawn(np.random.default_rng(3), outliers=0.02)
    head, alone = headed(latent, y), fit_sigma(latent, y, CUTS, 0.5)[0]
    assert head.outliers == pytest.approx(0.02, abs=0.006)
    assert head.sigma == pytest.approx(0.3, rel=0.06)
    assert head.sigma < alone
    without = row_losses(forecast_of(latent, CUTS, alone), y).mean()
    assert row_losses(head.probabilities(latent, CUTS), y).mean() < without - 0.02


def test_the_head_has_no_worse_log_loss_than_its_noise_alone_where_nothing_is_odd() -> None:
    latent, y = drawn(np.random.default_rng(4))
    head = headed(latent[:400], y[:400])
    sigma, _ = fit_sigma(latent[:400], y[:400], CUTS, 0.5)
    ours, plain = head.probabilities(latent, CUTS), forecast_of(latent, CUTS, sigma)
    assert row_losses(ours, y).mean() < row_losses(plain, y).mean() + 0.005


@pytest.mark.parametrize("latent", [-1e6, 1e6])
def test_no_class_is_given_less_than_the_rows_support(latent: float) -> None:
    head = headed(*drawn(np.random.default_rng(5)))
    shares = head.probabilities(np.array([latent]), CUTS)
    assert shares.sum() == pytest.approx(1)
    assert shares.min() >= floor_of(N, 4)
    assert floor_of(10**9, 4) >= 1e-6, "six digits show it"


def test_what_never_happened_in_n_rows_is_given_half_a_row() -> None:
    assert floor_of(98, 4) == pytest.approx(0.5 / 100)


def test_each_row_may_have_cut_points_of_its_own() -> None:
    latent, y = drawn(np.random.default_rng(6))
    ours, own = headed(latent, y), headed(latent, y, np.tile(CUTS, (N, 1)))
    assert own.sigma == pytest.approx(ours.sigma)
    assert own.shifts == pytest.approx(ours.shifts)


def test_margins_are_cooled_and_have_their_outliers_too() -> None:
    rng = np.random.default_rng(7)
    margins = rng.normal(0, 2, (N, 4))
    y = (margins + rng.gumbel(size=(N, 4))).argmax(axis=1)
    y = np.where(rng.random(N) < 0.05, rng.integers(0, 4, N), y)
    head = fit_head(2 * margins, y, np.empty((N, 0)), 1.0, floor_of(N, 4), np.full(4, 0.25))
    assert head.sigma == pytest.approx(2.0, rel=0.1)
    assert head.outliers == pytest.approx(0.05, abs=0.02)
    assert head.probabilities(2 * margins, np.empty((N, 0))).min() >= floor_of(N, 4)


def test_few_rows_do_not_tear_the_cut_points_from_where_they_were() -> None:
    latent, y = drawn(np.random.default_rng(8))
    assert np.abs(headed(latent[:40], y[:40]).shifts).max() < 0.3
