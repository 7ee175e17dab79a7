"""The revocation list ca.crl (RFC 5280, section 5): what is on it, and putting a key's certificates there.

gRPC reads no such list (checked with grpcio 1.85), so it stops nobody at our own ports: take the certificate off the
roster, too. It is for everything else that speaks TLS to the network, and for the record.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs import ca, files
from certs.errors import FileTrouble, NotOfThisAuthority, Revoked

LIST_DAYS = 30


def revoke(directory: Path, certificate: Path | None, passphrase: bytes | None = None, days: int = LIST_DAYS) -> Path:
    """List a certificate and all others of its key; without one, sign the same list afresh. It counts ``days`` days.

    Returns the list's path. Raises `NotOfThisAuthority`, `Revoked` if nothing is left to list, `FileTrouble`, and what
    `ca.load` raises.
    """
    with files.locked(directory):
        authority = ca.load(directory, passphrase)
        held, now = _held(directory, authority), datetime.now(UTC)
        entries = list(held) if held is not None else []
        if certificate is not None:
            leaf = ca.read(certificate)
            authority.check_issued(leaf, certificate.name)
            new = ca.serials_of_key(directory, leaf) - {entry.serial_number for entry in entries}
            if not new:
                raise Revoked(f"{certificate.name} is revoked already")
            entries += [_entry(serial, now) for serial in sorted(new)]
        builder = x509.CertificateRevocationListBuilder(authority.certificate.subject, now, now + timedelta(days=days))
        for entry in entries:
            builder = builder.add_revoked_certificate(entry)
        public = authority.key.public_key()
        signed = (
            builder.add_extension(x509.CRLNumber(_number(held) + 1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
            .sign(authority.key, hashes.SHA256())
        )
        files.replace(directory / "ca.crl", signed.public_bytes(serialization.Encoding.PEM), files.PUBLIC)
    return directory / "ca.crl"


def revoked(directory: Path, authority: ca.Authority) -> set[int]:
    """The serial numbers on the list. Raises `FileTrouble`, and `NotOfThisAuthority` if someone else signed it."""
    return {entry.serial_number for entry in _held(directory, authority) or ()}


def _held(directory: Path, authority: ca.Authority) -> x509.CertificateRevocationList | None:
    path = directory / "ca.crl"
    try:
        held = x509.load_pem_x509_crl(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise FileTrouble(f"{path} is not a readable revocation list") from None
    if not held.is_signature_valid(authority.key.public_key()):
        raise NotOfThisAuthority(f"{path} is not of this authority")
    return held


def _entry(serial: int, now: datetime) -> x509.RevokedCertificate:
    return x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()


def _number(held: x509.CertificateRevocationList | None) -> int:
    try:
        return held.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number if held is not None else 0
    except x509.ExtensionNotFound:
        return 0
