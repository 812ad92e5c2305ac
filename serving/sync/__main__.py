"""Bring the registry's model to disk: `python -m serving.sync`.

It copies the model of GRADECAST_MODEL_URI to var/bundle/MODEL/VERSION-DIGEST and points `current` beside it
at it. Whatever goes wrong before the switch, the last good bundle stays current.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from data.bundle.manifest import BundleError
from data.contract.contract import load_contract
from data.errors import BadInput
from serving.settings import PredictorSettings
from serving.sync.bring import sync


def main(arguments: Sequence[str] | None = None) -> int:
    """Sync once; exit 0 when the model is current, 1 when it is refused, 2 when there is none."""
    parser = argparse.ArgumentParser(prog="python -m serving.sync", description=__doc__)
    parser.add_argument("--contract", help="serve the champion of this contract (name or path)")
    parser.add_argument("--uri", action="store_true", help="say which model it would be, and sync nothing")
    parser.add_argument("--copy-to", type=Path, metavar="FOLDER", help="copy the bundle there, for an image")
    given = parser.parse_args(arguments)
    settings = PredictorSettings.from_environment()
    try:
        if given.contract:
            uri = f"models:/{load_contract(given.contract).model_name}@champion"
            settings = settings.model_copy(update={"model_uri": uri})
        if given.uri:
            print(settings.model_uri)
            return 0
        folder = sync(settings)
        if given.copy_to:
            if given.copy_to.exists():
                raise BadInput(
                    f"{given.copy_to} is there already.", remedy="Remove it, or name another folder."
                )
            shutil.copytree(folder, given.copy_to)
    except (BadInput, BundleError, OSError) as error:
        kept = " The last good model is served on." if settings.current_bundle.exists() else ""
        print(f"sync: {error}{kept}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    print(f"sync: {settings.model_uri} is served from {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
