"""The HSM slot over PKCS#11: sealing, signatures, and what a restored disk must not make forgotten.

Keys that never leave the token: AES-256 ``seal``, P-256 ``identity``, Ed25519 ``witness``, and an AES-256 key of its
own for each share, so that destroying this key destroys the share wherever its sealed bytes still are. python-pkcs11
initialises modules without locking, so every call runs on one thread of our own.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pkcs11
from pkcs11 import KeyType, Mechanism, ObjectClass

from cosigner import counters
from cosigner.config import Hsm
from cosigner.counters import Counters
from cosigner.slot import load_library, make_aes, make_keys, open_slot, persist, read_pin
from oms_core.errors import LocalError, Reason
from oms_core.log.tree import EMPTY_ROOT
from oms_core.protocol.identity import identity_digest

T = TypeVar("T")

_SHARE = "counterseal-share-"
_CANARY = b"counterseal canary"


@dataclass(frozen=True, slots=True)
class Card:
    """What the key ceremony needs of a node: its public keys (65-byte SEC1 P-256, 32-byte Ed25519)."""

    index: int
    identity: bytes
    witness: bytes

    def text(self) -> str:
        """As TOML."""
        lines = (
            f"index = {self.index}",
            f'identity = "{self.identity.hex()}"',
            f'witness = "{self.witness.hex()}"',
            f'fingerprint = "{hashlib.sha256(self.identity + self.witness).hexdigest()[:16]}"',
        )
        return "\n".join(lines) + "\n"


class Token:
    """An open, logged-in token that holds this node's keys. Implements the core's `Identity`."""

    def __init__(self, config: Hsm, index: int) -> None:
        """Open and check everything. Raises `LocalError`: HSM_PIN, HSM_TOKEN_MISSING, HSM_KEY_UNSUITABLE, …"""
        self.index = index
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hsm")
        opened = self._call(lambda: open_slot(config))
        self._session, self._seal_key, self._identity_key = opened.session, opened.seal, opened.identity
        self._witness_key, self.public, self.witness = opened.witness, opened.public, opened.cosigns_with
        self.check()

    @property
    def card(self) -> Card:
        """The public keys, for the roster."""
        return Card(self.index, self.public, self.witness)

    def _call(self, action: Callable[[], T]) -> T:
        """Run on the HSM thread; PKCS#11 errors become ours."""
        try:
            return self._thread.submit(action).result()
        except LocalError:
            raise
        except pkcs11.exceptions.PKCS11Error as error:
            raise LocalError(f"the HSM answered {type(error).__name__}", Reason.HSM_UNAVAILABLE) from None

    def sign(self, domain: str, message: bytes) -> bytes:
        """64 bytes r ‖ s over the domain-separated digest."""
        digest = identity_digest(domain, message)
        return bytes(self._call(lambda: self._identity_key.sign(digest, mechanism=Mechanism.ECDSA)))

    def cosign(self, message: bytes) -> bytes:
        """64 bytes of Ed25519 over the message of a cosignature, the one thing that the witness key signs."""
        return bytes(self._call(lambda: self._witness_key.sign(message, mechanism=Mechanism.EDDSA)))

    def seal(self, plain: bytes, clear: bytes, under: str = "") -> bytes:
        """AES-256-GCM; ``clear`` is associated data. Returns nonce ‖ ciphertext ‖ tag.

        ``under`` names a key of its own, made if there is none; empty is the token's general seal key.
        """
        nonce = secrets.token_bytes(12)
        parameters = pkcs11.GCMParams(nonce, clear)

        def close_sealed() -> bytes:
            key = self._wrapping(under)
            if key is None:
                key = make_aes(self._session, _SHARE + under)
                persist()
            return bytes(key.encrypt(plain, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))

        return nonce + self._call(close_sealed)

    def unseal(self, sealed: bytes, clear: bytes, under: str = "") -> bytes:
        """Raises `LocalError` (SHARE_AAD_MISMATCH) unless this token sealed exactly this under exactly ``clear``."""
        parameters = pkcs11.GCMParams(sealed[:12], clear)

        def open_sealed() -> bytes:
            key = self._wrapping(under)
            if key is None:
                raise LocalError("the key that sealed this is destroyed", Reason.SHARE_AAD_MISMATCH)
            try:
                return bytes(key.decrypt(sealed[12:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters))
            except (pkcs11.exceptions.GeneralError, pkcs11.exceptions.EncryptedDataInvalid):
                raise LocalError("sealed data does not open here", Reason.SHARE_AAD_MISMATCH) from None

        return self._call(open_sealed)

    def destroy(self, under: str) -> None:
        """Destroy a key of its own, and with it all that it has sealed. Does nothing if there is none."""

        def gone() -> None:
            key = self._wrapping(under) if under else None
            if key is not None:
                key.destroy()
                persist()

        self._call(gone)

    def _wrapping(self, under: str) -> Any:
        if not under:
            return self._seal_key
        try:
            return self._session.get_key(ObjectClass.SECRET_KEY, KeyType.AES, label=_SHARE + under)
        except pkcs11.exceptions.NoSuchKey:
            return None

    def check(self) -> None:
        """A real round trip through the seal key: that a session is open proves nothing. Raises `LocalError`."""
        if self.unseal(self.seal(_CANARY, b"check"), b"check") != _CANARY:
            raise LocalError("the HSM does not open what it sealed", Reason.HSM_UNAVAILABLE)

    def generation(self) -> int:
        """How often this node has started, as the token has it."""
        return self.counters().generation

    def counters(self) -> Counters:
        """All that the token remembers."""
        return self._call(lambda: counters.read(self._session))

    def advance_generation(self, to: int) -> None:
        """Raise the generation. Raises `LocalError` (ROLLBACK_DETECTED) if that would not raise it."""

        def raised() -> None:
            held = counters.read(self._session)
            if to <= held.generation:
                raise LocalError("the token's boot generation is that high already", Reason.ROLLBACK_DETECTED)
            counters.replace(self._session, held._replace(generation=to), persist)

        self._call(raised)

    def set_counters(self, to: Counters) -> None:
        """Write all anew, also if the token has lost them: for the operator's reconciling alone."""
        self._call(lambda: counters.replace(self._session, to, persist))

    def advance(self, boot: int, writes: int, size: int = 0, root: bytes = EMPTY_ROOT) -> None:
        """Raise the number of writes and the log's tree, in one object; what is that high already stays.

        Raises `LocalError` (ROLLBACK_DETECTED) if the token is in another boot than ``boot``, (LOG_FORKED) if it holds
        another tree of this size.
        """

        def raised() -> None:
            held = counters.read(self._session)
            if held.generation != boot:
                text = "another process of this node has started on its token"
                raise LocalError(text, Reason.ROLLBACK_DETECTED)
            # Size 0 says nothing about the tree: a node that follows no log yet has none.
            following = held.raised(writes, size, root) if size else held.raised(writes, held.size, held.root)
            if following != held:
                counters.replace(self._session, following, persist)

        self._call(raised)

    def close(self) -> None:
        """Log out and end the thread."""
        self._call(self._session.close)
        self._thread.shutdown()


def initialise(config: Hsm, index: int) -> Card:
    """Make a SoftHSM2 token with its keys; returns the public ones. Raises `LocalError` if it exists.

    softhsm2-util takes PINs as arguments, which other processes can read: it gets throw-away ones, changed at once.
    """
    pin = read_pin(config.pin_file)
    library = load_library(config)
    if any(token.label == config.token_label for token in library.get_tokens()):
        raise LocalError(f"token {config.token_label} exists already", Reason.HSM_UNAVAILABLE)
    officer, first = secrets.token_hex(8), secrets.token_hex(8)
    arguments = ["--init-token", "--free", "--label", config.token_label, "--so-pin", officer, "--pin", first]
    made = subprocess.run(
        ["softhsm2-util", "--module", str(config.module), *arguments], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise LocalError("softhsm2-util could not make the token", Reason.HSM_UNAVAILABLE)
    library.reinitialize()
    token = library.get_token(token_label=config.token_label)
    with token.open(rw=True, so_pin=officer) as session:
        session.set_pin(officer, secrets.token_hex(16))
    with token.open(rw=True, user_pin=first) as session:
        session.set_pin(first, pin)
    with token.open(rw=True, user_pin=pin) as session:
        make_keys(session)
    opened = Token(config, index)
    try:
        return opened.card
    finally:
        opened.close()
