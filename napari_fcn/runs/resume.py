"""The folder of an unfinished run, and whether another run may resume it."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import REPLACE, Advice, OutputError, OutputExistsError, ProjectInUseError
from napari_fcn.file_names import wrapped
from napari_fcn.inference.roi import format_roi
from napari_fcn.io import disk
from napari_fcn.io.fingerprint import fingerprint
from napari_fcn.io.overwrite import is_zarr_entry, join_paths
from napari_fcn.io.result_kinds import LANDSCAPE, RESULT_KINDS
from napari_fcn.io.result_names import UNFINISHED_SUFFIX
from napari_fcn.io.result_reader import read_provenance
from napari_fcn.runs.ledger import DoneBlock, RunLedger, checksum
from napari_fcn.settings import SPLIT, TORCH, PredictSettings, options
from napari_fcn.storage import FolderMark, foreign_files, is_link, remove_own_files
from napari_fcn.storage.lock import LOCK_NAME as LOCK
from napari_fcn.storage.lock import Lock, is_lock_file, is_lock_name
from napari_fcn.storage.owned_folder import MARK_NAME as MARKED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from napari_fcn.geometry import Region, TilePlan
    from napari_fcn.io import ResultMeta
    from napari_fcn.io.fingerprint import FileSummary
    from napari_fcn.runs.job import RunInput

    Stored = Mapping[str, npt.NDArray[np.generic] | None]

MARK = FolderMark("unfinished run")
PIECES = "pieces"  # of objects, until they are joined
STAGED = frozenset(name for kind in (*RESULT_KINDS, LANDSCAPE, PIECES) for name in (kind, f"{kind}.npy"))
LEDGER = "ledger.jsonl"
LINE = 2**12  # bytes that must be free for a line of the ledger
# settings that earlier versions lack, at their defaults: digests of their files stay
UNUSED = (("object_size", None), ("split", SPLIT), ("smallest", None), ("percentiles", ()), ("scaling", "image"))
# settings that leave the result unchanged, or are compared resolved
FREE = ("tile", "memory", "device", "precision", "backend", "roi")
NAMES = {  # parts of an identity as a user knows them; the others are options
    "version": "napari-fcn",
    "model": "the model's hash",
    "device": "the device",
    "precision": "the precision",
    "backend": "the back end",
    "scale": "the pixel size",
    "units": "the unit of the pixel size",
    "origin": "the origin of the image",
    "shape": "the shape of the image",
    "dtype": "the number type of the image",
    "file": "size and date of the image file",
    "intensities": "the range of intensities",
    "measured": "the measured object size",
}

OPTIONS = options(PredictSettings)
FLAGS = {"kinds": "--save", "axes": "--axes", **{one.name: f"--{one.name}" for one in OPTIONS}}
LABELS = {"kinds": "what is saved", "axes": "the axes", **{one.name: one.label for one in OPTIONS}}


class UnfinishedRun:
    """The folder of an unfinished run: incomplete results, the ledger, and the lock of the process that writes.

    Parameters
    ----------
    out : Path
        The result. The folder lies next to it, so that complete results only have to be renamed.
    run : mapping
        The `run_identity`.
    source : callable
        Returns the fingerprint of the files that hold a region.
    """

    def __init__(self, out: Path, run: Mapping[str, Any], source: Callable[[Region], str]) -> None:
        self.folder = folder_of(out)
        self._run, self._source = dict(run), source
        self._lock: Lock | None = None
        self._ledger: RunLedger | None = None
        self._plan: TilePlan | None = None

    @property
    def exists(self) -> bool:
        """Whether an earlier run was stopped and can be resumed."""
        return (self.folder / LEDGER).exists()

    def reset(self) -> None:
        """Lock the folder and remove the files of an earlier run.

        Raises
        ------
        OutputError
            If another run is writing there, or the system refuses.
        """
        if self._lock is None:
            self._take()
        remove_own_files(self.folder, lambda parts, is_folder: parts[0] != LOCK and _is_ours(parts, is_folder))

    def resume(self) -> tuple[int, ...]:
        """Lock the folder and return the tile of the run to resume; () if there is none.

        Raises
        ------
        OutputExistsError
            If the settings of that run differ.
        OutputError
            If it is still running, or the system refuses.
        """
        self._take()
        self._refuse_shared()
        try:
            self._ledger = RunLedger.open(self.folder / LEDGER)
        except OSError as error:
            self._release()  # the ledger may exist and be readable later
            raise disk.write_error(self.folder, LINE, error) from error
        if self._ledger is None:
            return ()
        if differences := diff(self._ledger.run["identity"], self._run):
            self.close()
            self._ledger = None
            raise OutputExistsError(
                f"{self.folder} contains an unfinished run with different settings:",
                Advice(
                    f"{_listed(differences, FLAGS)}. "
                    "Give the same settings, or start over with --overwrite instead of --resume.",
                    f"{_listed(differences, LABELS)}. {REPLACE}",
                ),
            )
        return tuple(self._ledger.run["tile"])

    def begin(self, plan: TilePlan) -> None:
        """Create the ledger of a run with these tiles, unless it is resumed.

        Raises
        ------
        OutputError
            If the system refuses.
        """
        self._plan = plan
        run = {"identity": self._run, "tile": plan.tile}
        try:
            self._ledger = self._ledger or RunLedger.create(self.folder / LEDGER, run)
        except OSError as error:
            raise disk.write_error(self.folder, LINE, error) from error

    def stored(self, plan: TilePlan, read: Callable[[Region], Stored]) -> Iterator[Region]:
        """Yield the finished cores: in the ledger, from image files that have not changed, with valid checksums.

        Parameters
        ----------
        plan : TilePlan
            The tiles of the run.
        read : callable
            Returns the stored block of each kind in a region, None if it cannot be read.
        """
        finished = {} if self._ledger is None else self._ledger.blocks
        for tile in plan:
            block = finished.get(tile.core)
            if block is None or block.source != self._fingerprint(tile.core):
                continue
            if all(_has_checksum(stored, block.sums.get(kind)) for kind, stored in read(tile.core).items()):
                yield tile.core

    def add(self, core: Region, results: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Record that the results of a core are stored.

        Raises
        ------
        OutputError
            If the system refuses.
        """
        assert self._ledger is not None
        sums = {kind: checksum(block) for kind, block in results.items()}
        try:
            self._ledger.add(DoneBlock(core, self._fingerprint(core), sums))
        except OSError as error:
            raise disk.write_error(self.folder, LINE, error) from error

    def close(self) -> None:
        """Unlock the folder, so that another run can resume; without finished blocks, remove it."""
        if self._lock is None:
            return
        if not (self._ledger and self._ledger.blocks):
            self.remove()
            return
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                self._lock.release()
        self._lock = None

    def remove(self) -> None:
        """Remove the files of the run, and the folder if it is then empty; it must be locked."""
        if self._lock is not None:
            remove_own_files(self.folder, _is_ours)
        self._lock = None

    def clear(self) -> None:
        """Remove the folder of an earlier run whose results are complete, unless another run is writing there."""
        if self.folder.is_dir():
            with suppress(OutputError):
                self._take()
                self.remove()

    def _take(self) -> None:
        try:
            _claim(self.folder)
            self._lock = Lock(self.folder)
        except ProjectInUseError as error:
            raise OutputError(
                f"Another run is writing {self.folder}. Wait until it has ended. If it has, and you are sure of it, "
                f"delete the file {self.folder / LOCK}."
            ) from error
        except OSError as error:
            raise disk.write_error(self.folder, LINE, error) from error

    def _refuse_shared(self) -> None:
        """Raise OutputExistsError if a file of the run has a second name elsewhere, which would change with it."""
        shared = [path for path in self.folder.iterdir() if path.is_file() and os.lstat(path).st_nlink > 1]
        if shared:
            self._release()
            raise OutputExistsError(
                f"{join_paths(self.folder, shared)} in {self.folder} is also a file elsewhere (a hard link), which "
                "would change with it.",
                Advice(
                    "Copy the folder and remove the first one, or start over with --overwrite instead of --resume.",
                    "Copy the folder and remove the first one, or tick Advanced > Replace files to start over.",
                ),
            )

    def _fingerprint(self, core: Region) -> str:
        assert self._plan is not None
        return self._source(self._plan.around(core).read)


