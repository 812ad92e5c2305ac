"""Models: what is registered, which version is champion, and which is served from this state folder."""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from rich.console import Console
from rich.table import Table
from rich.text import Text

from data.contract.contract import load_contract
from data.errors import BadInput
from flows.registry.store import open_registry
from flows.runtime.exit_codes import DONE, explain
from flows.runtime.progress import open_console
from flows.settings import Settings

ALIASES = ("champion", "challenger", "previous")


class ModelOverview(NamedTuple):
    """A registered model: how many versions, the newest and its day, the version by alias, what is served.

    served: by the alias or version that a predictor of this state folder follows, the version it has.
    """

    name: str
    versions: int
    newest: str
    day: str
    aliases: dict[str, str]
    served: dict[str, str]


def main(arguments: list[str] | None = None) -> int:
    """Print the models; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.models", description=__doc__)
    parser.add_argument("--contract", help="name or YAML file (default: all that are registered)")
    given = parser.parse_args(arguments)
    console, settings = open_console(), Settings()
    try:
        only = load_contract(given.contract).model_name if given.contract else None
        show(console, list(registered(settings, only)))
    except (BadInput, MlflowException) as error:
        return explain(console, error, settings)
    return DONE


def registered(settings: Settings, only: str | None = None) -> Iterator[ModelOverview]:
    """Yield the registered models by name, or one of them."""
    if settings.local_registry and not (settings.home / "mlflow.db").exists():
        return  # nothing was registered yet, and looking is no reason to make a registry
    client = open_registry(settings)
    for model in sorted(client.search_registered_models(), key=lambda found: found.name):
        if only in (None, model.name):
            yield _looked_at(client, model, settings.home)


def _looked_at(client: MlflowClient, model: RegisteredModel, home: Path) -> ModelOverview:
    versions = client.search_model_versions(f"name='{model.name}'")
    newest = max(versions, key=lambda version: int(version.version), default=None)
    made = newest.creation_timestamp / 1000 if newest else 0
    return ModelOverview(
        name=model.name,
        versions=len(versions),
        newest=str(newest.version) if newest else "",
        day=f"{datetime.fromtimestamp(made, UTC):%Y-%m-%d}" if newest else "",
        aliases={alias: str(model.aliases[alias]) for alias in ALIASES if alias in model.aliases},
        served=served(home, model.name),
    )


def served(home: Path, name: str) -> dict[str, str]:
    """Return the versions of a model that predictors of a state folder have, by what they follow.

    Each has a folder, NAME@ALIAS, with a link to its bundle, VERSION-DIGEST.
    """
    links = sorted((home / "bundle").glob(f"{name}@*/current"))
    return {link.parent.name.partition("@")[2]: link.resolve().name.partition("-")[0] for link in links}


def show(console: Console, models: list[ModelOverview]) -> None:
    """Print the models as a table."""
    if not models:
        console.print("Nothing is registered yet: make pipeline trains and registers a model.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("model", "versions", "newest", *ALIASES, "served on this machine"):
        table.add_column(column, overflow="fold")
    for model in models:
        aliases = [model.aliases.get(alias, "none" if alias == "champion" else "") for alias in ALIASES]
        follows = ", ".join(f"{version} (as {what})" for what, version in model.served.items())
        newest = f"{model.newest} of {model.day}"
        cells = (model.name, str(model.versions), newest, *aliases, follows or "none")
        table.add_row(*map(Text, cells))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
