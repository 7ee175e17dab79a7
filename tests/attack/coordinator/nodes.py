"""Five cosigners in one process, each with a SoftHSM2 token, store and guard of its own; honest or corrupt.

A PKCS#11 module serves one token directory, so the five tokens are in one, and all calls to it are made on one thread.
Everything is prepared once and copied for each test that needs nodes without a past.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pkcs11
from sqlalchemy import Connection

from cosigner.boots import Boots
from cosigner.config import Config, load
from cosigner.convictions import Convictions
from cosigner.guard import Guard, Signing
from cosigner.halt import Halt
from cosigner.history import History
from cosigner.hsm import Token, initialise
from cosigner.ledger import Ledger
from cosigner.local_rules import LocalRules
from cosigner.parts import Parts
from cosigner.past import Past
from cosigner.pool import Pool
from cosigner.store import open_store
from cosigner.vault import Vault
from cosigner.witness import Witness
from oms.devnet import ceremony
from oms_core.chains.evm import address_of
from oms_core.chains.intent import subject_digest
from oms_core.crypto.params import L112
from oms_core.errors import CountersealError, Reason
from oms_core.evidence import Request, SignRequest
from oms_core.keys import KeyState
from oms_core.log.note import Signature, Verifier, cosignature, cosignature_message
from oms_core.log.roster import witness_verifiers
from oms_core.policy.facts import Facts
from oms_core.policy.limits import YEAR
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.shares import KeyMaterial, child_key
from oms_core.workspace import Workspace
from tests.attack.coordinator.world import OTHER_WALLET, WALLET, workspace
from tests.parties import key
from tests.witnessed import FOUR, Logbook

ALL = (1, 2, 3, 4, 5)
SECOND_KEY = b"j" * 32


def material(index: int) -> KeyMaterial:
    """A share of the hot wallet's key. It says L112 so that nodes take it; its moduli are small, so tests are fast."""
    return replace(key(5, 3)[index], level="L112")


class Honest:
    """A cosigner with everything that decides in the real one."""

    def __init__(self, config: Config, thread: ThreadPoolExecutor) -> None:
        self.config, self.index = config, config.index
        self.token = Token(config.hsm, config.index)
        self.token._thread.shutdown()
        self.token._thread = thread
        self.store = open_store(config.store)
        self.vault, self.ledger, self.pool = Vault(self.store, self.token), Ledger(self.store), Pool()
        self.boots, self.convictions = Boots(self.store, self.token), Convictions(self.store, self.token)
        self.halt, self.local = Halt(self.store), LocalRules()
        self.history, self.log = History(), None
        self.past: Any = Uneventful()
        self.guard = Guard(self.parts, L112)

    @property
    def parts(self) -> Parts:
        """What guard and engine are made of."""
        held = (self.token, self.vault, self.ledger, self.boots, self.pool, self.convictions)
        return Parts(*held, self.halt, self.local, self.past)

    def corrupt(self) -> None:
        """Run the patched build from now on."""
        self.guard = Gullible(self.parts, L112)

    def follow(self, log: Logbook) -> Honest:
        """Count by this log from now on. What the node is asked for is logged before, if it can be."""
        self.log = log
        self.witness = Witness(self.store, self.token, self.vault.workspace, self.boots, self.history.fold)
        self.past = Past(self.store, self.history, self.witness)
        self.guard = Guard(self.parts, L112)
        return self

    def decide(self, spec: SessionSpec, request: Request, now: int, by: Iterable[int] = FOUR) -> Any:
        """The guard's answer; where there is a log, these have cosigned it. Raises `CountersealError`."""
        return self.guard.decide(spec, request, now, self._note(request, now, by))

    def _note(self, request: Request, now: int, by: Iterable[int]) -> bytes:
        if self.log is None:
            return b""
        if isinstance(request, SignRequest) and self.log.takes(request):
            self.log.authorize(request, now)
        self.log.followed_by(self.witness, now)
        return self.log.note(by=by, at=now)

    def asked(self, spec: SessionSpec, request: Request, now: int, by: Iterable[int] = FOUR) -> Reason | None:
        """Why this node does not take part; None if it does."""
        try:
            self.decide(spec, request, now, by)
        except CountersealError as error:
            return error.reason
        return None

    def commit(self, granted: Signing, now: int) -> None:
        """What the engine does before a share leaves. Raises `CountersealError`."""
        request = granted.request
        assert request is not None
        subject = subject_digest(request.proposal.subject)

        def count(connection: Connection) -> Facts:
            self.past.check_logged(connection, request, granted.workspace, now)
            return self.past.facts_within(connection, subject, now, YEAR, granted.share)  # type: ignore[no-any-return]

        self.ledger.record(granted.account, request, granted.workspace, granted.older, count, lambda *_: None)

    def signs(self, spec: SessionSpec, request: SignRequest, now: int, by: Iterable[int] = FOUR) -> Reason | None:
        """As `asked`, and then commits to what was granted, as it does when a share is about to leave."""
        try:
            self.commit(self.decide(spec, request, now, by), now)
        except CountersealError as error:
            return error.reason
        return None

    @cached_property
    def account(self) -> bytes:
        """The hot wallet's account."""
        return address_of(child_key(material(self.index), ()))

    def close(self) -> None:
        self.store.dispose()
        self.token._call(self.token._session.close)