def folder_of(out: Path) -> Path:
    """Return the folder of the unfinished run of a result."""
    return out.with_name(wrapped(out.name, after=UNFINISHED_SUFFIX))


def is_kept(out: Path) -> bool:
    """Whether there is an unfinished run of a result to resume."""
    folder = folder_of(out)
    return not is_link(folder) and (folder / LEDGER).is_file()


def stored_identity(out: Path) -> dict[str, Any] | None:
    """Return the identity of the unfinished run of a result; None if there is none that can be read."""
    with suppress(OSError):
        ledger = RunLedger.open(folder_of(out) / LEDGER) if is_kept(out) else None
        return None if ledger is None else dict(ledger.run["identity"])
    return None


def _claim(folder: Path) -> None:
    """Create and mark the folder of a run, or accept one that a run created.

    Raises
    ------
    OutputError
        If a folder of this name is not that of a run, or holds other files.
    OSError
        If the system refuses.
    """
    if is_link(folder) or (folder.exists() and not folder.is_dir()):
        raise _in_the_way(folder, "a link" if is_link(folder) else "a file")
    folder.mkdir(parents=True, exist_ok=True)
    if os.listdir(folder) and not MARK.is_in(folder) and not _is_of_earlier_version(folder):
        raise _in_the_way(folder, "a folder")
    if foreign := foreign_files(folder, _is_ours):
        raise OutputError(
            f"{folder} also holds {join_paths(folder, foreign)}, which no run wrote.",
            "Move that away: the folder is removed when the run is complete.",
        )
    MARK.write(folder)


