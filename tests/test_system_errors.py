"""Messages for errors of the operating system."""

import errno
import os
import shutil

import pytest

from napari_fcn.errors import FcnError, OutputError
from napari_fcn.system_errors import REASONS, explain, explained, reason, refused

KNOWN = ("EACCES", "ENOSPC", "EIO", "ENAMETOOLONG", "ENOENT", "ESTALE", "EROFS", "ELOOP", "EMFILE", "EFBIG", "EDQUOT")


@pytest.mark.parametrize("name", [name for name in KNOWN if hasattr(errno, name)])
def test_each_error_names_the_file_the_reason_and_the_way_out(name: str) -> None:
    number = getattr(errno, name)
    told = explain(OSError(number, os.strerror(number), "/data/a.tif"))
    assert told.short.startswith("/data/a.tif cannot be used: ")
    assert reason(OSError(number, "")) in told.short
    assert told.advice.command.endswith(".")


def test_only_a_full_disk_is_called_full() -> None:
    assert {number for number, (why, _) in REASONS.items() if "disk is full" in why} == {errno.ENOSPC}


def test_an_error_without_number_or_name_is_explained() -> None:
    assert "the system says “odd”" in str(explain(OSError("odd")))
    assert "OSError" in str(explain(OSError()))
    assert "No such thing" in str(
        refused("It cannot be copied", shutil.Error([("a", "b", "No such thing")]), OutputError)
    )


@pytest.mark.parametrize("name", ["a" * 300 + ".tif", "核" * 90])
def test_a_long_name_that_windows_reports_as_missing_is_called_too_long(name: str) -> None:
    assert "too long" in str(explain(FileNotFoundError(errno.ENOENT, "not found", name)))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 8 GiB"),
        RecursionError("maximum recursion depth exceeded"),
        UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"),
        TimeoutError(),
        RuntimeError("Symlink loop from '/data/a.tif'"),
        InterruptedError(errno.EINTR, "Interrupted"),
    ],
)
def test_an_error_of_the_system_becomes_an_error_for_the_user(error: Exception) -> None:
    with pytest.raises(FcnError) as told, explained():
        raise error
    assert told.value.__cause__ is error
    assert str(told.value).endswith(".")


def test_bugs_and_errors_for_the_user_are_not_changed() -> None:
    for error in (KeyError("x"), RuntimeError("x"), ZeroDivisionError(), OutputError("x")):
        with pytest.raises(type(error)) as told, explained():
            raise error
        assert told.value is error
