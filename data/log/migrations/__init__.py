"""The steps by which the log's tables came to be as they are, run by `data.log.database.create_tables`.

A new step is a file of Alembic's in versions/, whose name HEAD takes. A step may meet what is there already
(a database from before there were steps), and never imports the tables of today: a later step may change
them.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
VERSION_TABLE = "gradecast_schema"
"""Where a database says how far it has come: MLflow, in the same database, has Alembic's usual name."""
HEAD = "0002"
