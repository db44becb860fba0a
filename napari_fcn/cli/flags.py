"""Flags of the command line, made from the options of a settings class."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from napari_fcn.settings import Option, options
from napari_fcn.typed import read_option

if TYPE_CHECKING:
    from collections.abc import Callable

S = TypeVar("S")
AXES = "--axes"


def add_options(parser: argparse.ArgumentParser, settings: type) -> None:
    """Give a command one flag for each option of a settings class."""
    group = parser.add_argument_group("options")
    for option in options(settings):
        flag = f"--{option.name.replace('_', '-')}"
        if option.kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=option.default, help=option.help)
            continue
        shown = "empty" if option.default in ((), None, "") else option.default
        group.add_argument(
            flag,
            type=_reader(option),
            default=option.default,
            choices=option.choices or None,
            help=f"{option.help} Default: {shown}.".replace("%", "%%"),
            metavar=None if option.choices else option.name.upper(),
        )


def _reader(option: Option) -> Callable[[str], Any]:
    """Return the function that reads an option's value from text and checks its range."""
    return typed(partial(read_option, option))


def typed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a function that reads the text of a flag, for a parser: what is wrong is said in its own words."""

    def read_flag(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_flag


def collect(settings: type[S], arguments: argparse.Namespace) -> S:
    """Return the settings that the flags of a command ask for."""
    return settings(**{option.name: getattr(arguments, option.name) for option in options(settings)})
