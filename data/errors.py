"""The two ways a command ends early on purpose."""

from pathlib import Path
from typing import Self


class BadInput(ValueError):
    """Input that a person can mend: says what is wrong, where, and what to do (exit 2)."""

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        column: str | None = None,
        remedy: str | None = None,
    ) -> None:
        places = [
            str(file) if file is not None else None,
            f"row {row}" if row is not None else None,
            f"column {column}" if column is not None else None,
        ]
        where = ", ".join(place for place in places if place)
        text = f"{where}: {message}" if where else message
        super().__init__(f"{text} {remedy}" if remedy else text)


class Stopped(RuntimeError):
    """A gate decided that nothing more may be done (exit 3).

    `report` is the page that shows why, where there is one.
    """

    report: Path | None = None

    def showing(self, report: Path) -> Self:
        """Return it with the page that shows why."""
        self.report = report
        return self
