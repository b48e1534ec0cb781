"""What all commands share: options that mean the same everywhere, a progress bar, and how a result is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from osteon import settings

Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the results; earlier ones of this command are replaced.")
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes; default: settings, else one per core.")]
Labels = Annotated[
    Path | None, typer.Option("--labels", help="CSV, Excel or Parquet: accession, study or image, and the label.")
]
KeyColumn = Annotated[str, typer.Option(help="Column that names the study or image, if its name does not tell.")]
LabelColumn = Annotated[str, typer.Option(help="Column that holds the label, if its name does not tell.")]
PatientColumn = Annotated[str, typer.Option(help="Column of the label table that names the patient or group.")]
Sheet = Annotated[str, typer.Option(help="Sheet of the workbook; default: the first.")]
Task = Annotated[str, typer.Option(help="What the labels say: `fracture`, or grades of `rust` or `modified-rust`.")]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON and nothing else.")]

SECONDS_BEFORE_A_BAR = 2.0


class Watch:
    """A `Progress` that turns into a bar after two seconds, with rate, refusals and the time left."""

    def __init__(self, bar: Bar, label: str) -> None:
        self._bar, self._started = bar, time.monotonic()
        self._task = bar.add_task(label, total=None, rate="", refused="")
        self._first: int | None = None  # what was there before this run says nothing of its rate

    def __call__(self, done: int, total: int) -> None:
        """Told of what is done, of how much."""
        self._first = done if self._first is None else self._first
        seconds = time.monotonic() - self._started
        rate = f"{(done - self._first) / seconds:.1f}/s" if done > self._first else ""
        self._bar.update(self._task, completed=done, total=total, rate=rate)
        if seconds > SECONDS_BEFORE_A_BAR:
            self._bar.start()

    def refused(self, count: int) -> None:
        """Told of how many were refused so far."""
        self._bar.update(self._task, refused=f"{count} refused" if count else "")


@contextmanager
def bars(label: str, quiet: bool) -> Iterator[Watch]:
    """A progress bar on stderr for work over two seconds; none where nobody watches."""
    console = Console(stderr=True)
    told = (TextColumn("{task.fields[rate]}"), TextColumn("[red]{task.fields[refused]}"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *told, TimeRemainingColumn())
    bar = Bar(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)
    try:
        yield Watch(bar, label)
    finally:
        bar.stop()


def show(said: str, figures: dict[str, Any], as_json: bool) -> None:
    """Print one sentence for people, or the figures for machines."""
    print(json.dumps(figures, ensure_ascii=False, indent=2) if as_json else said)


def workers_of(asked: int | None) -> int:
    """The worker processes that were asked for, else those of the settings."""
    return asked or settings.load().worker_count
