"""Renewal and revocation: a key that is revoked stays revoked, under every certificate that it ever had."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from certs import ca, leaf, revocation
from certs.errors import CertsError, FileTrouble, InvalidName, NoAuthority, NotOfThisAuthority, Revoked
from certs.leaf import Kind


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    ca.init(tmp_path / "ca")
    return tmp_path / "ca"


def issue(authority: Path, name: str = "desk", days: int = 2) -> Path:
    return leaf.issue(authority, Kind.OMS, name, authority.parent / "tls", days=days)


def crl(authority: Path) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl((authority / "ca.crl").read_bytes())


def serials(authority: Path) -> set[int]:
    return {entry.serial_number for entry in crl(authority)}


def number(authority: Path) -> int:
    return crl(authority).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def revoke_one(authority: Path, certificate: Path) -> None:
    revocation.revoke(authority, certificate)


def test_a_renewed_certificate_has_the_same_key_and_names_and_a_later_end(authority: Path) -> None:
    path = issue(authority)
    old = ca.read(path)
    new = ca.read(leaf.renew(authority, path, days=397))
    assert new.public_key() == old.public_key()
    assert new.subject == old.subject
    for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage, x509.KeyUsage, x509.BasicConstraints):
        assert new.extensions.get_extension_for_class(kind) == old.extensions.get_extension_for_class(kind)
    assert new.serial_number != old.serial_number
    assert new.not_valid_after_utc > old.not_valid_after_utc + timedelta(days=394)
    new.verify_directly_issued_by(ca.read(authority / "ca.pem"))


def test_renewing_leaves_the_private_key_alone(authority: Path) -> None:
    path = issue(authority)
    key = path.with_suffix(".key").read_bytes()
    leaf.renew(authority, path)
    assert path.with_suffix(".key").read_bytes() == key


def test_an_authority_renews_no_certificate_of_another(authority: Path, tmp_path: Path) -> None:
    ca.init(tmp_path / "other" / "ca")
    foreign = issue(tmp_path / "other" / "ca")
    before = foreign.read_bytes()
    with pytest.raises(NotOfThisAuthority):
        leaf.renew(authority, foreign)
    assert foreign.read_bytes() == before


def test_an_authority_does_not_renew_itself_as_a_leaf(authority: Path) -> None:
    with pytest.raises(InvalidName):
        leaf.renew(authority, authority / "ca.pem")


def test_a_revoked_certificate_is_on_the_signed_list(authority: Path) -> None:
    gone, stays = issue(authority, "gone"), issue(authority, "stays")
    revocation.revoke(authority, gone, days=7)
    held, root = crl(authority), ca.read(authority / "ca.pem")
    assert held.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    assert held.get_revoked_certificate_by_serial_number(ca.read(gone).serial_number) is not None
    assert held.get_revoked_certificate_by_serial_number(ca.read(stays).serial_number) is None
    assert held.next_update_utc == held.last_update_utc + timedelta(days=7)


def test_the_list_grows_and_its_number_with_it(authority: Path) -> None:
    paths = [issue(authority, name) for name in ("a", "b", "c")]
    for count, path in enumerate(paths, start=1):
        revocation.revoke(authority, path)
        assert (number(authority), len(serials(authority))) == (count, count)


def test_signing_the_list_afresh_changes_its_dates_and_number_only(authority: Path) -> None:
    revocation.revoke(authority, issue(authority))
    before = serials(authority)
    revocation.revoke(authority, None)
    assert (serials(authority), number(authority)) == (before, 2)


def test_an_authority_that_revoked_nothing_can_sign_an_empty_list(authority: Path) -> None:
    revocation.revoke(authority, None)
    assert (serials(authority), number(authority)) == (set(), 1)


def test_revoking_a_certificate_revokes_every_other_of_its_key(authority: Path) -> None:
    path = issue(authority)
    of_the_key = {ca.read(path).serial_number, *(ca.read(leaf.renew(authority, path)).serial_number for _ in range(2))}
    other = ca.read(issue(authority, "other")).serial_number
    revocation.revoke(authority, path)
    assert len(of_the_key) == 3
    assert serials(authority) == of_the_key
    assert other not in serials(authority)


def test_a_revoked_certificate_is_not_renewed(authority: Path) -> None:
    path = issue(authority)
    revocation.revoke(authority, path)
    with pytest.raises(Revoked):
        leaf.renew(authority, path)


def test_an_old_certificate_of_a_revoked_key_is_not_renewed(authority: Path) -> None:
    path = issue(authority)
    kept = path.with_name("kept.pem")
    kept.write_bytes(path.read_bytes())
    revocation.revoke(authority, leaf.renew(authority, path))
    with pytest.raises(Revoked):
        leaf.renew(authority, kept)


def test_a_revoked_key_is_not_renewed_by_a_certificate_that_the_authority_forgot(authority: Path) -> None:
    path = issue(authority)
    kept = path.with_name("kept.pem")
    kept.write_bytes(path.read_bytes())
    leaf.renew(authority, path)
    (authority / "issued" / f"{ca.read(kept).serial_number:040x}.pem").unlink()
    revocation.revoke(authority, path)
    assert ca.read(kept).serial_number not in serials(authority)
    with pytest.raises(Revoked):
        leaf.renew(authority, kept)


def test_a_certificate_is_revoked_once(authority: Path) -> None:
    path = issue(authority)
    revocation.revoke(authority, path)
    with pytest.raises(Revoked, match="already"):
        revocation.revoke(authority, path)
    assert number(authority) == 1


def test_an_authority_revokes_no_certificate_of_another_of_the_same_name(authority: Path, tmp_path: Path) -> None:
    ca.init(tmp_path / "other" / "ca")
    with pytest.raises(NotOfThisAuthority):
        revocation.revoke(authority, issue(tmp_path / "other" / "ca"))
    assert not (authority / "ca.crl").exists()


def test_a_list_that_another_authority_signed_is_not_carried_on(authority: Path, tmp_path: Path) -> None:
    ca.init(tmp_path / "other" / "ca")
    (authority / "ca.crl").write_bytes(revocation.revoke(tmp_path / "other" / "ca", None).read_bytes())
    with pytest.raises(NotOfThisAuthority):
        revocation.revoke(authority, issue(authority))


def test_a_spoilt_list_is_not_taken_for_an_empty_one(authority: Path) -> None:
    (authority / "ca.crl").write_text("junk")
    path = issue(authority)
    for attempt in (revocation.revoke, leaf.renew):
        with pytest.raises(FileTrouble):
            attempt(authority, path)


def test_a_folder_that_is_not_there_has_nothing_to_revoke(tmp_path: Path) -> None:
    with pytest.raises(NoAuthority):
        revocation.revoke(tmp_path / "nothing", None)


def test_revocations_at_the_same_time_are_all_on_the_list(authority: Path) -> None:
    paths = [issue(authority, f"n{i}") for i in range(6)]
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=revoke_one, args=(authority, path)) for path in paths]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert serials(authority) == {ca.read(path).serial_number for path in paths}


def test_every_error_is_one_that_the_command_line_turns_into_one_line() -> None:
    from certs import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, CertsError) for kind in kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)