@dataclass(frozen=True)
class Cosigning:
    """A token that cosigns whatever its owner wants: a corrupt one does so for every fork."""

    token: Token
    verifier: Verifier

    def cosign(self, body: str, at: int) -> Signature:
        return cosignature(self.verifier, at, self.token.cosign(cosignature_message(body, at)))


class Uneventful:
    """A past in which nothing has happened, and that everybody vouches for: the rest is what a node checks itself."""

    def share(self, *_: object) -> int:
        return 1

    def check_logged(self, *_: object) -> int:
        return 0

    def check_due(self, *_: object) -> None:
        return

    def facts(self, subject: bytes, now: int, *_: object) -> Facts:
        return Facts(now)

    def facts_within(self, connection: Connection, subject: bytes, now: int, *_: object) -> Facts:
        return Facts(now)


class Gullible(Guard):
    """The guard of a patched build: it takes part in everything, and so do its owner's accomplices."""

    def decide(self, spec: SessionSpec, request: Request, now: int, note: bytes = b"") -> Any:
        return Signing(material(self._token.index), spec.digest, b"", None, self._vault.workspace(), {}, None)


@dataclass
class Five:
    """All nodes by index."""

    nodes: Mapping[int, Honest]

    def keep_a_log(self) -> Logbook:
        """One log, which all of them follow."""
        log, verifiers = Logbook(self.workspace), witness_verifiers(self.workspace)
        log.witnesses = {index: Cosigning(node.token, verifiers[index]) for index, node in self.nodes.items()}
        for node in self.nodes.values():
            node.follow(log)
        return log

    @property
    def workspace(self) -> Workspace:
        """What they have pinned."""
        return self.nodes[1].vault.workspace()

    def blamed(self) -> set[int]:
        """Everybody whom any node holds to be convicted."""
        return {index for node in self.nodes.values() for index in node.convictions.convicted()}


def prepare(root: Path) -> Path:
    """Tokens made, workspace pinned, keys active; everything is closed, to be copied."""
    (root / "tokens").mkdir(parents=True, mode=0o700)
    (root / "softhsm2.conf").write_text("")
    configs = {index: _config(ceremony.cosigner_files(root, index, "localhost:1", "L112"), root) for index in ALL}
    _load_module(root, configs[1])
    made = workspace(initialise(config.hsm, index) for index, config in configs.items())
    with opened(root) as five:
        for index, node in five.nodes.items():
            node.vault.pin_workspace(made)
            held = material(index)
            node.vault.put_key(WALLET, held, KeyState.ACTIVE)
            other = replace(held, share=replace(held.share, key_id=SECOND_KEY))
            node.vault.put_key(OTHER_WALLET, other, KeyState.ACTIVE)
    return root


@contextmanager
def opened(root: Path) -> Iterator[Five]:
    """The nodes of this folder, started."""
    configs = {index: _config(root / f"cosigner-{index}" / "cosigner.toml", root) for index in ALL}
    _load_module(root, configs[1])
    with ThreadPoolExecutor(1, thread_name_prefix="hsm") as thread:
        nodes = {index: Honest(config, thread) for index, config in configs.items()}
        for node in nodes.values():
            node.boots.begin()
        try:
            yield Five(nodes)
        finally:
            for node in nodes.values():
                node.close()


@contextmanager
def fresh(prepared: Path, to: Path) -> Iterator[Five]:
    """Nodes without a past, as prepared."""
    shutil.copytree(prepared, to)
    with opened(to) as five:
        yield five


def _config(path: Path, root: Path) -> Config:
    config = load(path)
    return replace(config, hsm=replace(config.hsm, softhsm_conf=root / "softhsm2.conf"))


def _load_module(root: Path, config: Config) -> None:
    (root / "softhsm2.conf").write_text(f"directories.tokendir = {root / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(root / "softhsm2.conf")
    pkcs11.lib(str(config.hsm.module)).reinitialize()
