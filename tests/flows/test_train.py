"""The training stage: one candidate on disk, complete, and made once."""

from data.contract.contract import Contract
from flows.processing.processed import Processed
from flows.registry.bundling import Submission
from flows.runtime.workspace import SEAL
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid


def test_an_equal_run_reuses_the_candidate_and_says_so(
    submission: Submission, processed: Processed, grade_class: Contract, small_grid: Grid, settings: Settings
) -> None:
    repeated = train_model(processed, grade_class, small_grid, settings)
    assert repeated == submission.trained.model_copy(update={"reused": True})


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


def test_out_of_fold_probabilities_cover_every_training_row(submission: Submission) -> None:
    shares, classes = submission.trained.out_of_fold()
    assert shares.shape == (submission.processed.train_rows, 5)
    assert len(classes) == submission.processed.train_rows
    assert abs(shares.sum(axis=1) - 1).max() < 1e-5
