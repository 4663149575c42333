from collections.abc import Callable

import pytest

from gateway.config import Config

Read = Callable[..., Config]
Errors = Callable[..., list[str]]


def test_every_key_ends_up_in_its_field(read: Read) -> None:
    config = read("""
        server:
          listen: [127.0.0.1:80, "[::1]:80", unix:/run/x.sock]
          workers: 3
          tls: {certFile: c, keyFile: k}
          timeouts: {header: 1s, body: 2s, idle: 3s, request: 1m30s}
          limits: {maxBodyBytes: 1MiB, maxHeaderBytes: 2000, maxHeaders: 5, maxConnections: 6, maxInFlight: 7}
          drain: {delay: 0s, timeout: 250ms}
          trustedProxies: [10.0.0.0/8]
          headers: {propagate: [x], set: {a: b}, remove: [c]}
        admin: {listen: ':9000'}
    """)
    server = config.server
    assert server.listen == ("127.0.0.1:80", "[::1]:80", "unix:/run/x.sock")
    assert server.workers == 3
    assert (server.timeouts.request, server.drain.timeout) == (90.0, 0.25)
    assert (server.limits.max_body_bytes, server.limits.max_in_flight) == (1 << 20, 7)
    assert server.headers.set == {"a": "b"}
    assert config.admin.listen == ":9000"


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "unix:/run/x.sock", "'[::]:80'"])
def test_one_listener_needs_no_list(read: Read, listen: str) -> None:
    assert read(f"server: {{listen: {listen}}}").server.listen == (listen.strip("'"),)


def test_what_is_left_blank_is_as_if_it_were_not_there(read: Read) -> None:
    assert read("server:\nbackends:\ngraphs: ~\ndefaultGraph:\n") == Config()
    assert read("") == Config()


def test_service_name_is_another_name_of_backend(read: Read, errors: Errors) -> None:
    root = "{{routerType: Sequence, steps: [{}]}}"
    text = f"backends: {{{{a: {{{{url: 'http://a'}}}}}}}}\ngraphs: {{{{g: {{{{nodes: {{{{root: {root}}}}}}}}}}}}}"
    step = read(text.format("{serviceName: a}")).graphs["g"].nodes["root"].steps[0]
    assert step.backend == "a"
    assert errors(text.format("{serviceName: a, backend: a}")) == [
        "2:85: graphs.g.nodes.root.steps[0].backend: 'serviceName' is another name of 'backend'; give one of them"
    ]


def test_all_errors_at_once_each_at_its_place(errors: Errors) -> None:
    assert errors("""
        server:
          listn: 0.0.0.0:80
          timeouts: {header: 10}
          workers: many
        backends:
          a:
            protocol: v3
            url: {}
          b: []
        graphs: x
    """) == [
        "2:3: server.listn: unknown key; did you mean 'listen'?",
        "3:22: server.timeouts.header: expected a duration such as 250ms or 1m30s, got the number 10; "
        "did you mean '10s'?",
        "4:12: server.workers: expected a whole number of at least 1 or auto, got 'many'",
        "7:15: backends.a.protocol: expected raw, v1 or v2, got 'v3'",
        "8:10: backends.a.url: expected text, got a mapping",
        "9:6: backends.b: expected a mapping, got a list",
        "10:9: graphs: expected a mapping, got 'x'",
    ]


def test_duplicates_name_both_places(errors: Errors) -> None:
    assert errors("admin: {listen: ':1'}\nadmin: {}\n") == ["2:1: admin: duplicate key; first at c.yaml:1:1"]


def test_a_missing_key_is_named(errors: Errors) -> None:
    assert errors("graphs:\n  a: {}\n  b:\n") == [
        "2:3: graphs.a.nodes: the key 'nodes' is missing",
        "3:5: graphs.b.nodes: the key 'nodes' is missing",
    ]


@pytest.mark.parametrize("key", ["mirror", "rateLimit"])
def test_features_of_other_releases_are_unknown(errors: Errors, key: str) -> None:
    (error,) = errors(f"backends:\n  a:\n    url: http://a\n    {key}: {{}}\n")
    assert error == f"4:5: backends.a.{key}: unknown key"


@pytest.mark.parametrize("key", ["router"])
def test_so_are_they_at_the_top(errors: Errors, key: str) -> None:
    (error,) = errors(f"{key}: {{}}\n")
    assert error.startswith(f"1:1: {key}: unknown key")


def test_yes_and_on_are_words(read: Read) -> None:
    config = read("""
        backends:
          on: {url: http://a, model: yes}
          no: {url: http://b}
    """)
    assert set(config.backends) == {"on", "no"}
    assert config.backends["on"].model == "yes"


def test_variables_are_typed_once_they_are_filled_in(read: Read, errors: Errors) -> None:
    text = "server: {workers: '${N}'}"
    assert read("server:\n  workers: ${N}\n", N="3").server.workers == 3
    assert read("server:\n  workers: ${N:-auto}\n").server.workers == "auto"
    assert errors(text, N="3") == ["1:19: server.workers: expected a whole number of at least 1 or auto, got '3'"]
    assert errors("admin:\n  listen: ${N}\n", N="3") == [
        "2:11: admin.listen: expected text, got the number 3; did you mean '3', in quotes?"
    ]


def test_variables_in_names_and_lists(read: Read) -> None:
    config = read("backends: {'${NAME}': {url: 'http://${HOST}:${PORT:-80}/'}}", NAME="iris", HOST="h")
    assert config.backends["iris"].url == "http://h:80/"


def test_a_missing_variable_is_told_where_it_stands(errors: Errors) -> None:
    (error,) = errors("admin:\n  listen: x${NOPE}\n")
    assert error.startswith("2:11: admin.listen: the environment variable NOPE is not set")


def test_merge_keys(read: Read) -> None:
    config = read("""
        x-one: &one {model: m, timeouts: {connect: 1s}}
        x-two: &two {<<: *one, model: n, protocol: v2}
        backends:
          a: {<<: *one, url: http://a}
          b: {url: http://b, <<: [*two, *one], model: own}
          c: {<<: [*one, *two], url: http://c}
    """)
    a, b, c = config.backends.values()
    assert (a.model, a.timeouts.connect) == ("m", 1.0)
    assert (b.model, b.protocol, b.timeouts.connect) == ("own", "v2", 1.0)
    assert (c.model, c.protocol) == ("m", "v2")


def test_a_mistake_in_an_anchor_is_told_once(errors: Errors) -> None:
    assert errors("""
        x-one: &one {protocol: v9, url: http://a}
        backends:
          a: *one
          b: {<<: *one}
    """) == ["1:24: backends.a.protocol: expected raw, v1 or v2, got 'v9'"]


def test_only_mappings_can_be_merged(errors: Errors) -> None:
    assert errors("admin: {<<: 5}") == ["1:13: admin.<<: expected a mapping to merge, got the number 5"]


def test_keys_are_text(errors: Errors) -> None:
    assert errors("admin: {[a]: b}") == ["1:9: admin: expected text, got a list"]
    assert errors("{{ template }}: x")[0].startswith("1:1: expected text, got a mapping")


def test_own_keys_are_ignored_at_the_top_only(read: Read, errors: Errors) -> None:
    assert read("x-anything: {goes: [here]}") == Config()
    assert errors("admin: {x-a: b}") == ["1:9: admin.x-a: unknown key"]
