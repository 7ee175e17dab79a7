"""The authority itself: one P-256 root that signs leaves only (path length 0), and remembers them (RFC 5280)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certs import files
from certs.errors import AlreadyThere, FileTrouble, NoAuthority, NotOfThisAuthority, WrongPassphrase

CA_DAYS = 3650
CLOCK_SKEW = timedelta(minutes=5)  # a peer whose clock is a little behind accepts a fresh certificate
_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Counterseal private CA")])


@dataclass(frozen=True, slots=True, repr=False)
class Authority:
    """An opened authority: its certificate, and the key that signs. It has no repr, because of the key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def check_issued(self, certificate: x509.Certificate, name: str) -> None:
        """Raises `NotOfThisAuthority` unless this key signed the certificate."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError):
            raise NotOfThisAuthority(f"{name} is not of this authority") from None


def init(directory: Path, passphrase: bytes | None = None, days: int = CA_DAYS) -> Path:
    """Make an authority: ca.pem, and ca.key (0600; encrypted if a passphrase is given). Returns ca.pem's path.

    Raises `AlreadyThere` if either file exists, `WrongPassphrase` if the passphrase is empty, `FileTrouble`.
    """
    files.make_folder(directory)
    with files.locked(directory):
        # Where the key is kept offline, the certificate alone shows that there is an authority.
        if any((directory / name).exists() for name in ("ca.pem", "ca.key")):
            raise AlreadyThere(f"{directory} holds a certificate authority already")
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_NAME)
            .issuer_name(_NAME)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        files.create(directory / "ca.key", private_pem(key, passphrase), files.PRIVATE)
        files.create(directory / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), files.PUBLIC)
    return directory / "ca.pem"


def load(directory: Path, passphrase: bytes | None = None) -> Authority:
    """Open an authority. Raises `NoAuthority`, `WrongPassphrase`, `FileTrouble`."""
    try:
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), passphrase)
    except OSError:
        raise NoAuthority(f"{directory} holds no readable ca.key; run `certs init` first") from None
    except (ValueError, TypeError):
        raise WrongPassphrase("the authority's key does not open with this passphrase") from None
    certificate = read(directory / "ca.pem")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise NoAuthority(f"ca.key and ca.pem in {directory} do not belong together")
    return Authority(certificate, key)


def record(directory: Path, certificate: x509.Certificate) -> None:
    """Remember a certificate in issued/, before anyone gets it. Raises `FileTrouble`."""
    files.make_folder(directory / "issued")
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    files.create(directory / "issued" / f"{certificate.serial_number:040x}.pem", pem, files.PUBLIC)


def serials_of_key(directory: Path, certificate: x509.Certificate) -> set[int]:
    """The serial numbers of all certificates issued for this certificate's key. Raises `FileTrouble`."""
    issued = [read(path) for path in (directory / "issued").glob("*.pem")]
    key = certificate.public_key()
    return {one.serial_number for one in issued if one.public_key() == key} | {certificate.serial_number}


def read(path: Path) -> x509.Certificate:
    """A PEM certificate. Raises `FileTrouble`."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise FileTrouble(f"{path} is not a readable certificate") from None


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    """PKCS#8; encrypted if a passphrase is given. Raises `WrongPassphrase` if that is empty, lest a key stay bare."""
    if passphrase is None:
        protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    elif passphrase:
        protection = serialization.BestAvailableEncryption(passphrase)
    else:
        raise WrongPassphrase("the passphrase is empty")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """An authority signs certificates and lists, a leaf signs handshakes; neither does the other's."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
