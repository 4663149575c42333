import msgspec

from gateway.config.schema import Backend, Config, Graph, HeaderRules, Node, Server, Step


def test_a_config_travels_between_processes_unchanged() -> None:
    steps = (Step(backend="b", weight=1, timeout=0.25), Step(node_name="root", condition="a", data="$response"))
    config = Config(
        server=Server(listen=(":1", "unix:/x"), headers=HeaderRules(propagate=(), set={"a": "b"})),
        backends={"b": Backend(url="http://b")},
        graphs={"g": Graph(nodes={"root": Node(router_type="Splitter", steps=steps)}, timeout=0.0)},
        router=True,
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config


def test_an_empty_config_is_small() -> None:
    assert msgspec.msgpack.encode(Config()) == b"\x80"
