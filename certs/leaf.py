"""Certificates for those who speak: what each kind may do, and under which names (SPIFFE-style URIs).

A coordinator serves; cosigners and OMS clients only dial. Only coordinators get the DNS name by which cosigners know
a coordinator, so no other certificate of this authority can stand in for one.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import ca, files, revocation
from certs.errors import AlreadyThere, InvalidName, Revoked

COORDINATOR_DNS = "coordinator.counterseal"
TRUST_DOMAIN = "counterseal"
LEAF_DAYS = 397
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}\Z")
_INDEX = re.compile(r"[1-9][0-9]{0,4}\Z")
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_DNS = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\Z")


class Kind(StrEnum):
    """Whose certificate."""

    COORDINATOR = "coordinator"
    COSIGNER = "cosigner"
    OMS = "oms"


def issue(
    directory: Path,
    kind: Kind,
    name: str,
    out: Path,
    dns: tuple[str, ...] = (),
    ips: tuple[str, ...] = (),
    days: int = LEAF_DAYS,
    passphrase: bytes | None = None,
) -> Path:
    """Make a key and its certificate: <name>.key (0600) and <name>.pem in ``out``. Returns the certificate's path.

    ``days`` of validity start now. Raises `InvalidName`, `AlreadyThere`, `FileTrouble`, and what `ca.load` raises.
    """
    usage, names = _usage(kind), _names(kind, name, dns, ips)
    authority = ca.load(directory, passphrase)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{kind}-{name}")])
    signed = _sign(authority, subject, key.public_key(), usage, names, days)
    files.make_folder(out)
    certificate = out / f"{name}.pem"
    if certificate.exists():
        raise AlreadyThere(f"{certificate} exists; `certs renew` prolongs it")
    files.create(out / f"{name}.key", ca.private_pem(key, None), files.PRIVATE)
    ca.record(directory, signed)
    files.create(certificate, _pem(signed), files.PUBLIC)
    return certificate


def renew(directory: Path, certificate: Path, days: int = LEAF_DAYS, passphrase: bytes | None = None) -> Path:
    """Prolong a certificate in its place, expired or not: same key, same names, ``days`` from now. Returns its path.

    The key stays, so that a key in an HSM can be renewed and pinned keys go on counting; for a new key, issue anew.
    Raises `Revoked`, `NotOfThisAuthority`, `InvalidName`, `FileTrouble`, and what `ca.load` raises.
    """
    with files.locked(directory):  # nobody revokes it while it is being prolonged
        authority, old = ca.load(directory, passphrase), ca.read(certificate)
        authority.check_issued(old, certificate.name)
        if ca.serials_of_key(directory, old) & revocation.revoked(directory, authority):
            raise Revoked(f"{certificate.name} is revoked and is not prolonged")
        public = old.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey) or old.issuer == old.subject:
            raise InvalidName(f"{certificate.name} is not a certificate that this tool issues")
        usage = old.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        signed = _sign(authority, old.subject, public, usage, names, days)
        ca.record(directory, signed)
        files.replace(certificate, _pem(signed), files.PUBLIC)
    return certificate


def _usage(kind: Kind) -> x509.ExtendedKeyUsage:
    serves = kind is Kind.COORDINATOR
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH])


def _names(kind: Kind, name: str, dns: tuple[str, ...], ips: tuple[str, ...]) -> x509.SubjectAlternativeName:
    if not _NAME.match(name):
        raise InvalidName("a name is lower-case letters, digits, dots and dashes, at most 63 of them")
    if kind is Kind.COSIGNER and not _INDEX.match(name):
        raise InvalidName("a cosigner's name is its index")
    if (dns or ips) and kind is not Kind.COORDINATOR:
        raise InvalidName("only a coordinator serves, so only it has DNS names and addresses")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/{kind}/{name}")]
    if kind is Kind.COORDINATOR:
        for one in dict.fromkeys((COORDINATOR_DNS, *dns)):
            if not _DNS.match(one):
                raise InvalidName(f"{one!r} is not a lower-case DNS name")
            names.append(x509.DNSName(one))
        for ip in dict.fromkeys(ips):
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(ip)))
            except ValueError:
                raise InvalidName(f"{ip!r} is not an IP address") from None
    return x509.SubjectAlternativeName(names)


def _sign(
    authority: ca.Authority,
    subject: x509.Name,
    public: ec.EllipticCurvePublicKey,
    usage: x509.ExtendedKeyUsage,
    names: x509.SubjectAlternativeName,
    days: int,
) -> x509.Certificate:
    now = datetime.now(UTC)
    end = now + timedelta(days=days)
    if end > (last := authority.certificate.not_valid_after_utc):
        raise InvalidName(f"the authority ends on {last:%Y-%m-%d}, before the certificate would: give fewer --days")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - ca.CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(ca.key_usage(signs_certificates=False), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
