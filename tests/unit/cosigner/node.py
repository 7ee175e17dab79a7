"""A node's folder with a real SoftHSM2 token: to be started, stopped, and copied as a backup or a thief would."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pkcs11
from sqlalchemy import select

from cosigner import keys as module
from cosigner.boots import Boots
from cosigner.config import Config, load
from cosigner.convictions import Convictions
from cosigner.guard import Granted, Guard
from cosigner.halt import Halt
from cosigner.history import History
from cosigner.hsm import Token, initialise
from cosigner.keys import Keys
from cosigner.ledger import Ledger
from cosigner.local_rules import LocalRules
from cosigner.parts import Parts
from cosigner.past import Past
from cosigner.pool import Pool
from cosigner.store import open_store, signed
from cosigner.vault import Clear, Vault, _under
from cosigner.witness import Witness
from oms.devnet import ceremony
from oms_core.crypto.params import L112, Level
from oms_core.encoding import decode
from oms_core.errors import Malformed
from oms_core.evidence import ChangeRequest, CreateRequest, Request, SignRequest
from oms_core.keys import Change, KeyState, SignedKeyReceipt
from oms_core.protocol.packets import SessionSpec
from oms_core.protocol.shares import KeyMaterial
from tests.parties import identity, key
from tests.people import NOW, workspace
from tests.witnessed import FOUR, Logbook

KEY_ID = b"k" * 32


class Node:
    """One folder. Only one node of a process is started at a time: a PKCS#11 module serves one token directory."""

    def __init__(self, home: Path, log: Logbook | None = None) -> None:
        """``log`` is the one that it follows, by default one that holds nothing but the tests' workspace."""
        self.home, self.log = home, log or Logbook()
        (home / "softhsm2.conf").write_text(f"directories.tokendir = {home / 'tokens'}\nlog.level = ERROR\n")
        self.config: Config = load(home / "cosigner.toml")

    def start(self) -> Node:
        """Open everything, without counting a boot."""
        self.token = open_token(self.config)
        self.store = open_store(self.config.store)
        self.vault, self.ledger = Vault(self.store, self.token), Ledger(self.store)
        self.boots, self.pool = Boots(self.store, self.token), Pool()
        self.convictions = Convictions(self.store, self.token)
        self.halt, self.history = Halt(self.store), History()
        self.witness = Witness(self.store, self.witnessing(), self.vault.workspace, self.boots, self.history.fold)
        self.past = Past(self.store, self.history, self.witness)
        self.keys = self.keeping()
        self.guard = self.guarded()
        return self

    def parts(self, me: Any, local: str = "") -> Parts:
        """All of it, with this identity and a team's own rules."""
        held = (self.vault, self.ledger, self.boots, self.pool, self.convictions, self.halt)
        return Parts(me, *held, LocalRules(local, "local-rules.yaml"), self.past)

    def keeping(self, local: str = "") -> Keys:
        """What changes these keys, with a team's own rules, when all that it is asked for stands in the log."""
        keys: Any = LoggedKeys(self, Keys(self.parts(self.token, local)))
        return keys  # type: ignore[no-any-return]

    def guarded(self, local: str = "", level: Level = L112) -> Guard:
        """A guard on these parts, with a team's own rules, under the identity key that the tests' roster has for it.

        What it is asked for stands in the log, covered in full, unless a test brings another note.
        """
        guard: Any = LoggedGuard(self, Guard(self.parts(identity(self.config.index), local), level))
        return guard  # type: ignore[no-any-return]

    def witnessing(self) -> Any:
        """The token, but with the witness key that the tests' roster has for it."""
        index, signer = self.config.index, self.log.witnesses[self.config.index]
        held = {"index": index, "witness": signer.verifier.key, "cosign": signer.key.sign}
        return SimpleNamespace(**held, counters=lambda: self.token.counters())

    def follow(self, now: int = NOW, size: int | None = None) -> None:
        """Follow the log up to this size, and cosign that."""
        self.log.followed_by(self.witness, now, size)

    def logged(self, request: Request, now: int = NOW, by: Iterable[int] = FOUR) -> bytes:
        """Have a request logged, as an honest coordinator does, and follow; the note that these have cosigned.

        A request that cannot stand in a log is left out.
        """
        if isinstance(request, SignRequest | CreateRequest | ChangeRequest) and self.log.takes(request):
            self.log.authorize(request, now)
        self.follow(now)
        return self.log.note(by=by, at=now)

    def committed(self) -> list[bytes]:
        """The digests of what this node has committed to, for ever."""
        with self.store.begin() as connection:
            return list(connection.execute(select(signed.c.digest).order_by(signed.c.nonce)).scalars())

    def boot(self) -> Node:
        """Start, and count it, as the enclave does."""
        self.start()
        self.boots.begin()
        return self

    def stop(self) -> None:
        """What is in memory is gone."""
        self.store.dispose()
        self.token.close()

    def restart(self) -> Node:
        """Stop, and boot again."""
        self.stop()
        return self.boot()

    def copy(self, to: Path) -> Node:
        """All of it, elsewhere. The node has to be stopped."""
        shutil.copytree(self.home, to)
        return Node(to, self.log.fork())

    def take(self, other: Node, *, store: bool = False, tokens: bool = False) -> None:
        """Put another copy's files in the place of these. Both nodes have to be stopped."""
        if store:
            for path in self.home.glob("store.sqlite*"):
                path.unlink()
            for path in other.home.glob("store.sqlite*"):
                shutil.copy(path, self.home)
        if tokens:
            shutil.rmtree(self.home / "tokens")
            shutil.copytree(other.home / "tokens", self.home / "tokens")


