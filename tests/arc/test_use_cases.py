"""Use cases over several turns: steps, flows, alternatives, approval; with a model and without."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from lmos import Agent, Context
from lmos.arc import Ask
from lmos.arc.context import Dependencies
from lmos.arc.progress import Chose, Journey, Progress, Solved, Stepped, replay
from lmos.arc.running import Told
from lmos.arc.tagged import Tags
from lmos.llm import Call, ScriptedModel
from lmos.model import ToolResult, Turn, errors

CASES = """### UseCase: view_bill
#### Description
The customer wants to see a bill.
#### Solution
Call @get_bill()!
"Your bill is {{get_bill}}."
#### Alternative Solution
"I have just told you your bill: look above."
#### Fallback Solution
"Let me connect you with a colleague about your bill."
#### Examples
- show me my bill
- how much do I owe

### UseCase: choose_plan
#### Description
The customer wants another tariff or plan.
#### Solution
"Which plan would you like?"
[prepaid card] #prepaid
[contract] #contract
[leave me alone] RESET
#### Examples
- I want another plan
- change my tariff

### Case: prepaid
"How much credit a month?"
[ten euros] "Ten euros it is."
[twenty euros] Call @top_up().

### Case: contract
"A contract runs for two years."

### UseCase: close_account
#### Description
The customer wants to close the account.
#### Steps
- "Really close it? Please answer yes or no."
- Ask @reason() for the survey.
  "Why?"
#### Solution
Call @close().
"Closed."
#### Examples
- close my account
- delete my account

### UseCase: opening_hours
#### Description
The customer asks when the shop is open.
#### Solution
```expr
"Open until " + ("20" if channel == "web" else "18")
```
#### Examples
- when is the shop open
- opening hours

### UseCase: sim_card
#### Description
The customer needs a new SIM card.
#### Solution
"A SIM card is on its way."
#### Examples
- send me a new SIM card
- I lost my SIM

