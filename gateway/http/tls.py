"""TLS contexts for both sides. TLS 1.2 is the oldest version spoken; Python's own defaults choose the ciphers."""

from __future__ import annotations

import ssl

from gateway.config import schema


def server_context(tls: schema.ServerTls) -> ssl.SSLContext:
    """For listeners. With ``clientCaFile`` a client without a certificate from that authority is turned away.

    Raises OSError or ssl.SSLError when a file cannot be read or does not fit.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert_file, tls.key_file)
    if tls.client_ca_file is not None:
        context.load_verify_locations(tls.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_context(tls: schema.BackendTls | None) -> ssl.SSLContext:
    """For ``https`` backends: verified against the system's authorities, or against ``caFile`` alone.

    Raises OSError or ssl.SSLError when a file cannot be read or does not fit.
    """
    tls = tls or schema.BackendTls()
    context = ssl.create_default_context(cafile=tls.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    context.set_alpn_protocols(["http/1.1"])
    return context
