"""`lmos adl test`."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lmos.testing.conversations import Conversation, Outcome, Report

FORMATS = ("text", "json", "html", "junit")
_BY_SUFFIX = {".html": "html", ".json": "json", ".xml": "junit", ".txt": "text"}


@click.command(
    "test", epilog="Example: lmos adl test examples/acme/agents/billing --to report.html"
)
@click.argument("path", type=click.Path(path_type=Path, exists=True), metavar="FILE|DIR")
@click.option("--agent", "target", default="", help="MODULE:AGENT (default: the one beside it).")
@click.option("--model", help="Answer with this model instead of the agent's own, or direct.")
@click.option("--judge", help="Model for judged checks, such as openai:gpt-4o-mini.")
@click.option("-k", "only", default="", help="Only tests with this text in their name.")
@click.option("--strict", is_flag=True, help="Tests that pass in part fail the run too.")
@click.option("-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a report here too, in the format of the name: .html, .json, .xml, .txt.",
)
def command(
    path: Path,
    target: str,
    model: str | None,
    judge: str | None,
    only: str,
    strict: bool,
    output: str,
    to: Path | None,
) -> None:
    """Have the conversations of test files (*.test.md) and compare with what is expected.

    Exit code 0: all passed; 1: some failed; 2: the tests or the agent cannot be used.
    """
    if to is not None and to.suffix not in _BY_SUFFIX:
        raise click.BadParameter(f"{to.name} ends with none of {', '.join(_BY_SUFFIX)}", param_hint="--to")  # fmt: skip  # noqa: E501
    live = output == "text"
    reports = []
    for file, tests in _tests(path, only):
        reports.append(_run(file, tests, target, model, judge, live=live))
    report = _together(reports)
    _tell(report, output, to)
    failed = report.counts["fail"] + (report.counts["partial"] if strict else 0)
    sys.exit(1 if failed else 0)


def _tests(path: Path, only: str) -> "Iterator[tuple[Path, list[Conversation]]]":
    """The tests to run, by file. All files are read before anything runs."""
    from lmos.model import errors
    from lmos.testing.conversations import find, read

    files, problems = {}, []
    for file in find(path):
        try:
            files[file] = [t for t in read(file) if only.lower() in t.name.lower()]
        except errors.InvalidInput as error:
            problems.append(error.message)
    if problems:
        raise errors.InvalidInput("\n".join(problems))
    if not any(files.values()):
        raise errors.InvalidInput(f"{path} has no test with {only!r} in its name")
    yield from ((file, tests) for file, tests in files.items() if tests)


def _run(
    file: Path,
    tests: "list[Conversation]",
    target: str,
    model: str | None,
    judge: str | None,
    *,
    live: bool,
) -> "Report":
    """The tests of a file, told while they run."""
    from lmos.testing.conversations import Judge, agent_for, reports, run_tests

    def tell(outcome: "Outcome") -> None:
        click.echo(reports.line(outcome))
        if told := reports.details(outcome, 90.0):
            click.echo("\n".join(f"    {line}" for line in told.splitlines()[1:]))

    if live:
        click.echo(str(file))
    judging = Judge(judge) if judge else None
    with contextlib.ExitStack() as stack:
        agent = stack.enter_context(agent_for(file, target))
        run = run_tests(tests, agent, model=model, judge=judging, on_outcome=tell if live else None)
        return asyncio.run(run)


def _together(reports: "list[Report]") -> "Report":
    """The reports of several files as one."""
    first = reports[0]
    return replace(
        first,
        agent=", ".join(dict.fromkeys(report.agent for report in reports)),
        version=first.version if len({r.agent for r in reports}) == 1 else "",
        outcomes=tuple(outcome for report in reports for outcome in report.outcomes),
        seconds=sum(report.seconds for report in reports),
    )


def _tell(report: "Report", output: str, to: Path | None) -> None:
    from lmos.testing.conversations import reports

    if output == "text":
        click.echo("\n" + reports.summary(report))
    else:
        click.echo(_written(report, output))
    if to is not None:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(_written(report, _BY_SUFFIX[to.suffix]), encoding="utf-8")


def _written(report: "Report", output: str) -> str:
    from lmos.testing.conversations import page, reports

    match output:
        case "json":
            return json.dumps(reports.data(report), indent=2, ensure_ascii=False)
        case "html":
            return page.html(report)
        case "junit":
            return reports.junit(report)
    return reports.text(report)
