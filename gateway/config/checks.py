"""Checks that several mappings of the file share."""

from __future__ import annotations

from collections.abc import Mapping

from . import addresses
from .report import Path, Report
from .schema import HeaderRules


def complain(report: Report, path: Path, message: str | None) -> None:
    if message is not None:
        report.conflict(path, message)


def positive(report: Report, path: Path, values: Mapping[str, float | None], least: str) -> None:
    for name, value in values.items():
        if value == 0:
            report.conflict((*path, name), f"must be at least {least}: with 0 no request could succeed")


def check_headers(rules: HeaderRules, path: Path, report: Report) -> None:
    for index, pattern in enumerate(rules.propagate or ()):
        complain(report, (*path, "propagate", index), addresses.bad_pattern(pattern))
    for index, name in enumerate(rules.remove):
        complain(report, (*path, "remove", index), addresses.bad_header_name(name))
    seen: set[str] = set()
    for name, value in rules.set.items():
        place = (*path, "set", name)
        complain(report, place, addresses.bad_header_name(name) or addresses.bad_header_value(value))
        if name.lower() in seen:
            report.conflict(place, "header names differ in more than case; this one is set twice")
        seen.add(name.lower())
