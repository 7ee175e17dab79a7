"""Certificates: what each kind may do, judged by a verifier that is not ours; and what cannot be overwritten."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import verification

from certs import ca, leaf
from certs.errors import AlreadyThere, FileTrouble, InvalidName, NoAuthority, WrongPassphrase
from certs.leaf import COORDINATOR_DNS, Kind

CLIENTS = [(Kind.COSIGNER, "3"), (Kind.OMS, "front-end")]


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    ca.init(tmp_path / "ca")
    return tmp_path / "ca"


def judge(authority: Path, at: datetime | None = None) -> verification.PolicyBuilder:
    store = verification.Store([ca.read(authority / "ca.pem")])
    return verification.PolicyBuilder().store(store).time(at or datetime.now(UTC))


def as_server(authority: Path, certificate: Path, name: str = COORDINATOR_DNS, at: datetime | None = None) -> None:
    judge(authority, at).build_server_verifier(x509.DNSName(name)).verify(ca.read(certificate), [])


def as_client(authority: Path, certificate: Path) -> list[x509.GeneralName]:
    return judge(authority).build_client_verifier().verify(ca.read(certificate), []).subjects or []


def issue(authority: Path, kind: Kind, name: str, **options: tuple[str, ...] | int) -> Path:
    return leaf.issue(authority, kind, name, authority.parent / "tls", **options)  # type: ignore[arg-type]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_coordinator_certificate_serves_under_the_name_that_cosigners_look_for(authority: Path) -> None:
    as_server(authority, issue(authority, Kind.COORDINATOR, "main"))


def test_a_coordinator_certificate_serves_under_the_names_and_addresses_it_was_given(authority: Path) -> None:
    certificate = issue(authority, Kind.COORDINATOR, "main", dns=("localhost",), ips=("127.0.0.1", "::1"))
    as_server(authority, certificate, "localhost")
    names = ca.read(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_a_coordinator_certificate_does_not_serve_under_another_name(authority: Path) -> None:
    certificate = issue(authority, Kind.COORDINATOR, "main")
    with pytest.raises(verification.VerificationError):
        as_server(authority, certificate, "localhost")


def test_a_coordinator_certificate_cannot_dial(authority: Path) -> None:
    certificate = issue(authority, Kind.COORDINATOR, "main")
    with pytest.raises(verification.VerificationError):
        as_client(authority, certificate)


@pytest.mark.parametrize(("kind", "name"), CLIENTS)
def test_a_client_certificate_dials_under_its_uri_and_no_other_name(authority: Path, kind: Kind, name: str) -> None:
    names = as_client(authority, issue(authority, kind, name))
    assert names == [x509.UniformResourceIdentifier(f"spiffe://counterseal/{kind}/{name}")]


@pytest.mark.parametrize(("kind", "name"), CLIENTS)
@pytest.mark.parametrize("option", [{"dns": ("localhost",)}, {"ips": ("127.0.0.1",)}], ids=["dns", "ip"])
def test_a_client_certificate_gets_no_name_to_serve_under(
    authority: Path, kind: Kind, name: str, option: dict[str, tuple[str, ...]]
) -> None:
    with pytest.raises(InvalidName, match="only a coordinator serves"):
        issue(authority, kind, name, **option)


def test_a_cosigner_certificate_cannot_serve_even_under_the_coordinators_name(
    authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = x509.DNSName(COORDINATOR_DNS)
    monkeypatch.setattr(leaf, "_names", lambda *_: x509.SubjectAlternativeName([coordinator]))
    certificate = issue(authority, Kind.COSIGNER, "3")
    with pytest.raises(verification.VerificationError, match="EKU"):
        as_server(authority, certificate)


def test_a_certificate_of_another_authority_of_the_same_name_does_not_count(authority: Path, tmp_path: Path) -> None:
    ca.init(tmp_path / "other")
    certificate = issue(authority, Kind.COORDINATOR, "main")
    with pytest.raises(verification.VerificationError):
        as_server(tmp_path / "other", certificate)


def test_a_leaf_cannot_issue(authority: Path) -> None:
    constraints = ca.read(issue(authority, Kind.OMS, "desk")).extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)


def test_the_authority_allows_no_authority_below_it(authority: Path) -> None:
    constraints = ca.read(authority / "ca.pem").extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)


def test_a_certificate_counts_for_its_days_and_no_longer(authority: Path) -> None:
    certificate = issue(authority, Kind.COORDINATOR, "main", days=2)
    end = ca.read(certificate).not_valid_after_utc
    assert abs(end - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=1)
    as_server(authority, certificate, at=end - timedelta(seconds=1))
    with pytest.raises(verification.VerificationError):
        as_server(authority, certificate, at=end + timedelta(seconds=1))


def test_a_certificate_does_not_outlive_its_authority(tmp_path: Path) -> None:
    ca.init(tmp_path / "ca", days=30)
    with pytest.raises(InvalidName, match="give fewer --days"):
        issue(tmp_path / "ca", Kind.OMS, "desk", days=31)


@pytest.mark.parametrize("name", ["", "A", "a_b", "../up", "a/b", "-a", "a\n", "ä", "a" * 64])
def test_a_name_that_is_no_name_is_refused(authority: Path, name: str) -> None:
    with pytest.raises(InvalidName):
        issue(authority, Kind.OMS, name)


@pytest.mark.parametrize("name", ["0", "01", "zurich", "1.5", "123456"])
def test_a_cosigner_is_named_by_its_index_alone(authority: Path, name: str) -> None:
    with pytest.raises(InvalidName, match="index"):
        issue(authority, Kind.COSIGNER, name)


@pytest.mark.parametrize("dns", ["", "two words", "*.example", "UPPER", "-a.example", "a..b", "ü.example", "a" * 64])
def test_a_dns_name_that_is_no_dns_name_is_refused(authority: Path, dns: str) -> None:
    with pytest.raises(InvalidName, match="DNS name"):
        issue(authority, Kind.COORDINATOR, "main", dns=(dns,))


@pytest.mark.parametrize("ip", ["", "localhost", "127.0.0.1/8", "1.2.3"])
def test_an_address_that_is_no_address_is_refused(authority: Path, ip: str) -> None:
    with pytest.raises(InvalidName, match="IP address"):
        issue(authority, Kind.COORDINATOR, "main", ips=(ip,))


def test_private_keys_are_for_their_owner_alone(authority: Path) -> None:
    certificate = issue(authority, Kind.OMS, "desk")
    assert mode(authority) == mode(certificate.parent) == 0o700
    assert mode(authority / "ca.key") == mode(certificate.with_suffix(".key")) == 0o600


def test_no_half_written_file_is_left_beside_the_others(authority: Path) -> None:
    certificate = issue(authority, Kind.OMS, "desk")
    assert sorted(path.name for path in certificate.parent.iterdir()) == ["desk.key", "desk.pem"]
    assert sorted(path.name for path in authority.iterdir()) == ["ca.key", "ca.pem", "issued"]


@pytest.mark.parametrize("offline", ["ca.key", "ca.pem", None], ids=["key is offline", "certificate is lost", "whole"])
def test_an_authority_is_never_overwritten(authority: Path, offline: str | None) -> None:
    if offline:
        (authority / offline).unlink()
    before = {path.name: path.read_bytes() for path in authority.iterdir()}
    with pytest.raises(AlreadyThere):
        ca.init(authority)
    assert {path.name: path.read_bytes() for path in authority.iterdir()} == before


@pytest.mark.parametrize("lost", ["desk.key", "desk.pem", None])
def test_a_key_is_never_overwritten(authority: Path, lost: str | None) -> None:
    tls = issue(authority, Kind.OMS, "desk").parent
    if lost:
        (tls / lost).unlink()
    before = {path.name: path.read_bytes() for path in tls.iterdir()}
    with pytest.raises(AlreadyThere):
        issue(authority, Kind.OMS, "desk")
    assert {path.name: path.read_bytes() for path in tls.iterdir()} == before


def test_an_authority_with_a_passphrase_opens_with_that_one_only(tmp_path: Path) -> None:
    ca.init(tmp_path / "ca", b"right")
    assert b"ENCRYPTED" in (tmp_path / "ca" / "ca.key").read_bytes()
    assert ca.load(tmp_path / "ca", b"right").certificate == ca.read(tmp_path / "ca" / "ca.pem")
    for wrong in (b"wrong", b"", None):
        with pytest.raises(WrongPassphrase):
            ca.load(tmp_path / "ca", wrong)


def test_an_empty_passphrase_does_not_leave_the_key_bare(tmp_path: Path) -> None:
    with pytest.raises(WrongPassphrase, match="empty"):
        ca.init(tmp_path / "ca", b"")
    assert not list((tmp_path / "ca").iterdir())


def test_a_key_and_a_certificate_of_two_authorities_do_not_open(authority: Path, tmp_path: Path) -> None:
    ca.init(tmp_path / "other")
    (tmp_path / "other" / "ca.key").replace(authority / "ca.key")
    with pytest.raises(NoAuthority, match="do not belong together"):
        ca.load(authority)


def test_an_opened_authority_does_not_print_its_key(authority: Path) -> None:
    assert "key" not in repr(ca.load(authority)).lower()


def test_what_is_no_authority_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoAuthority, match="certs init"):
        issue(tmp_path / "nothing", Kind.OMS, "desk")


def test_a_folder_that_cannot_be_made_says_so(authority: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileTrouble, match="folder"):
        leaf.issue(authority, Kind.OMS, "desk", tmp_path / "file" / "tls")


def test_what_is_no_certificate_says_so(tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    for path in (tmp_path / "junk.pem", tmp_path / "missing.pem"):
        with pytest.raises(FileTrouble, match="not a readable certificate"):
            ca.read(path)
