"""Calls of registered methods, with arguments that show each answer of the tests on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, product

from oms_core.analysis.numbers import around
from oms_core.chains.abi import Base, Type, Value, method
from oms_core.chains.evm import parse_address
from oms_core.errors import CountersealError
from oms_core.policy.rules import Test
from oms_core.workspace import Workspace

UNKNOWN_CALL = bytes.fromhex("5ca1ab1e")
MOST = 64  # combinations of arguments for each method


def calls(workspaces: Sequence[Workspace], tests: Iterable[Test]) -> list[tuple[str, bytes]]:
    """(signature, data) of each registered method with telling arguments, and of one that nobody knows."""
    signatures = sorted({text for one in workspaces for entry in one.contracts for text in entry.methods})
    asked = [test for test in tests if test.field.startswith("args.")]
    found = [("", UNKNOWN_CALL)]
    for signature in signatures:
        known = method(signature)
        choices = [_values(kind, str(place), asked) for place, kind in enumerate(known.inputs)]
        for values in islice(product(*choices), MOST):
            try:
                found.append((signature, known.encode(*values)))
            except CountersealError:
                continue
    return found


def complete(workspaces: Sequence[Workspace], tests: Iterable[Test]) -> bool:
    """Whether `calls` shows every answer: all tests are on arguments that stand by themselves, and they are few."""
    asked = [test for test in tests if test.field.startswith("args.")]
    for signature in {text for one in workspaces for entry in one.contracts for text in entry.methods}:
        count = 1
        for place, kind in enumerate(method(signature).inputs):
            count *= len(_values(kind, str(place), asked))
        if count > MOST:
            return False
    return all(test.field.removeprefix("args.").isdecimal() for test in asked)


def _values(kind: Type, place: str, tests: list[Test]) -> list[Value]:
    """A plain value, and those that tests on this place name, with their neighbours."""
    named = [value for test in tests if test.field == f"args.{place}" for value in test.values]
    plain = _plain(kind)
    match kind.base:
        case Base.UINT | Base.INT | Base.BOOL:
            least = -(1 << (kind.size - 1)) if kind.base is Base.INT else 0
            most = 1 if kind.base is Base.BOOL else (1 << (kind.size - (kind.base is Base.INT))) - 1
            numbers = {value for value in named if isinstance(value, int)}
            return list(around(numbers, least, most)) if numbers else [plain]
        case Base.ADDRESS:
            return [plain, *_addresses(named)]
        case Base.STRING:
            texts = sorted({value for value in named if isinstance(value, str)})
            return [plain, *texts, *(f"{text}/stranger" for text in texts)]
    return [plain]


def _addresses(named: list[int | str]) -> Iterable[bytes]:
    for text in sorted({value for value in named if isinstance(value, str)}):
        try:
            yield parse_address(text)
        except CountersealError:
            continue


def _plain(kind: Type) -> Value:
    match kind.base:
        case Base.ADDRESS:
            return bytes.fromhex("5ca1ab1e" * 5)
        case Base.FIXED:
            return bytes(kind.size)
        case Base.BYTES:
            return b""
        case Base.STRING:
            return "stranger"
        case Base.TUPLE:
            return tuple(_plain(part) for part in kind.parts)
        case Base.ARRAY:
            return (_plain(kind.parts[0]),) * max(0, kind.size)
    return 0
