"""The training stage: one candidate on disk, complete, and made once."""

from data.contract.contract import Contract
from flows.processing.processed import Processed
from flows.registry.bundling import Submission
from flows.reports.screen import chosen_and_baselines
from flows.runtime.workspace import SEAL
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid


def test_an_equal_run_reuses_the_candidate_and_says_so(
    submission: Submission, processed: Processed, grade_class: Contract, small_grid: Grid, settings: Settings
) -> None:
    repeated = train_model(processed, grade_class, small_grid, settings)
    assert not submission.trained.reused
    assert repeated.reused
    assert repeated.folder == submission.trained.folder


def test_the_candidates_folder_holds_all_that_registration_needs(submission: Submission) -> None:
    names = {path.name for path in submission.trained.folder.iterdir()}
    assert names == {
        "booster.ubj",
        "model.onnx",
        "leaderboard.parquet",
        "out_of_fold.parquet",
        "trained.json",
        SEAL,
    }


def test_the_leaderboard_has_the_candidates_and_the_baselines_on_the_same_folds(
    submission: Submission,
) -> None:
    board = chosen_and_baselines(submission.trained.leaderboard())
    assert list(board.columns) == ["name", "log_loss", "accuracy", "f1_macro", "difference", "low", "high"]
    assert (board["name"] == "gradecast").sum() == 1
    assert len(board) >= 5
    assert board[board["name"] != "gradecast"].notna().all(axis=None)


def test_out_of_fold_probabilities_cover_every_training_row(submission: Submission) -> None:
    shares, classes = submission.trained.out_of_fold()
    assert shares.shape == (submission.processed.train_rows, 5)
    assert len(classes) == submission.processed.train_rows
    assert abs(shares.sum(axis=1) - 1).max() < 1e-5
