"""`lmos adl`: lint, fmt and compile ADL documents; `MORE` names commands of other modules."""

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lmos.arc.adl import Diagnostic, Facts, Linked
    from lmos.arc.adl.references import Loader

#: Commands in modules of their own, there when the module is: the module, whose `command` is a
#: `click.Command`, and the line in the help.
MORE: dict[str, tuple[str, str]] = {
    "test": ("lmos.cli.adl_test", "Run the conversations of test files against an agent."),
}


_OPENS = re.compile(r"^[ \t]*#+[ \t]*(?:use ?case|skill|case|role)\b", re.IGNORECASE | re.MULTILINE)


class _Group(click.Group):
    """The commands of this module and of `MORE`, which are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the help."""
        there = [name for name, (module, _) in MORE.items() if importlib.util.find_spec(module)]
        return [*super().list_commands(ctx), *there]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of the name, None when there is none."""
        if cmd_name in MORE and importlib.util.find_spec(MORE[cmd_name][0]):
            command = importlib.import_module(MORE[cmd_name][0]).command
            assert isinstance(command, click.Command)
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing those of other modules."""
        with formatter.section("Commands"):
            lines = {name: line for name, (_, line) in MORE.items()}
            own = {name: command.get_short_help_str(70) for name, command in self.commands.items()}
            formatter.write_dl([(name, {**lines, **own}[name]) for name in self.list_commands(ctx)])


@click.group(cls=_Group)
def command() -> None:
    """Check, format and compile documents of the Agent Definition Language."""


@command.command(epilog="Example: lmos adl lint examples/acme/agents")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--agent", metavar="MODULE[:AGENT]", help="Check against this agent's tools as well.")
@click.option("--condition", "conditions", multiple=True, help="A condition there is; others are mistakes then.")  # fmt: skip  # noqa: E501
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def lint(files: tuple[str, ...], agent: str | None, conditions: tuple[str, ...], output: str) -> None:  # fmt: skip  # noqa: E501
    """Tell all that is wrong, as FILE:LINE:COLUMN: MESSAGE; FIX.

    FILE is a document, a directory of them, or - for standard input. The exit code is 0 when
    nothing is wrong (warnings aside), 1 when something is, 2 when a file cannot be read.
    """
    found: dict[tuple[str, Diagnostic], None] = {}
    for name in _expanded(files):
        for file, diagnostic in _diagnostics(name, agent, conditions):
            found[file, diagnostic] = None
    if output == "json":
        click.echo(json.dumps([_data(*each) for each in found], indent=2, ensure_ascii=False))
    else:
        for file, diagnostic in found:
            click.echo(f"{file}:{_said(diagnostic)}")
    sys.exit(1 if any(d.severity == "error" for _, d in found) else 0)


@command.command(epilog="Example: lmos adl fmt --check examples/acme/agents")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--check", is_flag=True, help="Change nothing; exit with 1 if something would change."
)
@click.option("--diff", is_flag=True, help="Change nothing; show what would change.")
def fmt(files: tuple[str, ...], check: bool, diff: bool) -> None:
    """Write documents in their one form.

    Comments and text stay. FILE is a document, a directory of them, or - to read from standard
    input and write to standard output.
    """
    changed = 0
    for name in _expanded(files):
        before = _read(name)
        after = _formatted(before, name)
        if name == "-" and not (check or diff):
            click.echo(after, nl=False)
            continue
        if after == before:
            continue
        changed += 1
        if diff:
            from lmos.arc.adl.format import differences

            click.echo("\n".join(differences(before, after, name)))
        elif check:
            click.echo(f"would format {name}")
        else:
            Path(name).write_text(after, encoding="utf-8")
            click.echo(f"formatted {name}")
    sys.exit(1 if changed and check else 0)


@command.command("compile", epilog='Example: lmos adl compile use_cases.md --condition web --input "my bill"')  # fmt: skip  # noqa: E501
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--mode", type=click.Choice(["strict", "arc"]), default="strict", show_default=True, help="How the document is read: as new ones, or as the original ARC does.")  # fmt: skip  # noqa: E501
@click.option("--condition", "conditions", multiple=True, help="A condition that holds.")
@click.option("--used", default="", help="Use cases used so far, in order: id,id,...")
@click.option("--input", "text", help="What the user says.")
@click.option(
    "--step", type=click.IntRange(1), help="The step that use cases are at, read one a turn."
)
@click.option("--role", default="", help="The role that the agent has.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Fills {{NAME}}.")
def compile_(
    files: tuple[str, ...],
    mode: str,
    conditions: tuple[str, ...],
    used: str,
    text: str | None,
    step: int | None,
    role: str,
    variables: tuple[str, ...],
) -> None:
    """Print exactly what a model would see of documents.

    The exit code is 1 when a document has mistakes, which are told, 2 when it cannot be read.
    """
    from lmos.arc.adl import Facts

    values = dict(_variable(each) for each in variables)
    ids = tuple(part.strip() for part in used.split(",") if part.strip())
    facts = Facts(frozenset(conditions), text or "", used=ids, step=step, role=role)
    for name in _expanded(files):
        if mode == "arc":
            click.echo(_arc(name, facts, text, values), nl=False)
        else:
            click.echo(_strict(name, facts, values))


