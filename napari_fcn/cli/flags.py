"""Flags of the command line, made from the options of a settings class."""

from __future__ import annotations

import argparse
from typing import Any, TypeVar, get_args

from napari_fcn.settings import Option, options

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


def _reader(option: Option) -> Any:
    """Return the function that reads an option's value from text and checks its range."""
    kinds = [kind for kind in get_args(option.kind) if kind not in (type(None), Ellipsis)] or [option.kind]
    is_list = Ellipsis in get_args(option.kind)
    low, high = option.minimum, option.maximum

    def read(text: str) -> Any:
        values = [kinds[0](part) for part in (text.split(",") if is_list else [text])]
        for value in values:
            if (low is not None and value < low) or (high is not None and value > high):
                limits = f"at least {low}" if high is None else f"{low} to {high}"
                raise argparse.ArgumentTypeError(f"{value} is out of range; it can be {limits}")
        return tuple(values) if is_list else values[0]

    read.__name__ = kinds[0].__name__  # what argparse names when the text is no such thing
    return read


def collect(settings: type[S], arguments: argparse.Namespace) -> S:
    """Return the settings that the flags of a command ask for."""
    return settings(**{option.name: getattr(arguments, option.name) for option in options(settings)})


def axis_list(text: str) -> tuple[str, ...]:
    """Return the axes that ``--axes`` names: letters, or words with commas or spaces between them."""
    words = text.replace(",", " ").split()
    return tuple(words) if len(words) > 1 else tuple("".join(words))
