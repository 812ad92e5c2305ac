"""What every model card says, whatever the model: for `flows` in Markdown, for the pages in HTML."""

NOT_REAL = (
    "It shows what the pipeline does. It knows nothing of any school, and must not be used on real students."
)
NOT_FOR = (
    "Giving grades, or deciding on admission, exclusion or support without a person who looks into it.",
    "Ranking students against each other, or judging teachers and schools.",
    "Saying what causes a grade. Its reasons are associations in past records.",
    "Students unlike those it learned from: another school, course, age or way of marking.",
)
WHOLE_PERIOD = "counted up over a period, and here over the whole of it."
WHOLE_COUNT = "Counted over the whole period, not so far."
TOO_EARLY = (
    "A count taken part of the way through is too low, and the forecast made from it wrong. A model that "
    "needs the whole period's count cannot warn early in that period; for that, train one on records as "
    "they stood at that time."
)
LIMITS = (
    "It knows only its columns. Illness, a new teacher or trouble at home it cannot see.",
    "It answers only within the ranges and codes of its columns, and refuses anything else.",
    "When the students or the marking change, it goes stale. A teacher may see that before any gate does.",
    "A forecast can influence the outcome it forecasts. Outcomes after an intervention are no clean test.",
)
LAW = (
    "Whether the law makes this a high-risk use is for the institution to find out. In the European Union, "
    "evaluating learning outcomes is named in Annex III of Regulation 2024/1689. Data protection law applies."
)
DUTIES = (
    (
        "Tell students, parents and staff that forecasts are made, from which columns, and what for.",
        "This card names every column and what it is for.",
    ),
    (
        "Human oversight: a named person looks at each forecast before anything follows, and can disagree.",
        "Reasons and plausible classes stand beside it; a teacher's disagreement is kept with it.",
    ),
    (
        "Record-keeping: keep forecasts, their version and later outcomes as long as the law says.",
        "Each forecast written down has its moment, version and values; how long it stays is one setting.",
    ),
    (
        "Accuracy: compare forecasts with outcomes every term; stop when figures leave the intervals above.",
        "Later grades are joined to their forecasts, and the monitor compares them with this card.",
    ),
    (
        "Answer requests to see, correct and erase a student's records.",
        "Students are kept under a keyed code, by which one command erases all that is known of one.",
    ),
)
"""What an institution must do, each with what there is to help."""
