"""What teachers noted beside forecasts: that they agree with them, or do not."""

from collections.abc import Iterator

import numpy as np
import sqlalchemy as sa

from data.contract import Contract
from data.log_tables import overrides
from data.measurements import Measurement
from flows.monitoring.quality import share_of
from flows.monitoring.window import Window

VERDICTS = ("agree", "disagree")


def override_shares(engine: sa.Engine, contract: Contract, window: Window) -> Iterator[Measurement]:
    """Yield the shares of agreeing and disagreeing notes of a window; nothing where there are none."""
    if not sa.inspect(engine).has_table(overrides.name):
        return
    inside = (
        overrides.c.contract == contract.name,
        overrides.c.at >= window.since,
        overrides.c.at < window.until,
    )
    with engine.connect() as connection:
        said = connection.execute(sa.select(overrides.c.verdict).where(*inside)).scalars().all()
    for verdict in VERDICTS if said else ():
        found = share_of(np.array([each == verdict for each in said]))
        yield Measurement("override_share", found.value, found.rows, found.low, found.high, about=verdict)
