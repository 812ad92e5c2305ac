"""What was decided of the versions of a model, as the log's database has it."""

import logging
from typing import TYPE_CHECKING

from serving.settings import Settings

if TYPE_CHECKING:
    from data.history import Entry

PATIENCE = 2  # seconds that a reader of the page may wait for a database that is busy

log = logging.getLogger("gradecast.pages")


def recorded_decisions(settings: Settings, model: str) -> "list[Entry] | None":
    """Return what was decided of a model's versions, newest first; None where it cannot be read now."""
    import sqlalchemy as sa  # costs a worker memory that forecasts do not need

    from data.errors import BadInput
    from data.history import read
    from data.log_database import open_log

    try:
        return read(open_log(settings.database_url, patience=PATIENCE), model)[::-1]
    except (sa.exc.SQLAlchemyError, BadInput) as error:
        log.warning("the history of %s cannot be read: %s", model, type(error).__name__)
        return None
