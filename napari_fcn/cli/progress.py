"""The progress bar of a run, on standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from napari_fcn.cli.terminal import plain
from napari_fcn.runs.progress import duration

if TYPE_CHECKING:
    from types import TracebackType

    from napari_fcn.runs.progress import RunProgress

LOG_INTERVAL = 30.0  # seconds between lines in a log file
BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class ProgressBar:
    """A progress bar with the time left, for one image.

    Parameters
    ----------
    name : str
        Text before the bar.
    is_quiet : bool
        Whether to show nothing.
    """

    def __init__(self, name: str, is_quiet: bool) -> None:
        from tqdm import tqdm

        interval = 0.1 if sys.stderr.isatty() else LOG_INTERVAL
        self._name = plain(name)
        self._task = ""
        self._total = 0
        self._bar = tqdm(
            desc=self._name, file=sys.stderr, leave=False, disable=is_quiet, mininterval=interval, bar_format=BAR
        )

    def show(self, progress: RunProgress) -> None:
        """Show the progress of the run."""
        if progress.task != self._task or not self._total:
            self._start(progress)
        self._bar.total = self._total = progress.total
        left = "" if progress.seconds_left is None else f"{duration(progress.seconds_left)} left"
        self._bar.set_postfix_str(left, refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def _start(self, progress: RunProgress) -> None:
        self._task = progress.task
        self._bar.set_description(": ".join(filter(None, [self._name, self._task])), refresh=False)
        self._bar.reset(progress.total)
        self._bar.initial = self._bar.n = self._bar.last_print_n = progress.resumed
        self._bar.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
