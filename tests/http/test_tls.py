from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.config import schema
from gateway.http.tls import client_context, server_context
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_listener_asks_for_certificates_only_with_an_authority_to_check_them(authority: Authority) -> None:
    files = authority.sign("localhost")
    tls = schema.ServerTls(cert_file=files.certificate, key_file=files.key)
    assert server_context(tls).verify_mode is ssl.CERT_NONE
    tls = schema.ServerTls(cert_file=files.certificate, key_file=files.key, client_ca_file=authority.file)
    assert server_context(tls).verify_mode is ssl.CERT_REQUIRED


def test_backends_are_verified_unless_the_configuration_says_not_to(authority: Authority) -> None:
    assert client_context(None).verify_mode is ssl.CERT_REQUIRED
    assert client_context(None).check_hostname
    context = client_context(schema.BackendTls(insecure_skip_verify=True))
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_an_authority_of_its_own_is_the_only_one(authority: Authority) -> None:
    [certificate] = client_context(schema.BackendTls(ca_file=authority.file)).get_ca_certs()
    assert certificate["subject"] == ((("commonName", "authority"),),)


def test_nothing_older_than_tls_1_2(authority: Authority) -> None:
    files = authority.sign("localhost")
    for context in (
        server_context(schema.ServerTls(cert_file=files.certificate, key_file=files.key)),
        client_context(None),
    ):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("missing", ["cert_file", "key_file", "client_ca_file"])
def test_a_file_that_is_not_there(authority: Authority, missing: str) -> None:
    files = authority.sign("localhost")
    names = {"cert_file": files.certificate, "key_file": files.key, "client_ca_file": authority.file}
    with pytest.raises(OSError, match="No such file"):
        server_context(schema.ServerTls(**(names | {missing: "/nowhere.pem"})))


def test_a_key_that_does_not_fit(authority: Authority) -> None:
    with pytest.raises(ssl.SSLError):
        server_context(schema.ServerTls(cert_file=authority.sign("a").certificate, key_file=authority.sign("b").key))
