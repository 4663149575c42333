import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.control import sockets
from gateway.control.sockets import ListenError, Port, open_ports


@pytest.fixture
def opened() -> Iterator[list[Port]]:
    ports: list[Port] = []
    yield ports
    for port in ports:
        port.close()


def connects(family: int, address: object) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        try:
            client.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


def number(port: Port) -> int:
    return int(port.name.rpartition(":")[2])


def test_a_socket_for_each_worker_on_the_same_free_port(opened: list[Port]) -> None:
    opened += open_ports(["127.0.0.1:0"], 3)
    (port,) = opened
    assert {sock.getsockname() for sock in port.sockets} == {("127.0.0.1", number(port))}
    assert number(port) > 0
    assert [port.of(slot).fileno() for slot in range(3)] == [sock.fileno() for sock in port.sockets]


def test_connections_wait_in_the_backlog_although_nobody_accepts_yet(opened: list[Port]) -> None:
    opened += open_ports(["127.0.0.1:0"], 2)
    assert connects(socket.AF_INET, ("127.0.0.1", number(opened[0])))


def test_a_busy_port_is_a_clear_error_even_if_its_owner_shares_it(opened: list[Port]) -> None:
    opened += open_ports(["127.0.0.1:0"], 2)
    with pytest.raises(ListenError, match=rf"^cannot listen on {opened[0].name}: address already in use$"):
        open_ports([opened[0].name], 2)


def test_what_was_opened_before_the_error_is_closed_again(opened: list[Port], tmp_path: Path) -> None:
    opened += open_ports(["127.0.0.1:0"], 1)
    path = tmp_path / "sock"
    with pytest.raises(ListenError):
        open_ports([f"unix:{path}", opened[0].name], 1)
    assert not path.exists()


def test_a_closed_port_refuses_and_can_be_opened_again(opened: list[Port]) -> None:
    first = open_ports(["127.0.0.1:0"], 2)[0]
    first.close()
    assert not connects(socket.AF_INET, ("127.0.0.1", number(first)))
    opened += open_ports([first.name], 2)


def test_an_unknown_name_is_a_clear_error() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen on no\.such\.host\.invalid:80: \w+"):
        open_ports(["no.such.host.invalid:80"], 1)


needs_ipv6 = pytest.mark.skipif(not sockets._ipv6(), reason="this machine has no IPv6")


@needs_ipv6
def test_ipv6_in_brackets_leaves_ipv4_alone(opened: list[Port]) -> None:
    opened += open_ports(["[::]:0"], 1)
    assert opened[0].name == f"[::]:{number(opened[0])}"
    assert connects(socket.AF_INET6, ("::1", number(opened[0])))
    assert not connects(socket.AF_INET, ("127.0.0.1", number(opened[0])))


@needs_ipv6
def test_no_host_is_every_address(opened: list[Port]) -> None:
    opened += open_ports([":0"], 1)
    assert connects(socket.AF_INET6, ("::1", number(opened[0])))
    assert connects(socket.AF_INET, ("127.0.0.1", number(opened[0])))


def test_without_ipv6_no_host_is_every_ipv4_address(opened: list[Port], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_ipv6", lambda: False)
    opened += open_ports([":0"], 1)
    assert opened[0].name.startswith("0.0.0.0:")


def test_a_name_stands_for_all_its_addresses_on_one_port(opened: list[Port]) -> None:
    opened += open_ports(["localhost:0"], 1)
    assert len({number(port) for port in opened}) == 1
    assert f"127.0.0.1:{number(opened[0])}" in {port.name for port in opened}


def test_a_unix_socket_is_shared_and_private_to_user_and_group(opened: list[Port], tmp_path: Path) -> None:
    path = tmp_path / "sock"
    opened += open_ports([f"unix:{path}"], 3)
    assert opened[0].name == f"unix:{path}"
    assert len(opened[0].sockets) == 1
    assert opened[0].of(2) is opened[0].of(0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert connects(socket.AF_UNIX, str(path))


def test_a_unix_socket_is_unlinked_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    (port,) = open_ports([f"unix:{path}"], 1)
    port.close()
    assert not path.exists()
    path.touch()  # somebody else's by now
    port.close()
    assert path.exists()


def test_a_stale_unix_socket_is_replaced(opened: list[Port], tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    opened += open_ports([f"unix:{path}"], 1)
    assert connects(socket.AF_UNIX, str(path))


def test_a_unix_socket_in_use_is_left_alone(opened: list[Port], tmp_path: Path) -> None:
    path = tmp_path / "sock"
    opened += open_ports([f"unix:{path}"], 1)
    with pytest.raises(ListenError, match="address already in use"):
        open_ports([f"unix:{path}"], 1)
    assert connects(socket.AF_UNIX, str(path))


def test_a_unix_socket_whose_queue_is_full_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(ListenError, match="address already in use"):
            open_ports([f"unix:{path}"], 1)


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError, match="address already in use"):
        open_ports([f"unix:{path}"], 1)
    assert path.read_text() == "data"


def test_the_umask_is_as_before(opened: list[Port], tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        opened += open_ports([f"unix:{tmp_path / 'sock'}"], 1)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_repr_tells_address_and_sockets(opened: list[Port]) -> None:
    opened += open_ports(["127.0.0.1:0"], 2)
    assert repr(opened[0]) == f"<Port {opened[0].name} x2>"
