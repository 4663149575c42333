import pytest

from .conftest import Errors, Read

HEAD = """backends: {b: {url: "http://b:1"}}
graphs:
  g:
    payloadLog: {sink: s%s}
    nodes: {root: {routerType: Sequence, steps: [{backend: b%s}]}}
payloadLog:
  sinks:
    s: {%s}
"""


def text(log: str = "", step: str = "", sink: str = "type: stdout") -> str:
    return HEAD % (log, step, sink)


def test_everything_at_once(read: Read) -> None:
    config = read(
        text(
            ", mode: response, sampleRate: 0.25, sampleBy: requestId, headers: [x-tenant], maxBodyBytes: 1KiB, "
            "redact: ['instances[*].name']",
            ", payloadLog: {sink: s, sampleRate: 1}",
            'type: http, url: "https://c:1/", contentMode: batched, dialect: kserve, headers: {authorization: x}, '
            "timeout: 1s, concurrency: 4, kserve: {namespace: n}, spool: {path: /var/spool, maxBytes: 1GiB, fsync: 2s}",
        )
    )
    log, sink = config.graphs["g"].payload_log, config.payload_log.sinks["s"]
    step = config.graphs["g"].nodes["root"].steps[0].payload_log
    assert log is not None
    assert (log.sample_rate, log.redact) == (0.25, ("instances[*].name",))
    assert step is not None
    assert step.sample_rate == 1.0
    assert (sink.spool.fsync, sink.spool.max_bytes, sink.kserve.namespace) == (2.0, 1 << 30, "n")


@pytest.mark.parametrize("fsync", ["always", "never"])
def test_fsync_is_a_word_too(read: Read, fsync: str) -> None:
    config = read(text(sink=f"type: stdout, spool: {{fsync: {fsync}}}"))
    assert config.payload_log.sinks["s"].spool.fsync == fsync


@pytest.mark.parametrize(
    ("sink", "complaint"),
    [
        ("type: http", "a sink of type: http needs a 'url'"),
        ("type: file", "a sink of type: file needs a 'path'"),
        ("type: kafka", "sinks.s.type: expected file, http or stdout"),
        ("type: http, url: 'ftp://x/'", "no http or https URL"),
        ("type: http, url: 'http://x/', timeout: 0s", "timeout: must be at least 1ms"),
        ("type: http, url: 'http://x/', concurrency: 0", "at least 1"),
        ("type: http, url: 'http://x/', path: /x", "path: only for type: file"),
        ("type: stdout, url: 'http://x/'", "url: only for type: http"),
        ("type: stdout, headers: {a: b}", "headers: only for type: http"),
        ("type: stdout, contentMode: structured", "contentMode: only for type: http"),
        ("type: http, url: 'http://x/', headers: {'a b': c}", "no header name"),
        ("type: http, url: 'http://x/', headers: {ce-id: c}", "the event says this itself"),
        ("type: http, url: 'http://x/', headers: {Content-Type: c}", "the event says this itself"),
        ("type: stdout, spool: {path: here}", "spool.path: must be absolute"),
        ("type: stdout, spool: {maxBytes: 1KiB}", "spool.maxBytes: must be at least 1MiB"),
        ("type: stdout, spool: {fsync: sometimes}", "expected a duration"),
    ],
)
def test_sinks_that_cannot_work(errors: Errors, sink: str, complaint: str) -> None:
    (error,) = errors(text(sink=sink))
    assert complaint in error


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        (", sampleRate: 1.5", "sampleRate: expected a number from 0 to 1"),
        (", sampleRate: half", "sampleRate: expected a number from 0 to 1"),
        (", mode: answers", "expected all, request or response"),
        (", headers: ['a b']", "headers[0]: 'a b' is no header name"),
        (", redact: [a, 'length(a)']", "redact[1]: 'length(a)' says no place"),
        (", redact: ['a[']", "not a jmespath expression"),
    ],
)
def test_logs_that_cannot_work(errors: Errors, log: str, complaint: str) -> None:
    (error,) = errors(text(log))
    assert complaint in error


def test_a_sink_that_is_not_there(errors: Errors) -> None:
    (error,) = errors(text(step=", payloadLog: {sink: other}"))
    assert error.endswith("steps[0].payloadLog.sink: there is no sink 'other'")


def test_a_sink_whose_name_is_no_directory(errors: Errors) -> None:
    (error,) = errors("graphs: {}\npayloadLog: {sinks: {'../x': {type: stdout}}}\n")
    assert "a sink's name becomes a directory" in error
