"""Numbers as text, many at once."""

import numpy as np
import pytest

from serving.scoring import DigitsWriter


def test_numbers_stand_between_their_texts_to_six_digits() -> None:
    numbers = np.array([[0.0, 0.1234564], [1.0, 0.9999996], [5e-7, 0.000001]])
    assert DigitsWriter(["<", ";", ">"]).write(numbers) == [
        "<0.000000;0.123456>",
        "<1.000000;1.000000>",
        "<0.000000;0.000001>",
    ]


def test_texts_of_any_script_are_kept() -> None:
    assert DigitsWriter(["Ä\u4e2d:", "é"]).write(np.array([[0.5], [0.25]])) == [
        "Ä\u4e2d:0.500000é",
        "Ä\u4e2d:0.250000é",
    ]


def test_they_are_what_python_writes() -> None:
    numbers = np.random.default_rng(3).random((500, 3)).astype(np.float32)
    for text, row in zip(DigitsWriter(["", " ", " ", ""]).write(numbers), numbers, strict=True):
        assert list(map(float, text.split())) == pytest.approx(row.tolist(), abs=5.1e-7)