### UseCase: roaming
#### Description
The customer travels and asks about roaming abroad.
#### Solution
"Roaming is free in the EU."
#### Examples
- can I use my phone in Spain
- roaming costs abroad
"""


def made(**more: Any) -> Agent:
    agent = Agent(**{"name": "a", "use_cases": CASES, "model": "direct", **more})

    @agent.tool
    def get_bill() -> str:
        """A bill."""
        return "42 EUR"

    @agent.tool
    def top_up() -> str:
        """Tops up."""
        return "Topped up."

    @agent.tool
    def reason() -> str:
        """Asks why."""
        return "-"

    @agent.tool(sensitive=True)
    def close(ctx: Context) -> str:
        """Closes the account."""
        return "ok"

    return agent


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    agent = made()
    yield agent
    await agent.stop()


async def talk(agent: Agent, *texts: str, conversation: str = "c") -> list[str]:
    return [(await agent.run(text, conversation=conversation)).text for text in texts]


async def journey_of(agent: Agent, conversation: str = "c") -> Journey:
    turn = Turn(conversation_id=conversation, turn_id="t", messages=())
    return await Journey.of(agent.engine.context(turn, Dependencies(()), Told()))


async def progress_of(agent: Agent, conversation: str = "c") -> Progress:
    return (await journey_of(agent, conversation)).progress


# --- direct ---------------------------------------------------------------------------------------


async def test_what_was_said_before_is_said_otherwise_and_at_last_by_somebody(agent: Agent) -> None:
    said = await talk(agent, "show me my bill", "show me my bill", "show me my bill")
    assert said[0] == "Your bill is 42 EUR."
    assert said[1].startswith("I have just told you")
    assert said[2].startswith("Let me connect you")
    assert (await progress_of(agent)).used == ("view_bill",) * 3
    assert (await talk(agent, "show me my bill", conversation="new"))[0] == said[0]


async def test_a_flow_goes_from_case_to_case(agent: Agent) -> None:
    said = await talk(agent, "I want another plan", "the prepaid card please", "twenty euros")
    assert said[0].splitlines() == [
        "Which plan would you like?",
        "- prepaid card",
        "- contract",
        "- leave me alone",
    ]
    assert said[1].startswith("How much credit a month?")
    assert said[2] == "Topped up."
    assert (await progress_of(agent)).flow is None


async def test_an_option_is_found_by_its_meaning_and_anything_else_leaves_the_flow(
    agent: Agent,
) -> None:
    said = await talk(agent, "change my tariff", "a two year agreement")
    assert said[1] == "A contract runs for two years."
    said = await talk(agent, "change my tariff", "show me my bill", conversation="d")
    assert said[1] == "Your bill is 42 EUR."
    assert (await progress_of(agent, "d")).flow is None


async def test_steps_are_told_one_a_turn_and_a_sensitive_tool_asks_in_direct_mode_too(
    agent: Agent,
) -> None:
    said = await talk(agent, "close my account", "yes", "yes")
    assert said == [
        "Really close it? Please answer yes or no.",
        "Why?",
        "May I close? Please answer yes or no.",
    ]
    result = await agent.run("yes", conversation="c")
    assert result.text == "Closed."
    assert [call.name for call in result.calls] == ["close"]
    await talk(agent, "close my account", "yes", "yes", conversation="d")
    assert (await talk(agent, "no", conversation="d"))[0] == "All right, I have changed nothing."


async def test_code_is_run_in_replies(agent: Agent) -> None:
    assert (await talk(agent, "when is the shop open"))[0] == "Open until 18"


async def test_progress_is_kept_over_a_restart_and_replays_to_the_same(tmp_path: Path) -> None:
    spec = f"sqlite:{tmp_path / 'memory.db'}"
    agent = made(memory=spec)
    await talk(agent, "I want another plan", "prepaid card")
    before = await progress_of(agent)
    assert before.flow == ("prepaid",)
    await agent.stop()
    agent = made(memory=spec)
    assert await progress_of(agent) == before
    assert await talk(agent, "ten euros") == ["Ten euros it is."]
    journey = await journey_of(agent)
    assert replay(journey.moves) == journey.progress
    assert len(journey.moves) > 3
    await agent.stop()


def test_moves_change_progress_and_nothing_else_does() -> None:
    progress = replay([Chose(use_case="x", known={"a": 1}), Stepped(), Stepped(), Solved()])
    assert (progress.use_case, progress.step, progress.used) == ("x", 0, ("x",))
    many = replay([Chose(use_case="x"), *[Solved()] * 100])
    assert len(many.used) == 50


# --- with a model ---------------------------------------------------------------------------------


def prompt(script: ScriptedModel, request: int = 0) -> str:
    return str(script.requests[request])


async def test_a_sure_use_case_is_read_at_once_and_the_others_by_name() -> None:
    script = ScriptedModel(Call("get_bill"), "You owe 42 EUR.")
    result = await made(model=script.model).run("show me my bill")
    assert result.use_case == "view_bill"
    assert "### UseCase: view_bill" in prompt(script)
    assert "Call get_bill [must be called]" in prompt(script)
    assert "### UseCase: roaming" not in prompt(script)
    assert "- roaming: The customer travels" in prompt(script)


async def test_an_unsure_one_is_chosen_by_the_model_among_those_there_are() -> None:
    script = ScriptedModel(Call("use_case", {"id": "sim_card"}), "It is on its way.")
    result = await made(model=script.model).run("it was stolen")
    assert result.use_case == "sim_card"
    assert "### UseCase" not in prompt(script)
    given = next(e.result for e in result.events if isinstance(e, ToolResult))
    assert "A SIM card is on its way." in given
    script = ScriptedModel(Call("use_case", {"id": "pay_nothing"}), "Sorry.")
    result = await made(model=script.model).run("it was stolen")
    assert any(
        "Input should be" in str(e.error) for e in result.events if isinstance(e, ToolResult)
    )


async def test_a_model_reads_one_step_a_turn_then_the_solution() -> None:
    script = ScriptedModel("Really?", "Why?", Call("close"), "Closed.")
    agent = made(model=script.model)
    await agent.run("close my account", conversation="c")
    assert "Really close it?" in prompt(script, 0)
    assert "Call close" not in prompt(script, 0)
    await agent.run("yes", conversation="c")
    assert "for the survey" in prompt(script, 1)
    assert "Really close it?" not in str(script.requests[1].messages[0])
    waits = await agent.run("no reason", conversation="c")
    assert waits.question
    assert "Call close" in prompt(script, 2)


async def test_a_tool_that_must_be_called_is_called_before_anything_is_said() -> None:
    script = ScriptedModel("You owe a lot.", Call("get_bill"), "You owe 42 EUR.")
    result = await made(model=script.model).run("show me my bill")
    assert result.text == "You owe 42 EUR."
    assert "Call get_bill before you answer." in prompt(script, 1)
    stubborn = ScriptedModel("You owe a lot.")
    with pytest.raises(errors.ModelFailed, match="called no get_bill"):
        await made(model=stubborn.model).run("show me my bill")


async def test_used_use_cases_count_with_a_model_too() -> None:
    script = ScriptedModel(Call("get_bill"), "42 EUR.", "Look above.")
    agent = made(model=script.model)
    await agent.run("show me my bill", conversation="c")
    await agent.run("show me my bill", conversation="c")
    assert "I have just told you your bill" in str(script.requests[2].messages[0])
    assert (await progress_of(agent)).used == ("view_bill", "view_bill")


# --- as in the original ---------------------------------------------------------------------------


async def test_tags_of_the_original_are_taken_out_while_the_reply_streams() -> None:
    script = ScriptedModel("<ID:sim_card><No Step> It is < 3 days away.", "<id:pay>NO_ANSWER")
    agent = made(model=script.model, adl="arc")
    result = await agent.run("a new card", conversation="c")
    assert (result.text, result.use_case) == ("It is < 3 days away.", "sim_card")
    assert "### UseCase: roaming" in prompt(script)
    assert (await progress_of(agent)).used == ("sim_card",)
    result = await agent.run("pay", conversation="c")
    assert (result.text, result.use_case) == ("NO_ANSWER", "")


async def test_steps_named_by_tags_are_no_uses() -> None:
    script = ScriptedModel("<ID:close_account><Step 1>Really?", "<ID:close_account>Closed.")
    agent = made(model=script.model, adl="arc")
    assert (await agent.run("close my account", conversation="c")).text == "Really?"
    assert (await progress_of(agent)).used == ()
    await agent.run("yes", conversation="c")
    assert (await progress_of(agent)).used == ("close_account",)


def test_a_document_the_original_would_not_read_is_told_with_its_line() -> None:
    with pytest.raises(errors.InvalidInput, match="use_cases:3: Unknown UseCase section"):
        Agent(name="a", adl="arc", use_cases="### UseCase: x\n#### Description\n#### Nonsense\n")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_tags_are_found_however_the_reply_is_cut(size: int) -> None:
    text = "<ID:a_b><Step 2> Your bill <b>is</b> 5 < 6 <use_case:other> now."
    tags = Tags()
    said = "".join(tags.feed(text[i : i + size]) for i in range(0, len(text), size)) + tags.flush()
    assert said == "Your bill <b>is</b> 5 < 6  now."
    assert (tags.id, tags.step) == ("a_b", "2")


async def test_direct_mode_calls_the_tools_of_the_turn() -> None:
    def get_bill() -> str:
        """A bill."""
        return "42 EUR"

    agent = Agent(
        name="a",
        model="direct",
        use_cases=CASES,
        tools=lambda ctx: [get_bill] if ctx.user.id else [],
    )
    known = await agent.run("show me my bill", user="ann")
    assert known.text == "Your bill is 42 EUR."
    stranger = await agent.run("show me my bill")
    assert stranger.text == "I am sorry, that did not work: there is no tool 'get_bill'"
    assert stranger.context["toolError"] == "get_bill"
    await agent.stop()


async def test_a_flow_goes_on_with_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedModel("Which plan?", "How much?", "Ten euros it is.", "A SIM.")
    agent = made(model=script.model)
    await agent.run("I want another plan", conversation="c")
    assert "[prepaid card] #prepaid" in prompt(script, 0)
    assert (await progress_of(agent)).flow == ()
    await agent.run("prepaid card please", conversation="c")
    assert "How much credit a month?" in str(script.requests[1].messages[0])
    assert "Which plan would you like?" not in str(script.requests[1].messages[0])
    result = await agent.run("ten euros", conversation="c")
    assert "Ten euros it is." in str(script.requests[2].messages[0])
    assert result.use_case == "choose_plan"
    assert (await progress_of(agent)).flow is None
    await agent.run("I lost my SIM", conversation="c")
    assert "A SIM card is on its way." in prompt(script, 3)


async def test_an_approved_call_belongs_to_its_use_case() -> None:
    script = ScriptedModel("Really?", "Why?", Call("close"), "Closed.")
    agent = made(model=script.model)
    for text in ("close my account", "yes", "no reason"):
        last = await agent.run(text, conversation="c")
    assert last.question
    last = await agent.run("yes", conversation="c")
    assert (last.text, last.use_case) == ("Closed.", "close_account")
    assert (await progress_of(agent)).used == ("close_account",)


async def test_without_an_embedder_a_model_chooses_among_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(spec: str = "minilm") -> Any:
        raise errors.MissingExtra("embedder", "finding use cases")

    monkeypatch.setattr("lmos.arc.engine.embedder", missing)
    script = ScriptedModel(Call("use_case", {"id": "roaming"}), "Free in the EU.")
    agent = made(model=script.model)
    result = await agent.run("can I use my phone in Spain")
    assert result.use_case == "roaming"
    assert "- sim_card: " in prompt(script)
    with pytest.raises(errors.MissingExtra):
        await made().run("hello")


async def test_after_a_tool_failed_its_arguments_are_asked_for_again() -> None:
    agent = Agent(
        name="a",
        model="direct",
        use_cases="""### UseCase: cancel_order
