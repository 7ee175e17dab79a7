"""The PKCS#11 module and this node's token in it: its keys, found or made, and that its files are on disk.

python-pkcs11 locks nothing: whoever calls this sees to it that there is one thread at a time.
"""

from __future__ import annotations

import ctypes
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from cosigner import counters
from cosigner.config import Hsm
from cosigner.counters import Counters
from oms_core.errors import LocalError, Reason

_SEAL, _IDENTITY, _WITNESS = "counterseal-seal", "counterseal-identity", "counterseal-witness"
_EDWARDS25519 = b"\x13\x0cedwards25519"  # a PrintableString: the curve's name in PKCS#11 3.0
_directories: set[Path] = set()
"""Where tokens that are files are kept."""
_LOCKED = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that is logged in, its keys, and the public ones (65-byte SEC1 P-256, 32-byte Ed25519)."""

    session: Any
    seal: Any
    identity: Any
    witness: Any
    public: bytes
    cosigns_with: bytes


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


def load_library(config: Hsm) -> Any:
    """The PKCS#11 module of a configuration. Raises `LocalError` (HSM_UNAVAILABLE, CONFIG_INVALID)."""
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


def open_slot(config: Hsm) -> Opened:
    """Log in, and find all keys. Raises `LocalError`: HSM_PIN, HSM_TOKEN_MISSING, HSM_KEY_UNSUITABLE, …"""
    library = load_library(config)
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
    return Opened(session, seal, identity, witness, _sec1(public), _edwards(cosigns_with))


def make_aes(session: Any, label: str) -> Any:
    """An AES-256 key that never leaves the token."""
    return session.generate_key(
        KeyType.AES,
        256,
        label=label,
        store=True,
        capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
        template=_LOCKED,
    )


def make_keys(session: Any) -> None:
    """The keys of a new token, and its counters at nothing."""
    make_aes(session, _SEAL)
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


def persist() -> None:
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
