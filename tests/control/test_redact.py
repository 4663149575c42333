from gateway.config.schema import Backend, Config, Graph, HeaderRules, Node, PayloadSinks, Server, ServerTls, Sink, Step
from gateway.control.redact import redacted


def test_values_of_headers_are_hidden_wherever_they_are_set() -> None:
    rules = HeaderRules(set={"authorization": "Bearer s3cret"}, remove=("cookie",))
    config = Config(
        server=Server(headers=rules),
        backends={"b": Backend(url="http://b:1", headers=rules)},
        graphs={"g": Graph(nodes={}, headers=rules)},
    )
    shown = redacted(config)
    for place in (shown["server"], shown["backends"]["b"], shown["graphs"]["g"]):
        assert place["headers"] == {"set": {"authorization": "[redacted]"}, "remove": ("cookie",)}
    assert "s3cret" not in str(shown)


def test_passwords_in_urls_are_hidden() -> None:
    step = Step(service_url="http://me:s3cret@host:80/path?a=b:c@d")
    config = Config(graphs={"g": Graph(nodes={"root": Node(router_type="Sequence", steps=(step,))})})
    (shown,) = redacted(config)["graphs"]["g"]["nodes"]["root"]["steps"]
    assert shown == {"serviceUrl": "http://me:[redacted]@host:80/path?a=b:c@d"}


def test_other_text_stays_and_keys_are_those_of_the_file() -> None:
    config = Config(
        server=Server(listen=("[::1]:8080", "unix:/run/x.sock"), tls=ServerTls(cert_file="/c", key_file="/k")),
        default_graph="g",
        backends={"b": Backend(url="http://127.0.0.1:9001/a@b:c")},
    )
    assert redacted(config) == {
        "server": {"listen": ("[::1]:8080", "unix:/run/x.sock"), "tls": {"certFile": "/c", "keyFile": "/k"}},
        "defaultGraph": "g",
        "backends": {"b": {"url": "http://127.0.0.1:9001/a@b:c"}},
    }


def test_what_a_sink_is_called_with_is_hidden() -> None:
    sink = Sink(type="http", url="http://me:s3cret@c:1/", headers={"authorization": "Bearer s3cret"})
    shown = redacted(Config(payload_log=PayloadSinks(sinks={"audit": sink})))
    assert shown["payloadLog"]["sinks"]["audit"] == {
        "type": "http",
        "url": "http://me:[redacted]@c:1/",
        "headers": {"authorization": "[redacted]"},
    }
