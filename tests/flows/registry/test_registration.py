"""Registration against a real MLflow: what is registered, who becomes champion, what a kill leaves."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from data.bundle.manifest import MODEL, REFERENCE
from data.contract.contract import find_contract
from data.errors import Stopped
from flows.registry.bundling import Submission
from flows.registry.registration import Registered
from flows.registry.store import load_champion, version_of_alias
from flows.settings import Settings
from tests.flows.registry.desk import NAME, Desk


def test_the_first_sound_model_is_champion(registered: Registered, session_registry: MlflowClient) -> None:
    assert (registered.version, registered.promoted, registered.reused) == ("1", True, False)
    version = version_of_alias(session_registry, NAME, "champion")
    assert version is not None
    assert str(version.version) == "1"
    assert version.tags["reason"] == version.description == registered.reason
    assert version.tags["promoted"] == "true"
    assert registered.reason.startswith("the first champion: log loss")


def test_an_equal_run_judges_what_was_registered_and_registers_no_new_version(
    submission: Submission, desk: Desk
) -> None:
    desk.add(submission)
    assert desk.aliases() == {}
    first, second = desk.register(submission), desk.register(submission)
    assert second.reused
    assert second == first
    assert first.promoted
    assert first.reason.startswith("the first champion")
    assert desk.versions() == ["1"]
    assert desk.aliases() == {"champion": "1"}


def test_another_sentence_of_the_contract_is_a_new_version_of_the_same_model_and_champion(
    submission: Submission, desk: Desk, tmp_path: Path
) -> None:
    desk.seat(submission)
    text = find_contract("grade_class").read_text(encoding="utf-8")
    (tmp_path / "grade_class.yaml").write_text(text.replace("Days missed", "Days away"), encoding="utf-8")
    again = desk.register(replace(submission, contract_name=str(tmp_path / "grade_class.yaml")))
    assert (again.version, again.promoted) == ("2", True)
    assert again.reason == "the model of version 1, with its contract and card as they are now"
    champion = load_champion(desk.client, NAME)
    assert champion is not None
    assert champion.bundle.contract.columns["Absences"].help == "Days away so far in this school year."


def test_a_version_that_was_damaged_before_it_was_judged_is_not_promoted(
    submission: Submission, desk: Desk
) -> None:
    version = desk.add(submission)
    stopped = pytest.raises(Stopped, match=f"version {version} of {NAME} cannot be read")
    with desk.spoilt(MODEL, version), stopped:
        desk.register(submission)
    assert "champion" not in desk.aliases()
    assert "reason" not in desk.tags(version)


def test_a_worse_model_stays_challenger_with_the_reason_on_its_version(
    submission: Submission, weak: Submission, desk: Desk
) -> None:
    desk.seat(submission)
    kept = desk.register(weak, approval="required")
    assert (kept.promoted, kept.waits) == (False, False)
    assert desk.aliases() == {"champion": "1", "challenger": "2"}
    assert desk.history()[-1] == ("rejected", "2", "1", "pipeline")
    assert kept.reason.startswith("may be worse by more than 0.01")
    assert desk.tags("2")["reason"] == kept.reason
    assert desk.client.get_model_version(NAME, "2").description == kept.reason


def test_a_better_model_replaces_the_champion_which_becomes_previous_and_stays_so_for_an_equal_run(
    weak: Submission, submission: Submission, desk: Desk
) -> None:
    desk.seat(weak)
    better, again = desk.register(submission), desk.register(weak)
    assert better.promoted
    assert better.reason.startswith("better: log loss -")
    assert desk.tags("2")["replaces"] == "1"
    assert (again.reused, again.promoted) == (True, False)
    assert "version 2 has replaced it" in again.reason
    assert desk.aliases() == {"champion": "2", "previous": "1"}


def test_a_model_that_is_not_worse_is_promoted_for_new_students_unless_it_must_win(
    submission: Submission, of_more_students: Submission, desk: Desk
) -> None:
    desk.seat(submission)
    newer = desk.register(of_more_students, promotion_margin=0.5)
    assert newer.promoted
    more = of_more_students.processed.train_rows - submission.processed.train_rows
    assert newer.figures["new_students"] == more
    assert desk.aliases() == {"champion": "2", "previous": "1"}
    assert newer.reason.startswith("not worse, and learned from")
    desk.clear()
    desk.seat(submission)
    kept = desk.register(replace(of_more_students, must_win=True), promotion_margin=0.5)
    assert not kept.promoted
    assert desk.aliases() == {"champion": "1", "challenger": "2"}


def test_random_grades_never_make_a_champion(
    submission: Submission, of_random_grades: Submission, desk: Desk
) -> None:
    desk.seat(submission)
    kept = desk.register(of_random_grades, promotion_margin=0.5)
    assert kept.reason.startswith("no better than the class shares alone"), (
        "though the champion is worse there"
    )
    assert desk.aliases() == {"champion": "1", "challenger": "2"}


def test_exchanged_grades_never_make_a_champion(
    submission: Submission, of_exchanged_grades: Submission, desk: Desk
) -> None:
    desk.seat(submission)
    kept = desk.register(replace(of_exchanged_grades, must_win=True), approval="none")
    assert not kept.promoted
    assert "labels cannot be right: classes look exchanged" in kept.reason
    assert "C stands for D, D stands for C" in kept.reason
    assert desk.aliases() == {"champion": "1", "challenger": "2"}


@pytest.mark.parametrize(
    ("approval", "alarm", "asked"),
    [
        ("after-alarm", True, True),
        ("after-alarm", False, False),
        ("none", True, False),
        ("required", False, True),
    ],
)
def test_a_person_is_asked_about_a_promotion_after_an_alarm_unless_set_otherwise(
    submission: Submission, approval: str, alarm: bool, asked: bool
) -> None:
    settings = submission.settings.model_copy(update={"approval": approval})
    assert Settings().approval == "after-alarm"
    assert replace(submission, settings=settings, must_win=alarm).asks_person is asked


@pytest.mark.parametrize("last_step", ["replaces", "champion"])
def test_a_promotion_that_was_cut_short_is_finished_by_the_next_run(
    weak: Submission, submission: Submission, desk: Desk, last_step: str
) -> None:
    desk.seat(weak)
    desk.add(submission)
    desk.client.set_model_version_tag(NAME, "2", "replaces", "1")
    if last_step == "champion":
        desk.client.set_registered_model_alias(NAME, "previous", "1")
        desk.client.set_registered_model_alias(NAME, "champion", "2")
    finished = desk.register(submission)
    assert finished.promoted
    assert finished.reason.startswith("better: log loss -")
    assert desk.aliases() == {"champion": "2", "previous": "1"}


def test_a_first_champion_whose_verdict_was_not_written_is_judged_as_the_first(
    submission: Submission, desk: Desk
) -> None:
    desk.client.set_registered_model_alias(NAME, "champion", desk.add(submission))
    assert desk.register(submission).reason.startswith("the first champion")
    assert desk.aliases() == {"champion": "1"}


def test_a_champion_that_was_tampered_with_stops_the_run_and_stays_where_it_is(
    submission: Submission, weak: Submission, desk: Desk
) -> None:
    desk.seat(submission)
    with (
        desk.spoilt(MODEL, "1"),
        pytest.raises(Stopped, match=r"version 1 .* cannot be read: .* not those that were registered"),
    ):
        desk.register(weak)
    assert desk.aliases() == {"champion": "1"}


@pytest.mark.parametrize("lost", ["*", REFERENCE])
def test_a_champion_without_its_files_or_its_sample_of_students_stops_the_run(
    submission: Submission, desk: Desk, lost: str
) -> None:
    desk.seat(submission)
    lacks = REFERENCE if lost == REFERENCE else ""
    with (
        desk.spoilt(lost, "1", gone=True),
        pytest.raises(Stopped, match=rf"version 1 of {NAME} cannot be read: .*{lacks}"),
    ):
        load_champion(desk.client, NAME)


def test_runs_that_a_killed_pipeline_left_running_are_closed(submission: Submission, desk: Desk) -> None:
    desk.seat(submission)
    experiment = desk.experiment(submission)
    left = desk.client.create_run(experiment).info.run_id
    desk.register(submission)
    assert desk.client.get_run(left).info.status == "KILLED"
    assert not desk.client.search_runs([experiment], "attributes.status = 'RUNNING'")


def test_a_registry_that_was_never_used_has_no_champion_and_leaves_the_environment_alone(desk: Desk) -> None:
    assert load_champion(desk.client, NAME) is None
    assert not {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} & os.environ.keys()
    assert Settings().local_registry


def test_the_champion_knows_whom_it_was_trained_on(
    submission: Submission, session_registry: MlflowClient
) -> None:
    champion = load_champion(session_registry, NAME)
    assert champion is not None
    assert champion.has_seen(submission.split("train")["pseudonym"]).all()
    assert not champion.has_seen(submission.split("test")["pseudonym"]).any()
    assert set(champion.reference().columns) >= {"Absences", "Gender", "GPA", "GradeClass", "quarantine"}
    assert not {"StudentID", "pseudonym"} & set(champion.reference().columns)
