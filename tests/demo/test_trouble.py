from __future__ import annotations

import socket

import pytest

from gateway.demo.trouble import Trouble, check_free


def test_a_taken_port_is_named_and_the_way_out_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Trouble, match=rf"port {port} .*DEMO_LISTEN=127\.0\.0\.1:{port + 1} gateway demo"):
            check_free(f"127.0.0.1:{port}", "DEMO_LISTEN")


def test_a_free_port_is_fine_and_stays_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    check_free(f"127.0.0.1:{port}", "DEMO_LISTEN")
    socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("address", [":8081", "unix:/run/x.sock"])
def test_an_address_that_the_tour_could_not_ask_is_refused(address: str) -> None:
    with pytest.raises(Trouble, match="needs host:port"):
        check_free(address, "DEMO_LISTEN")
