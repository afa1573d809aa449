"""A report as text, as JSON, and as JUnit's XML."""

import xml.etree.ElementTree as ET
from typing import Any

from lmos.testing.conversations.outcomes import Checked, Exchange, Outcome, Report, Variant

MARKS = {"pass": "✓", "partial": "~", "fail": "✗"}


def line(outcome: Outcome) -> str:
    """A test in a line."""
    variants = f"  {len(outcome.variants)} variants" if len(outcome.variants) > 1 else ""
    return (
        f"{MARKS[outcome.verdict]} {outcome.score:3.0f}  {outcome.test.name}{variants}"
        f"  {outcome.milliseconds:.0f} ms"
    )


def details(outcome: Outcome, report_from: float) -> str:
    """What was not as expected in a test, where something was not."""
    return "" if outcome.verdict == "pass" else outcome.told(report_from)


def summary(report: Report) -> str:
    """The run in a line or two."""
    counts = report.counts
    told = (
        f"{counts['pass']} passed, {counts['partial']} in part, {counts['fail']} failed"
        f"   {report.agent} {report.version} with {report.model}, {report.seconds:.1f} s"
    )
    if report.not_made:
        told += f"\n{report.not_made} checks were not made (judged ones take --judge MODEL)"
    return told


def text(report: Report) -> str:
    """All of it for a terminal."""
    lines = []
    for outcome in report.outcomes:
        lines.append(line(outcome))
        if told := details(outcome, report.thresholds.passing):
            lines += [f"    {row}" for row in told.splitlines()[1:]]
    return "\n".join([*lines, "", summary(report)])


# --- JSON -----------------------------------------------------------------------------------------


def data(report: Report) -> dict[str, Any]:
    """All of it as data."""
    return {
        "agent": report.agent,
        "version": report.version,
        "model": report.model,
        "judge": report.judge,
        "began": report.began.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 3),
        "thresholds": {
            "pass": report.thresholds.passing,
            "partial": report.thresholds.partial,
        },
        "counts": dict(report.counts),
        "notMade": report.not_made,
        "tests": [_test(outcome) for outcome in report.outcomes],
    }


def _test(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.test.name,
        "file": str(outcome.test.file),
        "line": outcome.test.line,
        "verdict": outcome.verdict,
        "score": round(outcome.score, 1),
        "worstVariant": outcome.worst.number,
        "variants": [_variant(variant) for variant in outcome.variants],
    }


def _variant(variant: Variant) -> dict[str, Any]:
    return {
        "number": variant.number,
        "score": round(variant.score, 1),
        "exchanges": [_exchange(exchange) for exchange in variant.exchanges],
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    found: dict[str, Any] = {
        "user": exchange.said,
        "answer": exchange.answer,
        "useCase": exchange.use_case,
        "calls": list(exchange.calls),
        "milliseconds": round(exchange.milliseconds, 1),
        "checks": [_check(checked) for checked in exchange.checks],
    }
    return {**found, "error": exchange.error} if exchange.error else found


def _check(checked: Checked) -> dict[str, Any]:
    return {
        "check": str(checked.check),
        "line": checked.check.line,
        "score": None if checked.score is None else round(checked.score, 1),
        "found": checked.found,
    }


# --- JUnit ----------------------------------------------------------------------------------------


def junit(report: Report) -> str:
    """JUnit's XML: a test case each; one that passes in part is not a failure, and says so."""
    suite = ET.Element(
        "testsuite",
        name=report.agent,
        tests=str(len(report.outcomes)),
        failures=str(report.counts["fail"]),
        errors="0",
        skipped="0",
        time=f"{report.seconds:.3f}",
        timestamp=report.began.isoformat(timespec="seconds"),
    )
    for outcome in report.outcomes:
        suite.append(_case(outcome, report))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode")


def _case(outcome: Outcome, report: Report) -> ET.Element:
    case = ET.Element(
        "testcase",
        name=outcome.test.name,
        classname=f"{report.agent}.{outcome.test.file.name.partition('.')[0]}",
        file=str(outcome.test.file),
        line=str(outcome.test.line),
        time=f"{outcome.milliseconds / 1000:.3f}",
    )
    told = _printable(outcome.told(report.thresholds.passing))
    if outcome.verdict == "fail":
        failure = ET.SubElement(case, "failure", message=f"{outcome.score:.0f} of 100")
        failure.text = told
    elif outcome.verdict == "partial":
        ET.SubElement(case, "system-out").text = told
    return case


def _printable(told: str) -> str:
    """The text without the characters that XML cannot hold."""
    return "".join(c for c in told if c in "\t\n" or " " <= c <= "\ud7ff" or c >= "\ue000")
