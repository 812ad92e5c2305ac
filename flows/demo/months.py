"""The twelve months of the demonstration year: what happens at the school, and what should come of it."""

from dataclasses import dataclass

PROGRAMME = -2.0
"""Strength of the scenario that takes tutoring's effect away: at -2 there is three times the effect."""
WINTER = 4.0  # days of absence more
CORRUPTED = 0.6  # share of grades that are drawn blindly


@dataclass(frozen=True)
class Month:
    """A month: the generated students' scenario, and what goes wrong at the school."""

    name: str
    story: str = "quiet"
    scenario: str | None = None
    strength: float | None = None
    corrupted: float = 0.0
    """Share of the grades reported that are drawn blindly."""
    lost_column: bool = False
    """The school's export lacks a column until somebody notices."""
    mended: bool = False
    """The grades of the month before are reported again, right this time."""
    rollback: bool = False
    """A person goes back to the version before."""


YEAR = (
    Month("September"),
    Month("October"),
    Month("November"),
    Month("December", "winter: four days of absence more", "absences", WINTER),
    Month("January", "winter: four days of absence more", "absences", WINTER),
    Month("February", "a tutoring programme: three times the effect", "tutoring-void", PROGRAMME),
    Month("March", "the programme goes on", "tutoring-void", PROGRAMME),
    Month("April", "grades mixed up in the office", "tutoring-void", PROGRAMME, corrupted=CORRUPTED),
    Month("May", "April's grades reported again, right", "tutoring-void", PROGRAMME, mended=True),
    Month("June", "a column is missing from the export", "tutoring-void", PROGRAMME, lost_column=True),
    Month("July", "the programme ends: a person rolls back", rollback=True),
    Month("August"),
)
SHORT = (YEAR[0], *YEAR[5:8])
"""Four months that show the loop: a quiet one, two of a changed effect, one of mixed-up grades."""
