"""The command line in a process that stops dead at a moment, to be killed there: ``python killed.py MOMENT ARGUMENTS``.

It says ``now`` on standard output and waits for its end.
"""

import sys
from collections.abc import Callable

from napari_fcn.cli import main
from napari_fcn.io.zarr_writer import ZarrSink
from napari_fcn.runs.ledger import RunLedger


def wait_for_the_end() -> None:
    sys.stdout.write("now\n")
    sys.stdout.flush()
    sys.stdin.read()


def after(calls: int, act: Callable) -> Callable:
    """Return a function that does as ``act`` the given number of times, and then waits for the end."""
    left = [calls]

    def count(*arguments: object) -> object:
        if not left[0]:
            wait_for_the_end()
        left[0] -= 1
        return act(*arguments)

    return count


def half_a_line() -> None:
    """Let the fourth block write half of its line."""
    add = RunLedger.add

    def tear(self: RunLedger, block: object) -> None:
        add(self, block)
        if len(self.blocks) % 4 == 0:
            whole = self._path.read_bytes()
            self._path.write_bytes(whole[:-40])
            wait_for_the_end()

    RunLedger.add = tear


def half_a_chunk() -> None:
    """Leave half of a chunk behind, as a disk that loses its power."""

    def tear(self: ZarrSink, where: tuple, block: object) -> None:
        chunk = max((self._temporary / "0").rglob("c/*/*"), key=lambda path: path.stat().st_mtime_ns)
        chunk.write_bytes(chunk.read_bytes()[:-7])
        wait_for_the_end()

    put, left = ZarrSink.put, [3]

    def count(self: ZarrSink, where: tuple, block: object) -> None:
        (put if left[0] else tear)(self, where, block)
        left[0] -= 1

    ZarrSink.put = count


def between_pixels_and_ledger() -> None:
    RunLedger.add = after(3, RunLedger.add)


def amid_the_pyramid() -> None:
    ZarrSink._create = after(0, ZarrSink._create)  # the finest level is there from an earlier run


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