def _in_the_way(folder: Path, what: str) -> OutputError:
    return OutputError(
        f"{folder} is {what} that napari-fcn did not create. An unfinished run would be stored there and removed at "
        "the end.",
        "Rename it, or choose another name for the result.",
    )


def _is_ours(parts: tuple[str, ...], is_folder: bool) -> bool:
    """Whether runs create an entry, given by the names on its path inside the folder of a run."""
    first, *below = parts
    if below:
        return first in RESULT_KINDS and is_zarr_entry(below, is_folder)
    return first in STAGED or (not is_folder and (first in (LEDGER, MARKED, LOCK) or is_lock_name(first)))


def _is_of_earlier_version(folder: Path) -> bool:
    """Whether version 0.1.0 started a run here; it marked folders by ledger and lock only."""
    ledger, lock = folder / LEDGER, folder / LOCK
    try:
        is_run = not is_link(ledger) and RunLedger.open(ledger) is not None
    except OSError:
        is_run = False
    return is_run or (not is_link(lock) and is_lock_file(lock))


def run_identity(run_input: RunInput, meta: ResultMeta, kinds: Collection[str]) -> dict[str, Any]:
    """Return all that determines the results of a run, as JSON-like values.

    If the image has several files, they are compared block by block, not here.
    """
    image, session = run_input.image, run_input.session
    facts = {
        "version": version("napari-fcn"),
        "model": session.checkpoint.hash,
        "device": meta.provenance["device"].split(":")[0],
        "precision": meta.provenance["precision"],
        "settings": {k: v for k, v in asdict(session.settings).items() if k not in FREE and (k, v) not in UNUSED},
        "kinds": sorted(kinds),
        "axes": "".join(session.axes.names).upper(),
        "scale": meta.scale,
        "units": meta.units,
        **({"origin": meta.origin} if any(meta.origin) else {}),  # absent at 0: digests of older files stay
        **({"roi": format_roi(session.region, session.axes.image)} if session.region else {}),  # likewise
        "shape": image.data.shape,
        "dtype": str(image.data.dtype),
        "file": run_input.files.state,
        "intensities": session.scaling.identity,
        **({} if (choice := session.measured_size) is None else {"measured": choice.identity}),
    }
    return with_backend(json.loads(json.dumps(facts)), meta.provenance["backend"])


def with_backend(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the identity of a run with another back end; PyTorch, the only one in earlier runs, is not named."""
    facts = {key: value for key, value in run.items() if key != "backend"}
    return facts if name == TORCH else {**facts, "backend": name}


def source_of(run_input: RunInput) -> Callable[[Region], str]:
    """Return a function that returns the fingerprint of the files that hold a region, on the image axes."""
    image, channel = run_input.image, run_input.session.axes.channel_position

    def source(region: Region) -> str:
        index = list(region.slices)
        if channel is not None:
            index.insert(channel, slice(0, image.data.shape[channel]))
        return fingerprint(image, index)

    return source


def run_digest(run: Mapping[str, Any], files: FileSummary) -> str:
    """Return the digest of a run, which its result files carry; it does not depend on the kinds that are saved."""
    facts = {**run, "kinds": [], "files": files.fingerprint}
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def is_finished(path: Path, digest: str) -> bool:
    """Whether a file is the finished result of the run with this digest."""
    return read_provenance(path).get("run") == digest


def diff(stored: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, str]:
    """Return the differences between two identities: a phrase for each key."""
    before, now = ({"backend": TORCH, **run, **run.get("settings", {})} for run in (stored, current))
    keys = [key for key in {**before, **now} if key != "settings"]
    return {
        key: f"was {_shown(before.get(key))} and is {_shown(now.get(key))}"
        for key in keys
        if before.get(key) != now.get(key)
    }


def _listed(differences: Mapping[str, str], names: Mapping[str, str]) -> str:
    return "; ".join(f"{NAMES.get(key) or names.get(key, key)} {phrase}" for key, phrase in differences.items())


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_shown, value))
    if isinstance(value, str) and len(value) == 64:  # a hash
        return value[:8]
    return "empty" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _has_checksum(block: npt.NDArray[np.generic] | None, expected: str | None) -> bool:
    return block is not None and checksum(block) == expected
