"""Root, leaves, revocation: P-256, one level, every name given by kind (RFC 5280; SPIFFE-style URI names).

A coordinator serves; cosigners and OMS clients only dial. Only coordinators get the DNS name by which cosigners know
a coordinator, so no other certificate of this authority can stand in for one.
"""

from __future__ import annotations

import ipaddress
import os
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

COORDINATOR_DNS = "coordinator.counterseal"
TRUST_DOMAIN = "counterseal"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}\Z")
_CA_DAYS, _LEAF_DAYS = 3650, 397


class CertsError(Exception):
    """What could not be done, in one line for people."""


class Kind(StrEnum):
    """Whose certificate."""

    COORDINATOR = "coordinator"
    COSIGNER = "cosigner"
    OMS = "oms"


def init(directory: Path, passphrase: bytes | None = None) -> Path:
    """Make a root in ``directory``: ca.pem, ca.key (encrypted if a passphrase is given). Never overwrites one."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (directory / "ca.key").exists():
        raise CertsError(f"{directory.name} holds a certificate authority already")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Counterseal private CA")])
    certificate = (
        _builder(name, name, key.public_key(), _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(directory / "ca.key", key, passphrase)
    _write(directory / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return directory / "ca.pem"


def issue(
    directory: Path,
    kind: Kind,
    name: str,
    out: Path,
    dns: tuple[str, ...] = (),
    ips: tuple[str, ...] = (),
    days: int = _LEAF_DAYS,
    passphrase: bytes | None = None,
) -> Path:
    """Issue a leaf: <name>.pem and <name>.key (0600) in ``out``. Returns the certificate's path."""
    if not _NAME.match(name):
        raise CertsError("a name is lower-case letters, digits, dots and dashes")
    if kind is Kind.COSIGNER and not re.match(r"[1-9][0-9]{0,4}\Z", name):
        raise CertsError("a cosigner's name is its index")
    if (dns or ips) and kind is not Kind.COORDINATOR:
        raise CertsError("only a coordinator serves, so only it has DNS names and addresses")
    ca, ca_key = load(directory, passphrase)
    key = ec.generate_private_key(ec.SECP256R1())
    server = kind is Kind.COORDINATOR
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/{kind}/{name}")]
    if server:
        names += [x509.DNSName(n) for n in dict.fromkeys((COORDINATOR_DNS, *dns))]
        names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{kind}-{name}")])
    certificate = (
        _builder(subject, ca.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_key(out / f"{name}.key", key, None)
    _write(out / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return out / f"{name}.pem"


def revoke(directory: Path, certificate: Path, passphrase: bytes | None = None) -> Path:
    """Add a certificate to ca.crl. Returns the list's path. gRPC reads no such list: re-issue the roster, too."""
    ca, key = load(directory, passphrase)
    leaf, path, now = read(certificate), directory / "ca.crl", datetime.now(UTC)
    if leaf.issuer != ca.subject:
        raise CertsError(f"{certificate.name} is not of this authority")
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject).last_update(now)
    builder = builder.next_update(now + timedelta(days=30))
    held = list(x509.load_pem_x509_crl(path.read_bytes())) if path.exists() else []
    if any(entry.serial_number == leaf.serial_number for entry in held):
        raise CertsError(f"{certificate.name} is revoked already")
    for entry in held:
        builder = builder.add_revoked_certificate(entry)
    gone = x509.RevokedCertificateBuilder().serial_number(leaf.serial_number).revocation_date(now).build()
    crl = builder.add_revoked_certificate(gone).sign(key, hashes.SHA256())
    _write(path, crl.public_bytes(serialization.Encoding.PEM), 0o644)
    return path


def read(path: Path) -> x509.Certificate:
    """A PEM certificate from a file."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise CertsError(f"{path.name} is not a readable certificate") from None


def load(directory: Path, passphrase: bytes | None = None) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The root and its key."""
    try:
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), passphrase)
    except OSError:
        raise CertsError(f"{directory.name} holds no certificate authority; run `certs init` first") from None
    except (ValueError, TypeError):
        raise CertsError("the authority's key does not open with this passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertsError("the authority's key is not an elliptic-curve key")
    return read(directory / "ca.pem"), key


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> None:
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        protection = serialization.BestAvailableEncryption(passphrase)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    _write(path, pem, 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Atomically, with the final mode from the start."""
    temporary = path.with_suffix(path.suffix + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
