"""Bring the registry's model to disk: `python -m serving.sync`, see serving.sync.bring."""

import sys

from serving.sync.bring import main

if __name__ == "__main__":
    sys.exit(main())
