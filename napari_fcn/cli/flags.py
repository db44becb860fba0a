"""Command-line flags for the options of a settings class."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, TypeVar

from napari_fcn.settings import Option, options

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

S = TypeVar("S")
AXES = "--axes"


def add_options(
    parser: argparse.ArgumentParser,
    settings: type,
    names: Collection[str] = (),
    start: object = None,
    without: Collection[str] = (),
) -> None:
    """Add a flag for each option of a settings class to a command.

    Parameters
    ----------
    parser : ArgumentParser
        Parser of the command.
    settings : type
        The settings class.
    names : collection of str
        Names of the options to add; empty: all.
    start : settings, optional
        Defaults of the flags, if they differ from those of the options.
    without : collection of str
        Names of the options to leave out.
    """
    group = parser.add_argument_group("options" if not names else "results")
    for option in options(settings):
        if (names and option.name not in names) or option.name in without:
            continue
        default = option.default if start is None else getattr(start, option.name)
        flag, help_text = f"--{option.name.replace('_', '-')}", option.help.replace("%", "%%")
        if option.kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=default, help=help_text)
            continue
        shown = option.format(default) or "empty"
        group.add_argument(
            flag,
            type=typed(option.parse),
            default=default,
            help=f"{help_text} Default: {shown}.",
            metavar=_metavar(option),
        )


def _metavar(option: Option) -> str:
    """Return the placeholder of the value in the help: the choices, or the name of the option."""
    if not option.choices:
        return option.name.upper()
    if option.is_list:
        return "KIND[,KIND]"
    numbered = [f"{option.numbered}:N"] if option.numbered else []
    return f"{{{','.join((*option.choices, *numbered))}}}"


def typed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a converter for argparse that shows the message of the ValueError of ``read``."""

    def read_flag(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_flag


def collect(settings: type[S], arguments: argparse.Namespace) -> S:
    """Return the settings in the arguments of a command."""
    given = vars(arguments)
    return settings(**{option.name: given[option.name] for option in options(settings) if option.name in given})
