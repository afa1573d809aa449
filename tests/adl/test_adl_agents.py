"""Agents with documents of several files, roles and cases."""

from pathlib import Path

import pytest

from lmos import Agent
from lmos.arc.context import Context, Dependencies
from lmos.arc.direct import facts_of
from lmos.llm import Call, ScriptedModel
from lmos.model import Message, Turn, User, errors
from lmos.state import MemoryState

MAIN = """# Role: seller
You sell tariffs of {{company}} to {{user.id}}.
# Role
You help customers.

### UseCase: login
#### Description
The customer cannot log in.
#### Solution
Do what #help/portal says, and call @reset()!
[no] go to #sorry
### Case: sorry
"I am sorry."
"""
HELP = "### UseCase: portal\n#### Description\nPortal.\n#### Solution\nRestart it.\n"


def turn(text: str, turn_id: str = "t", **system: str) -> Turn:
    return Turn(
        conversation_id="c",
        turn_id=turn_id,
        user=User(id="u"),
        messages=(Message(role="user", content=text),),
        system_context=system,
    )


def written(folder: Path, main: str = MAIN, help_: str = HELP) -> Path:
    (folder / "main.md").write_text(main)
    (folder / "help.md").write_text(help_)
    return folder / "main.md"


async def test_a_model_is_told_who_it_is_and_all_that_belongs_together(tmp_path: Path) -> None:
    script = ScriptedModel(Call("reset"), "ok", Call("reset"), "ok")
    agent = Agent(name="a", use_cases=written(tmp_path), model=script.model)

    @agent.tool
    def reset() -> str:
        """Resets."""
        return ""

    agent.check()
    for role, expected in (
        ("seller", "You sell tariffs of Acme to u."),
        ("other", "You help customers."),
    ):
        _ = [
            event
            async for event in agent.respond(turn("I cannot log in", role=role, company="Acme"))
        ]
        prompt = script.requests[-1][0].parts[0].content
        assert prompt.startswith(f"{expected}\n\n")
        assert "Do what #portal says, and call reset [must be called]" in prompt
        assert "### UseCase: portal" in prompt
        assert "I am sorry" not in prompt
    assert [capability.id for capability in agent.capabilities] == ["login", "portal"]


def test_mistakes_of_every_file_keep_it_from_starting(tmp_path: Path) -> None:
    agent = Agent(name="a", use_cases=written(tmp_path, help_=HELP + "<x\n@none()\n"))
    with pytest.raises(errors.InvalidInput) as raised:
        agent.check()
    lines = raised.value.message.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'help.md'}:6:1: the condition is never closed")
    assert lines[2].startswith(f"{tmp_path / 'help.md'}:7:1: there is no tool 'none'")
    assert lines[1].startswith(f"{tmp_path / 'main.md'}:10:37: there is no tool 'reset'")


def test_warnings_do_not(tmp_path: Path) -> None:
    warned = HELP + "text <web> text\n"
    agent = Agent(name="a", use_cases=written(tmp_path, MAIN.replace("@reset()!", "x"), warned))
    agent.check()


def test_sometimes_holds_in_one_turn_of_three_and_always_in_the_same() -> None:
    def holds(turn_id: str) -> bool:
        context = Context(
            turn("hi", turn_id), agent="a", deps=Dependencies(()), state=MemoryState(),
            emit=lambda event: None,
        )  # fmt: skip
        return "sometimes" in facts_of(context).names

    ids = [f"turn-{number}" for number in range(300)]
    assert 70 < sum(map(holds, ids)) < 130
    assert [holds(id_) for id_ in ids] == [holds(id_) for id_ in ids]
