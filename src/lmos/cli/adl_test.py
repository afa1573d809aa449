"""`lmos adl test`."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lmos.arc import Agent
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
@click.option(
    "--cassette",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Record what the models say in this file, or replay it where it is there.",
)
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
    cassette: Path | None,
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
    if cassette is not None and not (model or judge):
        raise click.UsageError("--cassette records models; name one with --model or --judge")
    asked = _Asked(target, model, judge, cassette, live=output == "text")
    report = _together([asked.run(file, tests) for file, tests in _tests(path, only)])
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


class _Asked:
    """What is asked, and how."""

    def __init__(
        self,
        target: str,
        model: str | None,
        judge: str | None,
        cassette: Path | None,
        *,
        live: bool,
    ) -> None:
        from lmos.testing.cassette import Cassette

        self._target, self._model, self._judge = target, model, judge
        self._cassette = Cassette(cassette) if cassette else None
        self._live = live

    def run(self, file: Path, tests: "list[Conversation]") -> "Report":
        """The tests of a file, told while they run."""
        from lmos.testing.conversations import agent_for

        if self._live:
            click.echo(str(file))
        with agent_for(file, self._target) as agent:
            return asyncio.run(self._had(agent, tests))

    async def _had(self, agent: "Agent[Any, Any]", tests: "list[Conversation]") -> "Report":
        from lmos.testing.conversations import Judge, run_tests

        judge = Judge(self._taped(self._judge)) if self._judge else None
        model = self._taped(self._model) if self._model else None
        tell = _tell_outcome if self._live else None
        try:
            return await run_tests(tests, agent, model=model, judge=judge, on_outcome=tell)
        finally:
            if self._cassette is not None:
                await self._cassette.close()

    def _taped(self, spec: str) -> Any:
        return self._cassette.around(spec) if self._cassette and spec != "direct" else spec


def _tell_outcome(outcome: "Outcome") -> None:
    from lmos.testing.conversations import reports

    click.echo(reports.line(outcome))
    if told := reports.details(outcome, 90.0):
        click.echo("\n".join(f"    {line}" for line in told.splitlines()[1:]))


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
