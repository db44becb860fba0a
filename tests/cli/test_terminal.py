"""Output of commands is escaped, whatever is in names, cards and messages of libraries."""

import io
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_fcn.cli import READER_GONE, main, terminal
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec

NASTY = "x\x1b[2J\x9b31m\u202egnp.exe\r\nnapari-fcn: all is well\x07\u2066\u2028"
RAW = ("\x1b", "\x9b", "\u202e", "\u2066", "\x07", "\u2028")


def is_clean(text: str) -> bool:
    """Whether no control character of `NASTY` came through, and no line looks like one of ours."""
    return not any(sign in text for sign in RAW) and not any(
        line.startswith("napari-fcn: all is well") for line in text.replace("\r", "\n").splitlines()
    )


@pytest.mark.parametrize("text", ["a.tif", "Zellkerne µm²", "細胞 核", "a\xa0b", "\u0645\u06cc\u200c\u062e"])
def test_letters_of_all_scripts_are_printed_unchanged(text: str) -> None:
    assert terminal.plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m", r"a\x1b[31m"),
        ("a\nb", r"a\nb"),
        ("a\x85b", r"a\x85b"),
        ("a\u202eb", r"a\u202eb"),
        ("a\udc80b", r"a\udc80b"),
        ("a\U000e0041b", r"a\U000e0041b"),
    ],
)
def test_invisible_characters_are_escaped(text: str, shown: str) -> None:
    assert terminal.plain(text) == shown


def nasty_model(path: Path) -> Path:
    from dataclasses import replace

    spec = NetSpec(classes=2, width=2, depth=1)
    info = plain_recipe(NASTY, spec, NASTY)
    card = replace(info.card, summary=NASTY, limits=NASTY, licence=NASTY, data=({"name": NASTY, "credit": NASTY},))
    net = spec.build(torch.Generator().manual_seed(0))
    Checkpoint.of(net, replace(info, card=card)).save(path)
    return path


def test_the_card_of_a_model_is_shown_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = nasty_model(tmp_path / "m.safetensors")
    np.save(tmp_path / "i.npy", np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8))
    assert main(["models", str(model)]) == 0
    assert main(["field", "--model", str(model), "--image", str(tmp_path / "i.npy"), "--at", "20,20", "--quiet"]) == 0
    assert main(["field", "--model", str(model), "--image", str(tmp_path / "i.npy"), "--class", NASTY, "--quiet"]) == 1
    said = capsys.readouterr()
    assert r"\x1b[2J" in said.out
    assert is_clean(said.out + said.err)


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_names_of_files_are_shown_escaped(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = NASTY.replace("\u2028", "") + ".npy"
    np.save(tmp_path / name, np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8))
    (tmp_path / f"{NASTY}.tif").write_text("no image")
    assert main(["predict", str(tmp_path), "--model", str(model), "--out", str(tmp_path / "r")]) == 1
    said = capsys.readouterr().err
    assert "1 of 2 images failed" in said
    assert is_clean(said)


def test_invalid_arguments_are_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    for given in (["models", "nuclei", NASTY], [NASTY], ["predict", "a", "--model", "b", f"--memory={NASTY}"]):
        with pytest.raises(SystemExit):
            main(given)
    main(["models", NASTY])
    assert is_clean(capsys.readouterr().err)


def test_warnings_and_logs_of_libraries_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, f"log {NASTY}", None, None)
    with terminal.guarded():
        assert logging.lastResort is not None
        logging.lastResort.handle(record)
        sys.stderr.write(warnings.formatwarning(UserWarning(f"warning {NASTY}"), UserWarning, __file__, 1))
        sys.stderr.write(f"raw {NASTY}\n".replace("\r\n", ""))
    assert heard.getvalue().count("\n") == 3
    assert is_clean(heard.getvalue())
    assert sys.stderr is heard


class Narrow(io.TextIOWrapper):
    """A terminal that knows ASCII only."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "ascii", write_through=True)

    @property
    def shown(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


def test_characters_that_the_encoding_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Narrow()
    monkeypatch.setattr(sys, "stdout", narrow)
    with terminal.guarded():
        terminal.put("0.2 µm", "名")
    assert narrow.shown == "0.2 \\xb5m\n\\u540d\n"


class Broken(io.StringIO):
    """A stream that fails as the system does."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_a_closed_pipe_ends_a_command_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError(terminal.CLOSED_PIPE[0], "Broken pipe")))
    assert main(["models"]) == READER_GONE
    assert capsys.readouterr().err == ""


def test_standard_output_on_a_full_disk_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    monkeypatch.setattr(sys, "stdout", Broken(OSError(errno.ENOSPC, "No space left on device")))
    assert main(["models", "--json"]) == 1
    assert "Standard output cannot be written: the disk is full" in capsys.readouterr().err


def test_a_run_continues_if_standard_error_is_closed(
    tmp_path: Path, image: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(BrokenPipeError(32, "Broken pipe")))
    out = tmp_path / "o.ome.tif"
    assert main(["predict", str(image), "--model", str(model), "--out", str(out)]) == 0
    assert out.is_file()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no head")
def test_head_may_close_the_pipe() -> None:
    command = f"{sys.executable} -c 'from napari_fcn.cli import main; import sys; sys.exit(main([\"models\"]))' | true"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
