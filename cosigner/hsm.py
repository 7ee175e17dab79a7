"""The HSM slot over PKCS#11: sealing, signatures, and what a restored disk must not make forgotten.

Keys that never leave the token: AES-256 ``seal``, P-256 ``identity``, Ed25519 ``witness``, and an AES-256 key of its
own for each share, so that destroying this key destroys the share wherever its sealed bytes still are. python-pkcs11
initialises modules without locking, so every call runs on one thread of our own.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from cosigner import counters
from cosigner.config import Hsm
from cosigner.counters import Counters
from oms_core.errors import LocalError, Reason
from oms_core.log.tree import EMPTY_ROOT
from oms_core.protocol.identity import identity_digest

T = TypeVar("T")

_SEAL, _IDENTITY, _WITNESS = "counterseal-seal", "counterseal-identity", "counterseal-witness"
_SHARE = "counterseal-share-"
_EDWARDS25519 = b"\x13\x0cedwards25519"  # a PrintableString: the curve's name in PKCS#11 3.0
_CANARY = b"counterseal canary"
_directories: set[Path] = set()
"""Where tokens that are files are kept."""
_LOCKED = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}


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


@dataclass(frozen=True, slots=True)
class _Opened:
    session: Any
    seal: Any
    identity: Any
    witness: Any
    public: bytes
    cosigns_with: bytes


class Token:
    """An open, logged-in token that holds this node's keys. Implements the core's `Identity`."""

    def __init__(self, config: Hsm, index: int) -> None:
        """Open and check everything. Raises `LocalError`: HSM_PIN, HSM_TOKEN_MISSING, HSM_KEY_UNSUITABLE, …"""
        self.index = index
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hsm")
        opened = self._call(lambda: _open(config))
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
                key = _make_aes(self._session, _SHARE + under)
                _persist()
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
                _persist()

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
            counters.replace(self._session, held._replace(generation=to), _persist)

        self._call(raised)

    def set_counters(self, to: Counters) -> None:
        """Write all anew, also if the token has lost them: for the operator's reconciling alone."""
        self._call(lambda: counters.replace(self._session, to, _persist))

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
                counters.replace(self._session, following, _persist)

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
    library = _library(config)
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
        _make_keys(session)
    opened = Token(config, index)
    try:
        return opened.card
    finally:
        opened.close()


def read_pin(path: Path) -> str:
    """The PIN in a file that nobody else can read. Raises `LocalError` (HSM_PIN)."""
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise LocalError(f"{path.name} can be read by others; chmod 600 it", Reason.HSM_PIN)
        pin = path.read_text().strip()
    except OSError:
        raise LocalError(f"the PIN file {path.name} cannot be read", Reason.HSM_PIN) from None
    if not pin:
        raise LocalError(f"the PIN file {path.name} is empty", Reason.HSM_PIN)
    return pin


def _library(config: Hsm) -> Any:
    if config.softhsm_conf is not None:
        os.environ["SOFTHSM2_CONF"] = str(config.softhsm_conf)
        _directories.clear()
        _directories.add(_token_directory(config.softhsm_conf))
    try:
        return pkcs11.lib(str(config.module))
    except (RuntimeError, pkcs11.exceptions.PKCS11Error):
        raise LocalError(f"cannot load the PKCS#11 module {config.module.name}", Reason.HSM_UNAVAILABLE) from None


def _token_directory(conf: Path) -> Path:
    """Where SoftHSM2 keeps its tokens, by its configuration. Raises `LocalError` (CONFIG_INVALID)."""
    try:
        for line in conf.read_text().splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "directories.tokendir":
                return Path(value.strip())
    except OSError:
        pass
    raise LocalError(f"{conf.name} does not name directories.tokendir", Reason.CONFIG_INVALID)


def _open(config: Hsm) -> _Opened:
    library = _library(config)
    try:
        session = library.get_token(token_label=config.token_label).open(rw=True, user_pin=read_pin(config.pin_file))
    except pkcs11.exceptions.NoSuchToken:
        raise LocalError(f"there is no token {config.token_label}", Reason.HSM_TOKEN_MISSING) from None
    except (pkcs11.exceptions.PinIncorrect, pkcs11.exceptions.PinInvalid, pkcs11.exceptions.PinLenRange):
        raise LocalError(f"wrong PIN for token {config.token_label}", Reason.HSM_PIN) from None
    except pkcs11.exceptions.PinLocked:
        raise LocalError(f"token {config.token_label} is locked", Reason.HSM_PIN) from None
    try:
        seal = session.get_key(ObjectClass.SECRET_KEY, KeyType.AES, label=_SEAL)
        identity = session.get_key(ObjectClass.PRIVATE_KEY, KeyType.EC, label=_IDENTITY)
        public = session.get_key(ObjectClass.PUBLIC_KEY, KeyType.EC, label=_IDENTITY)
        witness = session.get_key(ObjectClass.PRIVATE_KEY, KeyType.EC_EDWARDS, label=_WITNESS)
        cosigns_with = session.get_key(ObjectClass.PUBLIC_KEY, KeyType.EC_EDWARDS, label=_WITNESS)
    except (pkcs11.exceptions.NoSuchKey, pkcs11.exceptions.MultipleObjectsReturned):
        raise LocalError("the token lacks one of its keys, or has it twice", Reason.HSM_KEY_UNSUITABLE) from None
    for key in (seal, identity, witness):
        if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE] or not key[Attribute.NEVER_EXTRACTABLE]:
            raise LocalError("a key of the token can be extracted", Reason.HSM_KEY_UNSUITABLE)
    return _Opened(session, seal, identity, witness, _sec1(public), _edwards(cosigns_with))


def _make_aes(session: Any, label: str) -> Any:
    return session.generate_key(
        KeyType.AES,
        256,
        label=label,
        store=True,
        capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
        template=_LOCKED,
    )


def _make_keys(session: Any) -> None:
    _make_aes(session, _SEAL)
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
    )
    parameters.generate_keypair(
        label=_IDENTITY, store=True, capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY, private_template=_LOCKED
    )
    curve = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _EDWARDS25519}, local=True)
    curve.generate_keypair(
        mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
        label=_WITNESS,
        store=True,
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        private_template=_LOCKED,
    )
    counters.write(session, Counters(0, 0))


def _sec1(public: Any) -> bytes:
    """The 65-byte point, which ends the key's SubjectPublicKeyInfo."""
    spki = bytes(encode_ec_public_key(public))
    if len(spki) != 91 or spki[-65] != 4:
        raise LocalError("the identity key is not on P-256", Reason.HSM_KEY_UNSUITABLE)
    return spki[-65:]


def _edwards(public: Any) -> bytes:
    """The 32 bytes of an Ed25519 key, which PKCS#11 keeps as an octet string."""
    head, point = public[Attribute.EC_POINT][:2], bytes(public[Attribute.EC_POINT][2:])
    if head != b"\x04\x20" or len(point) != 32:
        raise LocalError("the witness key is not on edwards25519", Reason.HSM_KEY_UNSUITABLE)
    return point


def _persist() -> None:
    """Flush a token that is files. SoftHSM2 does not, and a share that is said to be sealed has to outlive a power cut.

    A hardware token answers when it is durable, and needs none of this.
    """
    for directory in _directories:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
                raise LocalError("the token cannot be written to disk", Reason.HSM_UNAVAILABLE)
        finally:
            os.close(descriptor)