#### Description
The customer wants to cancel an order.
#### Steps
- Call @get_order().
  "Shall I cancel {{get_order}}?"
#### Solution
"Cancelled."
#### Examples
- cancel my order
""",
    )

    @agent.tool
    def get_order(number: Annotated[int, Field(ge=1000, description="Which number?")]) -> str:
        """An order."""
        if number != 1001:
            raise errors.NotFound(f"there is no order {number}")
        return "the phone"

    said = await talk(agent, "cancel my order 1044", "yes", "1001", "yes")
    assert said == [
        "I am sorry, that did not work: there is no order 1044",
        "Which number?",
        "Shall I cancel the phone?",
        "Cancelled.",
    ]


async def test_what_a_tool_asks_is_answered_in_direct_mode_too() -> None:
    def find(ctx: Context) -> str:
        """Finds the shop."""
        if "Bonn" not in ctx.text:
            raise Ask("In which town?")
        return "The shop is in Bonn."

    agent = Agent(
        name="a",
        model="direct",
        tools=[find],
        use_cases="""### UseCase: find_shop
#### Description
The customer looks for a shop.
#### Steps
- "Shall I look for one?"
#### Solution
Call @find().
#### Examples
- where is a shop
""",
    )
    assert await talk(agent, "where is a shop", "yes", "Bonn") == [
        "Shall I look for one?",
        "In which town?",
        "The shop is in Bonn.",
    ]
