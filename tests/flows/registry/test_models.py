"""`make models`: what is registered, who is champion, what is served."""

import pytest

from flows.models import main, registered, served, show
from flows.runtime.progress import open_console
from flows.settings import Settings
from tests.flows.registry.desk import NAME, Desk


def test_each_model_is_listed_with_its_champion_and_what_is_served(
    two: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    for follows, version in (("champion", "2-ab12"), ("v1", "1-cd34")):
        folder = two.settings.home / "bundle" / f"{NAME}@{follows}"
        (folder / version).mkdir(parents=True)
        (folder / "current").symlink_to(version)
    other = two.settings.home / "bundle" / "exam-scores@champion"
    (other / "7-ef56").mkdir(parents=True)
    (other / "current").symlink_to("7-ef56")
    (found,) = registered(two.settings)
    assert (found.name, found.versions, found.newest) == (NAME, 2, "2")
    assert found.aliases == {"champion": "2", "previous": "1"}
    assert found.served == {"champion": "2", "v1": "1"}
    assert served(two.settings.home, "exam-scores") == {"champion": "7"}
    show(open_console(), [found])
    said = capsys.readouterr().out
    assert NAME in said
    assert "2 (as champion)" in said.replace("\n", " ")
    assert list(registered(two.settings, "exam-scores")) == []


def test_where_nothing_is_registered_it_says_what_registers_and_makes_nothing(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(["--contract", "exam_scores"]) == 0
    assert "make pipeline" in capsys.readouterr().out
    assert not (Settings().home / "mlflow.db").exists()
    assert main(["--contract", "no_such"]) == 2
