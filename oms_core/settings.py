"""Settings: TOML text into frozen dataclasses. Unknown keys are refused, every error names the key. Reads no file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import PurePath
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_type_hints

from oms_core.errors import LocalError, Reason

T = TypeVar("T")


def parse(kind: type[T], text: str, where: str, path: Callable[[str], PurePath]) -> T:
    """Build ``kind`` from TOML. ``path`` turns written paths into real ones; ``where`` names the source in errors.

    Raises `LocalError` (CONFIG_INVALID).
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise invalid(where, str(error)) from error
    return cast(T, _section(kind, table, where, "", path))


def invalid(where: str, text: str) -> LocalError:
    """The error of a setting that does not do."""
    return LocalError(f"{where}: {text}", Reason.CONFIG_INVALID)


def unreadable(where: str, error: OSError | UnicodeDecodeError, otherwise: str = "") -> LocalError:
    """The error of a file of settings that cannot be read, and how to name another one."""
    why = (error.strerror or "it cannot be opened") if isinstance(error, OSError) else "it is no UTF-8 text"
    return invalid(where, f"cannot be read: {why}{f'; {otherwise}' if otherwise else ''}")


def _section(kind: type[Any], table: object, where: str, prefix: str, path: Callable[[str], PurePath]) -> Any:
    if not isinstance(table, dict):
        raise invalid(where, f"section [{prefix.rstrip('.')}] is missing")
    known, hints = {field.name: field for field in fields(kind)}, get_type_hints(kind)
    if unknown := set(table) - set(known):
        raise invalid(where, f"unknown key {prefix}{min(unknown)}")
    values = {}
    for name, field in known.items():
        if name in table or is_dataclass(hints[name]):
            values[name] = _value(hints[name], table.get(name), where, prefix + name, path)
        elif field.default is MISSING:
            raise invalid(where, f"{prefix}{name} is missing")
    return kind(**values)


def _value(hint: Any, value: Any, where: str, name: str, path: Callable[[str], PurePath]) -> Any:
    if (choices := get_args(hint)) and NoneType in choices:
        hint = choices[0]
    if is_dataclass(hint) and isinstance(hint, type):
        return _section(hint, value, where, name + ".", path)
    if isinstance(hint, type) and issubclass(hint, PurePath) and isinstance(value, str):
        return path(value)
    if get_args(hint) == (str, ...) and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise invalid(where, f"{name} is not of type {getattr(hint, '__name__', hint)}")