def _strict(name: str, facts: "Facts", values: Mapping[str, str]) -> str:
    from lmos.arc.adl import rendered, rendered_role
    from lmos.arc.steps import at_step

    document = _linked(name).document
    if document.errors:
        for file, diagnostic in _placed(name, document.errors):
            click.echo(f"{file}:{_said(diagnostic)}", err=True)
        sys.exit(1)
    role = rendered_role(document.roles, facts, values)
    use_cases = document.use_cases
    if facts.step is not None:  # a model reads one step a turn
        use_cases = tuple(at_step(case, facts, facts.step - 1) for case in use_cases)
    cases = rendered(use_cases, facts, values)
    return "\n\n".join(filter(None, (role, cases)))


def _arc(name: str, facts: "Facts", text: str | None, values: Mapping[str, str]) -> str:
    from lmos.arc.adl import compat

    try:
        cases = compat.resolve(compat.read(_read(name)), _folder(name).read)
    except compat.ArcSyntaxError as error:
        line = error.details["line"]
        click.echo(f"{name}:{line}:1: {error.message}", err=True)
        sys.exit(1)
    return compat.render(
        cases,
        facts.names,
        text=text,
        used=facts.used or (),
        step=facts.step,
        format=(lambda written, _: compat.fill(written, values)) if values else None,
    )


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is no NAME=VALUE", param_hint="--var")
    return name, value


# --- files ----------------------------------------------------------------------------------------


def _expanded(files: tuple[str, ...]) -> Iterator[str]:
    """The files, and in place of a directory the documents in it."""
    for name in files:
        if name != "-" and Path(name).is_dir():
            found = sorted(Path(name).rglob("*.md"))
            yield from (str(path) for path in found if _is_document(path))
        else:
            yield name


def _is_document(path: Path) -> bool:
    """Whether a file of a directory has a use case, a case or a role in it."""
    return _OPENS.search(path.read_text(encoding="utf-8", errors="replace")) is not None


def _read(name: str) -> str:
    from lmos.arc.adl.references import read_file

    if name != "-":
        return read_file(Path(name))
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        from lmos.model import errors

        raise errors.InvalidInput("what comes from standard input is not UTF-8") from None


def _folder(name: str) -> "Loader":
    from lmos.arc.adl import Folder

    return Folder(Path.cwd() if name == "-" else Path(name).parent)


def _linked(name: str) -> "Linked":
    from lmos.arc.adl import link

    return link(_read(name), _folder(name), "" if name == "-" else Path(name).stem)


def _formatted(text: str, name: str) -> str:
    """The text in its one form, if that says the same."""
    from lmos.arc.adl import formatted, parse
    from lmos.model import errors

    after = formatted(text)
    if parse(after) != parse(text):
        raise errors.InvalidInput(f"{name} would not say the same any more; it is left as it is")
    return after


# --- diagnostics ----------------------------------------------------------------------------------


def _diagnostics(
    name: str, agent: str | None, conditions: tuple[str, ...]
) -> "Iterator[tuple[str, Diagnostic]]":
    from lmos.arc.adl import check_conditions, check_fences, check_replies, check_tools

    document = _linked(name).document
    found = [*document.diagnostics, *check_fences(document)]
    if conditions:
        found += check_conditions(document, conditions)
    if agent is not None:
        from lmos.arc import Agent
        from lmos.cli.serve import load
        from lmos.model.errors import InvalidInput

        made = load(agent)
        if not isinstance(made, Agent):
            raise InvalidInput(f"{agent} is several agents; name the one that has these use cases")
        found += check_tools(document, made.tools)
        found += check_replies(document, made.reply_names)
    return _placed(name, sorted(found, key=lambda d: (d.file, d.line, d.column)))


def _placed(name: str, found: "Sequence[Diagnostic]") -> "Iterator[tuple[str, Diagnostic]]":
    """The diagnostics with the paths of their files."""
    for diagnostic in found:
        path = Path(name).parent / f"{diagnostic.file}.md" if diagnostic.file else name
        yield str(path), diagnostic


def _said(diagnostic: "Diagnostic") -> str:
    mark = "warning: " if diagnostic.severity == "warning" else ""
    fix = f"; {diagnostic.fix}" if diagnostic.fix else ""
    return f"{diagnostic.line}:{diagnostic.column}: {mark}{diagnostic.message}{fix}"


def _data(file: str, diagnostic: "Diagnostic") -> dict[str, object]:
    return {
        "file": file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "fix": diagnostic.fix,
    }
