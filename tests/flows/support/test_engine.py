"""What is said of an engine that is not there or not understood."""

import pytest

from data.errors import BadInput
from flows.runtime.engine import Engine, dask_client, in_order, running


@pytest.mark.parametrize(
    ("kind", "scheduler", "says"),
    [
        ("local", "tcp://127.0.0.1:8786", "is for --engine dask. Give both"),
        ("dask", "127.0.0.1:8786", "not understood. Give local or dask, and a scheduler as tcp://HOST:PORT"),
        ("spark", "", "engine 'spark'"),
    ],
)
def test_an_engine_that_is_not_understood_is_refused(kind: str, scheduler: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Engine.of(kind, scheduler)


def test_a_scheduler_that_does_not_answer_is_named_with_what_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.runtime.engine.PATIENCE", 0.5)
    nobody = Engine.of("dask", "tcp://127.0.0.1:9")
    with (
        pytest.raises(
            BadInput, match=r"answers at .*:9. In a folder with this code, start `python -m dask scheduler`"
        ),
        dask_client(nobody),
    ):
        pass
    with pytest.raises(BadInput, match="no Dask scheduler answers"), running(nobody):
        pass


def test_this_machines_engine_needs_nothing_to_run() -> None:
    with running(Engine.local()) as engine:
        assert not engine.dask


@pytest.mark.parametrize("jobs", [1, 2])
def test_pieces_come_back_in_their_order(jobs: int) -> None:
    pieces = ((n, 2) for n in range(12))
    assert list(in_order(pow, pieces, Engine.local(), jobs)) == [n**2 for n in range(12)]


def test_an_error_of_a_piece_is_the_error_of_all() -> None:
    pieces = ((10, n) for n in (5, 2, 0, 1))
    with pytest.raises(ZeroDivisionError):
        list(in_order(divmod, pieces, Engine.local(), 1))
