"""A stand-in for a worker: `python -m tests.serving.spool_writer SPOOL ANSWERED COUNT [SECONDS]`.

It writes forecasts down one by one, and after each says its id in the file ANSWERED, as a worker answers.
Its files may not grow past the bytes of GRADECAST_TEST_MOST_BYTES.
"""

import os
import resource
import sys
import time
from pathlib import Path

from data.log.spool import Spool, SpoolError
from tests.contract.logged import asked


def main() -> None:
    folder, answered, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    pause = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    most = int(os.environ.get("GRADECAST_TEST_MOST_BYTES", "0"))
    spool = Spool(folder)
    client = os.open(answered, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(client, b"ready\n")
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    for _ in range(count):
        entry = asked()
        try:
            spool.append([entry])
        except SpoolError as error:
            print(error)
            continue
        os.write(client, entry["prediction_id"].encode() + b"\n")
        time.sleep(pause)


if __name__ == "__main__":
    main()
