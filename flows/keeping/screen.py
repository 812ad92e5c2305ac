"""What backup and restore say, and the exit code that goes with it."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from data.errors import BadInput
from flows.keeping.manifest import read_manifest
from flows.reports.progress import open_console
from flows.support.endings import BAD_INPUT, DONE, FAILED


def said(work: Callable[[Console], object]) -> int:
    """Do the work and return the exit code: 0 done, 1 the disk failed, 2 bad input, both said plainly."""
    console = open_console()
    try:
        work(console)
    except BadInput as error:
        console.print(f"[bold red]Bad input[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        return BAD_INPUT
    except OSError as error:
        console.print(f"[bold red]Failed[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        return FAILED
    return DONE


def show_kept(console: Console, backup: Path, word: str) -> None:
    """Print what a backup holds."""
    manifest = read_manifest(backup)
    table = Table("part", "place", "size", "SHA-256", title=f"{word}: {backup}", title_justify="left")
    for kept in manifest.kept:
        table.add_row(kept.name, escape(kept.place), decimal(kept.bytes), kept.sha256[:12])
    console.print(table)
    if manifest.missing:
        console.print(f"There was nothing of: {', '.join(manifest.missing)}.", highlight=False)
