"""`certs`: make a private authority and its certificates."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import ca, leaf, revocation
from certs.errors import CertsError, FileTrouble

_FILE = click.Path(path_type=Path)
_DIRECTORY = click.argument("directory", type=_FILE)
_PASSPHRASE = click.option("--passphrase-file", type=_FILE, help="Protects the authority's key.")
_LEAF_DAYS = click.option("--days", type=click.IntRange(1, 825), default=leaf.LEAF_DAYS, show_default=True)
_USES = {ExtendedKeyUsageOID.SERVER_AUTH: "serves", ExtendedKeyUsageOID.CLIENT_AUTH: "dials"}


@click.group()
def cli() -> None:
    """A private certificate authority for one Counterseal network."""


@cli.command()
@_DIRECTORY
@click.option("--days", type=click.IntRange(1, 7300), default=ca.CA_DAYS, show_default=True)
@_PASSPHRASE
def init(directory: Path, days: int, passphrase_file: Path | None) -> None:
    """Make a new authority in DIRECTORY; one that is there is never overwritten."""
    click.echo(f"made {ca.init(directory, _passphrase(passphrase_file), days).name}")


@cli.command()
@_DIRECTORY
@click.option("--kind", type=click.Choice([kind.value for kind in leaf.Kind]), required=True)
@click.option("--name", required=True, help="Lower-case name; a cosigner's is its index.")
@click.option("--out", type=_FILE, required=True)
@click.option("--dns", multiple=True, help="A name that clients dial; coordinators only.")
@click.option("--ip", "ips", multiple=True, help="An address that clients dial; coordinators only.")
@_LEAF_DAYS
@_PASSPHRASE
def issue(
    directory: Path,
    kind: str,
    name: str,
    out: Path,
    dns: tuple[str, ...],
    ips: tuple[str, ...],
    days: int,
    passphrase_file: Path | None,
) -> None:
    """Make a key and its certificate."""
    made = leaf.issue(directory, leaf.Kind(kind), name, out, dns, ips, days, _passphrase(passphrase_file))
    click.echo(f"issued {made.name}")


@cli.command()
@_DIRECTORY
@click.argument("certificate", type=_FILE)
@_LEAF_DAYS
@_PASSPHRASE
def renew(directory: Path, certificate: Path, days: int, passphrase_file: Path | None) -> None:
    """Prolong CERTIFICATE in its place; its key and names stay."""
    click.echo(f"renewed {leaf.renew(directory, certificate, days, _passphrase(passphrase_file)).name}")


@cli.command()
@_DIRECTORY
@click.argument("certificate", type=_FILE, required=False)
@click.option("--days", type=click.IntRange(1, 3650), default=revocation.LIST_DAYS, show_default=True)
@_PASSPHRASE
def revoke(directory: Path, certificate: Path | None, days: int, passphrase_file: Path | None) -> None:
    """Put CERTIFICATE and all others of its key on the list; without one, sign the list afresh for so many days."""
    click.echo(f"wrote {revocation.revoke(directory, certificate, _passphrase(passphrase_file), days).name}")


@cli.command()
@click.argument("certificate", type=_FILE)
def show(certificate: Path) -> None:
    """Print who a certificate is for, what it may do, and until when."""
    read = ca.read(certificate)
    click.echo(f"subject  {read.subject.rfc4514_string()}")
    click.echo(f"serial   {read.serial_number:x}")
    click.echo(f"from     {read.not_valid_before_utc:%Y-%m-%d}")
    click.echo(f"until    {read.not_valid_after_utc:%Y-%m-%d}")
    click.echo(f"sha256   {read.fingerprint(hashes.SHA256()).hex()}")
    for extension in read.extensions:
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            for use in extension.value:
                click.echo(f"use      {_USES.get(use, use.dotted_string)}")
        if isinstance(extension.value, x509.SubjectAlternativeName):
            for name in extension.value:
                click.echo(f"name     {name.value}")


def _passphrase(path: Path | None) -> bytes | None:
    """Without the line end that an editor adds; other white space belongs to it."""
    if path is None:
        return None
    try:
        return path.read_bytes().rstrip(b"\r\n")
    except OSError:
        raise FileTrouble(f"cannot read {path}") from None


def main() -> None:
    """Entry point: an expected failure is one line and exit code 2."""
    try:
        cli(standalone_mode=True)
    except CertsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
