from __future__ import annotations

from xml.etree import ElementTree

from plot import draw

SVG = "{http://www.w3.org/2000/svg}"


def rate(value: float) -> dict[str, float]:
    return {"requests_per_second": value, "cpu_us": 1e6 / value}


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_bars_are_ratios_to_haproxy() -> None:
    measured = {"pass-through-64": {"gateway": rate(25_000), "haproxy": rate(50_000)}}
    found = texts(draw("<A run>", measured, {"pass-through-64": "64 & more"}))
    assert {"<A run>", "64 & more", "0.50 · 25,000/s · 40.0 µs", "1.00 · 50,000/s · 20.0 µs"} <= set(found)


def test_latencies_are_lines_of_each_peers_own_capacity() -> None:
    point = {"added_p50_ms": 0.1, "added_p99_ms": 1.0, "added_p99_9_ms": 2.0}
    figures = {
        "gateway at 20 % of its own": point | {"share": 0.2},
        "gateway at 80 % of its own": point | {"share": 0.8},
        "haproxy at 50 % of gateway": point | {"share": 0.5},
    }
    picture = draw("A run", {"latency": figures}, {"latency": "added"})
    assert {"p50", "p99", "p99.9", "gateway"} <= set(texts(picture))
    assert "haproxy" not in texts(picture)


def test_noise_below_nothing_and_what_was_not_measured_are_left_out() -> None:
    figures = {"gateway at 20 % of its own": {"share": 0.2, "added_p50_ms": -0.1}, "gateway at 80 % of its own": {}}
    assert texts(draw("A run", {"latency": figures}, {"latency": "added"})) == ["A run"]
    assert texts(draw("A run", {}, {})) == ["A run"]
