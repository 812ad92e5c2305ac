"""The drift gate: are new records like those that the champion learned from?

`verdict.gate` takes a parsed batch and the champion's reference (`samples`) and asks column by column
(`columns`, by Evidently) and of the relation between records and grades (`relation`). Each answer is a
`Finding`, and the verdict is drawn from them.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

PASS, DRIFT, TOO_FEW_ROWS, NO_REFERENCE = "pass", "drift", "too few rows", "no reference"
NO_LABELS, NOT_TESTED = "no labels", "not tested"
LEAST_ROWS = 30
LEAST, FARTHEST = 1e-3, 1e4


class Finding(BaseModel):
    """One line of the gate's table.

    `score` is a p-value, or a `distance`; `test` is its title; `words` tells what changed.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    test: str = ""
    score: float | None = None
    threshold: float | None = None
    verdict: str
    words: str = ""
    distance: bool = False

    @property
    def sentence(self) -> str:
        """The finding as one plain sentence."""
        if self.score is None or self.threshold is None:
            return f"{self.name}: {self.words}."
        return f"{self.name}: {self.words} ({self.test}: {self.score:.2g}, limit {self.threshold:.2g})."

    @property
    def excess(self) -> float:
        """How many times it exceeds its limit, between 0.001 and 10,000; below 1 it does not.

        0 where nothing could be measured, unless that is what has drifted.
        """
        if self.score is None or not self.threshold:
            return FARTHEST if self.verdict == DRIFT else 0.0
        score, limit = self.score, self.threshold
        times = score / limit if self.distance else limit / max(score, limit / FARTHEST)
        return min(max(times, LEAST), FARTHEST)

    def cells(self) -> dict[str, Any]:
        """Give the finding as a row of texts for a table."""
        return {
            "what": self.name,
            "verdict": self.verdict,
            "change": self.words,
            "test": self.test,
            "score": "" if self.score is None else f"{self.score:.3g}",
            "limit": "" if self.threshold is None else f"{self.threshold:.3g}",
        }


def verdict_of(drifted: bool) -> str:
    """Name the verdict of a test; ask it so that what is not a number has drifted."""
    return DRIFT if drifted else PASS
