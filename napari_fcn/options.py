"""Options: one field of a settings class each, checked here for forms, command line, saved projects and Python."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from math import isfinite
from typing import Any, cast, get_args, get_type_hints

import numpy as np

from napari_fcn.errors import SettingsError
from napari_fcn.typed import SEVERAL, WORDS, read_number, read_numbers

AUTO = "auto"
MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Option:
    """One field of a settings class: how it is shown, and which values it takes.

    Attributes
    ----------
    name, kind, default
        The field's name, type and default. An empty value, in a form, a file or Python, is the default.
    label, help : str
        Short name, and a plain sentence with units.
    choices : tuple of str
        Values to choose from; empty if any value of the type will do.
    numbered : str
        The choice that may have a number, as ``cuda`` in ``cuda:1``.
    minimum, maximum : float or None
        Range of a number.
    advanced : bool
        Whether a form shows it only on demand.
    combinations : tuple of tuple of str
        Lists of choices that a form offers.
    empty : str
        What an empty value means, shown in an empty field of a form.
    word : str
        A word that is also a value of a number, such as ``auto``.
    is_range : bool
        Whether a list holds two rising numbers.
    """

    name: str
    kind: Any
    default: Any
    label: str
    help: str
    choices: tuple[str, ...] = ()
    numbered: str = ""
    minimum: float | None = None
    maximum: float | None = None
    advanced: bool = True
    combinations: tuple[tuple[str, ...], ...] = ()
    empty: str = AUTO
    word: str = ""
    is_range: bool = False

    @property
    def is_list(self) -> bool:
        """Whether the value is a tuple of any length."""
        return Ellipsis in get_args(self.kind)

    @property
    def item_kind(self) -> type:
        """Type of the value, or of each item of a list."""
        kinds: list[type] = [kind for kind in get_args(self.kind) if kind not in (type(None), Ellipsis)]
        return kinds[0] if kinds else cast("type", self.kind)

    def parse(self, text: str) -> Any:
        """Return the value of a text from a form or a flag; empty, or ``auto``, is the default.

        Raises
        ------
        ValueError
            If the text is not a value of the option; the message is a sentence for the user.
        """
        text, kind = text.strip(), self.item_kind
        if not text or (text == self.empty == AUTO and kind is not str):
            return self.default
        if self.word and text.lower() == self.word:
            return self.word
        if kind is str:
            return self.check([word for word in re.split(r"[,;\s]+", text) if word] if self.is_list else text)
        if kind is bool:
            return self.check({"true": True, "false": False}.get(text.lower(), text))
        try:
            value = read_numbers(text, kind) if self.is_list else read_number(text, kind)
        except ValueError as error:
            raise ValueError(f"{str(error).removesuffix('.')}{self._or_word}.") from None
        return self.check(value)

    def check(self, value: Any) -> Any:
        """Return a valid value as stored in the settings; an empty one (None, text or list) is the default.

        Raises
        ------
        ValueError
            If the option does not take the value; the message is a sentence for the user.
        """
        if value is None or (isinstance(value, str) and not value.strip()):
            return self.default
        if not self.is_list:
            return self._check_item(value, (value,))
        items = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        if not items:
            return self.default
        checked = [self._check_item(item, items) for item in items]
        if self.is_range and not (len(checked) == 2 and checked[0] < checked[1]):
            given = ", ".join(f"{item:g}" for item in checked)
            raise ValueError(f"“{given}” was given; needed are two numbers, the smaller one first.")
        return tuple(dict.fromkeys(checked) if self.choices else checked)

    @property
    def _or_word(self) -> str:
        return f" or {self.word}" if self.word else ""

    def format(self, value: Any) -> str:
        """Return a value as a text that `parse` reads."""
        if value is None:
            return ""
        return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)

    def _check_item(self, value: Any, items: tuple[Any, ...]) -> Any:
        """Return one valid item as stored in the settings; messages show all items."""
        value = value.item() if isinstance(value, np.generic) else value
        if self.word and value == self.word:
            return value
        if not _is_of(value, self.item_kind):
            several = SEVERAL if self.is_list else self._or_word
            raise ValueError(f"“{self.format(items)}” is not {WORDS[self.item_kind]}{several}.")
        if isinstance(value, str):
            return self._check_choice(value.strip())
        shown = f"{value:.15g}" if self.item_kind is float else f"{value}"
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"{shown} is too small; the minimum is {self.minimum}.")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"{shown} is too large; the maximum is {self.maximum}.")
        if self.item_kind is int and abs(value) > MAX_INTEGER:
            raise ValueError(f"{shown} is too large; it must fit in 64 bits.")
        return value

    def _check_choice(self, text: str) -> str:
        has_number = bool(self.numbered) and re.fullmatch(rf"{self.numbered}:[0-9]+", text)
        if self.choices and text not in self.choices and not has_number:
            more = f" or {self.numbered}:N" if self.numbered else ""
            raise ValueError(f"“{text}” is not one of {', '.join(self.choices)}{more}.")
        return text


def _is_of(value: Any, kind: type) -> bool:
    """Whether a value has a type; integers are also floats, booleans are not numbers, and floats must be finite."""
    if kind is float and type(value) is float:
        return isfinite(value)
    return type(value) is kind or (kind is float and type(value) is int and abs(value) <= sys.float_info.max)


def option(default: Any, label: str, help: str, **more: Any) -> Any:  # noqa: A002 - the word of the forms
    """Return a dataclass field that carries its own label, help, choices and range."""
    return field(default=default, metadata={"label": label, "help": help, **more})


def options(settings: type) -> tuple[Option, ...]:
    """Return the options of a settings class in the order of its fields."""
    return _options(settings)


@cache
def _options(settings: Any) -> tuple[Option, ...]:
    kinds = get_type_hints(settings)
    return tuple(
        Option(f.name, kinds[f.name], None if f.default is MISSING else f.default, **f.metadata)
        for f in fields(settings)
        if "label" in f.metadata
    )


class Settings:
    """Base of the settings classes: every option is checked when an instance is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for declared in options(type(self)):
            try:
                value = declared.check(getattr(self, declared.name))
            except ValueError as error:
                raise SettingsError(f"{declared.name}: {error}") from error
            object.__setattr__(self, declared.name, value)
