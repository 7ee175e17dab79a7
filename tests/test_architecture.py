"""The arrows of the design, checked by reading the source: who may import whom, what the pure core may not touch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
UNREADABLE = "what only shows at run time"

# Who may import whom of ours, besides itself. Nobody may import `certs`: it is run, by people and by the devnet.
ARROWS = {
    "oms_core": set[str](),
    "proto": set[str](),
    "certs": set[str](),
    "cosigner": {"oms_core", "proto"},
    "auditor": {"oms_core"},
    "coordinator": {"oms_core", "proto", "auditor"},
    "oms": {"oms_core", "proto", "auditor"},
    "bench": {"oms_core", "proto", "cosigner", "coordinator", "oms", "auditor", "tests"},
}
OURS = {*ARROWS, "tests"}

# The core gets everything from its caller. What is left of the standard library opens, waits for and asks nothing.
FORBIDDEN_STDLIB = {
    "asyncio", "concurrent", "ctypes", "fcntl", "fileinput", "glob", "http", "importlib", "io", "locale", "logging",
    "mmap", "multiprocessing", "os", "pathlib", "pickle", "platform", "queue", "random", "resource", "runpy", "sched",
    "select", "selectors", "shelve", "shutil", "signal", "smtplib", "socket", "socketserver", "sqlite3", "ssl",
    "subprocess", "sys", "syslog", "tempfile", "threading", "time", "urllib", "uuid", "zoneinfo",
}  # fmt: skip
# A pure path is a string with slashes: it touches no disk. An interned string is the same string.
PURE_NAMES = {"pathlib.PurePath", "pathlib.PurePosixPath", "sys.intern"}
ALLOWED_PACKAGES = {"Crypto", "cbor2", "coincurve", "cryptography", "ecdsa", "fido2", "gmpy2", "yaml", "z3"}
FORBIDDEN_CALLS = {"open", "print", "input", "breakpoint", "eval", "exec", "compile"}
CLOCKS = {"now", "utcnow", "today"}
DRAWERS = {"utils", "util", "common", "helpers", "helper"}


def modules(*packages: str) -> Iterator[Path]:
    """The source files of packages, without generated ones."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "_pb2" not in path.name:
                yield path


def imports(tree: ast.AST, package: tuple[str, ...] = ()) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported, wherever it stands; relative ones as seen from ``package``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = (*above, *filter(None, [node.module]))
            yield from ((node.lineno, ".".join((*source, alias.name))) for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
            plain = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            yield node.lineno, str(plain[0]) if plain else UNREADABLE


def against_the_arrows(package: str, tree: ast.AST, inside: tuple[str, ...] = ()) -> list[str]:
    """Imports of ours that ``package`` may not have."""
    found = ((line, name.partition(".")[0]) for line, name in imports(tree, inside or (package,)))
    return [f"{line}: imports {top}" for line, top in found if top in {UNREADABLE, *OURS} - ARROWS[package] - {package}]


def impurities(tree: ast.AST) -> list[str]:
    """What the core may not do: touch the world, or ask for the time."""
    found = []
    for line, name in imports(tree, ("oms_core",)):
        top = name.partition(".")[0]
        outside = top not in sys.stdlib_module_names and top not in ALLOWED_PACKAGES | OURS
        if outside or (top in FORBIDDEN_STDLIB and name not in PURE_NAMES) or name.endswith(".*"):
            found.append(f"{line}: imports {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(f"{node.lineno}: calls {node.func.id}()")
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS and _is_a_date(node.value):
            found.append(f"{node.lineno}: reads the clock by {node.attr}")
    return found


def _is_a_date(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in {"datetime", "date"}


def read(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("package", ARROWS)
def test_nothing_points_against_the_arrows(package: str) -> None:
    wrong = [
        f"{where(path)}:{what}"
        for path in modules(package)
        for what in against_the_arrows(package, read(path), path.relative_to(ROOT).parts[:-1])
    ]
    assert wrong == []


def test_the_core_touches_nothing_outside_itself() -> None:
    wrong = [f"{where(path)}:{what}" for path in modules("oms_core") for what in impurities(read(path))]
    assert wrong == []


def test_the_arrows_speak_of_every_package() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(ARROWS)


def test_no_module_is_a_drawer() -> None:
    drawers = [where(path) for path in modules(*OURS) if DRAWERS & {path.stem, path.parent.name}]
    assert drawers == []


def test_no_source_file_is_longer_than_a_reader_can_hold() -> None:
    long = {where(path): count for path in modules(*OURS) if (count := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("oms_core", "import cosigner"),
        ("oms_core", "from proto import oms_pb2"),
        ("cosigner", "from coordinator.store import Store"),
        ("coordinator", "def late():\n    import cosigner.hsm as hsm"),
        ("oms", "if TYPE_CHECKING:\n    from coordinator import api"),
        ("oms", "import certs.ca"),
        ("certs", "from oms_core import errors"),
        ("cosigner", "from .. import coordinator"),
        ("coordinator", "from tests import cluster"),
        ("coordinator", "__import__('cosigner.hsm')"),
        ("coordinator", "__import__(name)"),
    ],
)
def test_an_import_against_the_arrows_is_seen(package: str, source: str) -> None:
    assert against_the_arrows(package, ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "import os.path as p",
        "from time import time",
        "from pathlib import Path",
        "from pathlib import *",
        "import structlog",
        "import pkcs11",
        "from sqlalchemy.ext import asyncio",
        "def f():\n    import socket",
        "__import__('os')",
        "__import__(name)",
        "open('x')",
        "print()",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from datetime import date\ndate.today()",
        "from datetime import datetime\nclock = datetime.utcnow",
    ],
)
def test_an_impurity_of_the_core_is_seen(source: str) -> None:
    assert impurities(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import secrets, hashlib, hmac, math, json, tomllib",
        "from pathlib import PurePath",
        "from cryptography.hazmat.primitives import hashes",
        "from oms_core.crypto import curve",
        "from .crypto import curve",
        "__import__('gmpy2')",
        "from datetime import UTC, datetime\ndatetime.fromtimestamp(seconds, UTC)",
    ],
)
def test_what_is_pure_is_allowed_in_the_core(source: str) -> None:
    tree = ast.parse(source)
    assert impurities(tree) == against_the_arrows("oms_core", tree) == []
