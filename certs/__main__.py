"""`certs`: make a private authority and its certificates."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certs import ca

_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))
_PASSPHRASE = click.option("--passphrase-file", type=click.Path(path_type=Path), help="Protects the authority's key.")


@click.group()
def cli() -> None:
    """A private certificate authority for one Counterseal network."""


@cli.command()
@_DIRECTORY
@_PASSPHRASE
def init(directory: Path, passphrase_file: Path | None) -> None:
    """Make a new authority in DIRECTORY."""
    click.echo(f"made {ca.init(directory, _passphrase(passphrase_file)).name}")


@cli.command()
@_DIRECTORY
@click.option("--kind", type=click.Choice([kind.value for kind in ca.Kind]), required=True)
@click.option("--name", required=True, help="Lower-case name; a cosigner's is its index.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--dns", multiple=True)
@click.option("--ip", "ips", multiple=True)
@click.option("--days", type=click.IntRange(1, 825), default=397, show_default=True)
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
    """Issue a certificate and its key."""
    made = ca.issue(directory, ca.Kind(kind), name, out, dns, ips, days, _passphrase(passphrase_file))
    click.echo(f"issued {made.name}")


@cli.command()
@_DIRECTORY
@click.argument("certificate", type=click.Path(path_type=Path))
@_PASSPHRASE
def revoke(directory: Path, certificate: Path, passphrase_file: Path | None) -> None:
    """Put a certificate on the authority's revocation list."""
    click.echo(f"wrote {ca.revoke(directory, certificate, _passphrase(passphrase_file)).name}")


@cli.command()
@click.argument("certificate", type=click.Path(path_type=Path))
def show(certificate: Path) -> None:
    """Print who a certificate is for, and until when."""
    read = ca.read(certificate)
    click.echo(f"subject  {read.subject.rfc4514_string()}")
    click.echo(f"until    {read.not_valid_after_utc:%Y-%m-%d}")
    click.echo(f"sha256   {read.fingerprint(hashes.SHA256()).hex()}")
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for name in names:
            click.echo(f"name     {name.value}")
    except x509.ExtensionNotFound:
        pass


def _passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes().strip()
    except OSError:
        raise ca.CertsError(f"cannot read {path.name}") from None


def main() -> None:
    """Entry point: an expected failure is one line and exit code 2."""
    try:
        cli(standalone_mode=True)
    except ca.CertsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