class LoggedGuard:
    """A guard that is asked for nothing that does not stand in the log."""

    def __init__(self, node: Node, guard: Guard) -> None:
        self._node, self._guard = node, guard

    def decide(self, spec: SessionSpec, request: Request, now: int, note: bytes | None = None) -> Granted:
        """As the guard's."""
        return self._guard.decide(spec, request, now, self._node.logged(request, now) if note is None else note)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guard, name)


class LoggedKeys:
    """What changes keys, and is asked for nothing that does not stand in the log."""

    def __init__(self, node: Node, keys: Keys) -> None:
        self._node, self._keys = node, keys

    def change(self, data: bytes, note: bytes | None = None) -> SignedKeyReceipt:
        """As it is done by `Keys`."""
        return self._keys.change(data, self._noted(data) if note is None else note)

    def commit(self, key_id: bytes, confirmations: tuple[bytes, ...], data: bytes) -> SignedKeyReceipt | None:
        """As it is done by `Keys`, when the wish stands in the log and the node has seen full cosignatures."""
        if note := self._noted(data):
            self._node.witness.gossip([note], int(module.time.time()))
        return self._keys.commit(key_id, confirmations, data)

    def _noted(self, data: bytes) -> bytes:
        with suppress(Malformed):
            request = decode(ChangeRequest, data)
            if getattr(request.proposal.subject, "change", None) is not Change.SUSPEND:  # which needs none
                return self._node.logged(request, int(module.time.time()))
        return b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keys, name)


def make_node(root: Path, index: int = 1) -> Node:
    """A fresh folder with a fresh token."""
    path = ceremony.cosigner_files(root, index, "localhost:1", "L112")
    node = Node(path.parent)
    load_module(node.config)
    initialise(node.config.hsm, index)
    return node


def open_token(config: Config) -> Token:
    """The token of this configuration, whatever the module served before."""
    load_module(config)
    return Token(config.hsm, config.index)


def load_module(config: Config) -> None:
    """Point the PKCS#11 module at this configuration's tokens. What was open of others is closed by that."""
    os.environ["SOFTHSM2_CONF"] = str(config.hsm.softhsm_conf)
    pkcs11.lib(str(config.hsm.module)).reinitialize()


def wrapping_key(node: Node, epoch: int) -> object:
    """The HSM key that seals this epoch of the tests' key; None if there is none."""
    return node.token._wrapping(_under(Clear("key", 1, "", KEY_ID, epoch, "", False)))


def material(party: int = 1, n: int = 5, t: int = 3) -> KeyMaterial:
    """A share of the tests' key. It says L112 so that a node takes it; its moduli are small, so that tests are fast."""
    return replace(key(n, t)[party], level="L112")


def activate(node: Node) -> None:
    """The tests' workspace, and the tests' key as the active one of wal_1."""
    node.vault.pin_workspace(workspace())
    node.vault.put_key("wal_1", material())
    node.vault.advance_key(KEY_ID, 0, KeyState.PENDING, KeyState.PRE_ACTIVE)
    node.vault.advance_key(KEY_ID, 0, KeyState.PRE_ACTIVE, KeyState.ACTIVE)
