"""Private values never reach the model; tools and callers see them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmos import Agent, Context
from lmos.arc.filters import Anonymizer, ApplyModel, HallucinationCheck
from lmos.llm import Call, ScriptedModel
from lmos.model import AnonymizationEntity, InputRequired, Message, TextDelta, Turn, User, errors

IBAN = "DE89 3704 0044 0532 0130 00"
MAIL = "anna@mail.example"
PRIVATE = (IBAN, MAIL, "0171 1234567", "4111 1111 1111 1111", "K1234", "Anna Schmidt")


def names(text: str) -> list[str]:
    return ["Anna Schmidt"]


def anonymizer(**options: Any) -> Anonymizer:
    return Anonymizer(patterns={"customer": r"\bK\d{4}\b"}, finders={"name": names}, **options)


def agent(script: ScriptedModel, filters: Anonymizer | None = None, **options: Any) -> Agent:
    pair = filters or anonymizer()
    return Agent(
        name="private",
        model=script.model,
        input_filters=[pair],
        output_filters=[pair.restored],
        **options,
    )


def sent(script: ScriptedModel) -> str:
    """All that the model was ever sent."""
    return repr(script.requests)


def nothing_private(script: ScriptedModel) -> bool:
    return not any(value in sent(script) for value in PRIVATE)


async def test_the_message_is_hidden_and_the_answer_restored() -> None:
    script = ScriptedModel("I write to [EMAIL_1], [NAME_1], about [CUSTOMER_1] and [IBAN_1].")
    result = await agent(script).run(f"I am Anna Schmidt, K1234, {MAIL}, {IBAN}, {MAIL}.")
    assert result.text == f"I write to {MAIL}, Anna Schmidt, about K1234 and {IBAN}."
    assert "I am [NAME_1], [CUSTOMER_1], [EMAIL_1], [IBAN_1], [EMAIL_1]." in sent(script)
    assert nothing_private(script)
    assert {(e.type, e.value, e.replacement) for e in result.entities} == {
        ("NAME", "Anna Schmidt", "[NAME_1]"),
        ("CUSTOMER", "K1234", "[CUSTOMER_1]"),
        ("EMAIL", MAIL, "[EMAIL_1]"),
        ("IBAN", IBAN, "[IBAN_1]"),
    }


async def test_tools_get_values_and_their_results_are_hidden() -> None:
    got: list[str] = []

    async def find_customer(ctx: Context, email: str) -> dict[str, Any]:
        got.append(email)
        return {"name": "Anna Schmidt", "iban": IBAN, "mails": [email], "n": 1}

    script = ScriptedModel(
        Call("find_customer", {"email": "[EMAIL_1]"}), "Hello [NAME_1], [IBAN_1]!"
    )
    result = await agent(script, tools=[find_customer]).run(f"I am {MAIL}")
    assert got == [MAIL]
    assert [call.arguments for call in result.calls] == [{"email": MAIL}]
    assert result.text == f"Hello Anna Schmidt, {IBAN}!"
    assert nothing_private(script)
    assert '"mails":["[EMAIL_1]"]' in sent(script)


async def test_errors_of_tools_are_hidden() -> None:
    async def fail(email: str) -> str:
        raise errors.NotFound(f"no customer {email}")

    script = ScriptedModel(Call("fail", {"email": "[EMAIL_1]"}), "Not found.")
    await agent(script, tools=[fail]).run(f"I am {MAIL}")
    assert "no customer [EMAIL_1]" in sent(script)
    assert nothing_private(script)


async def test_tools_may_be_kept_from_values_too() -> None:
    got: list[str] = []

    async def note(text: str) -> str:
        got.append(text)
        return "noted"

    script = ScriptedModel(Call("note", {"text": "[EMAIL_1] called"}), "Noted.")
    await agent(script, anonymizer(tools="placeholders"), tools=[note]).run(f"I am {MAIL}")
    assert got == ["[EMAIL_1] called"]


async def test_instructions_and_history_are_hidden() -> None:
    script = ScriptedModel("Hello.")
    private = agent(script, instructions="Mail problems to anna@mail.example.")

    @private.instructions
    def who(ctx: Context) -> str:
        return f"The customer is {ctx.user.profile['name']}."

    messages = (
        Message(role="user", content=f"My IBAN is {IBAN}."),
        Message(role="assistant", content="Thank you, Anna Schmidt, K1234."),
        Message(role="user", content="Did you note it?"),
    )
    user = User(id="u", profile={"name": "Anna Schmidt"})
    await private.run(Turn(conversation_id="c", turn_id="t", user=user, messages=messages))
    assert nothing_private(script)
    assert "The customer is [NAME_1]." in sent(script)


async def test_a_value_keeps_its_placeholder_over_turns() -> None:
    script = ScriptedModel("Noted [EMAIL_1].", "It is [EMAIL_1].", "Both: [EMAIL_1], [EMAIL_2].")
    private = agent(script)
    await private.run(f"I am {MAIL}", conversation="c")
    again = await private.run("What is my address?", conversation="c")
    assert again.text == f"It is {MAIL}."
    third = await private.run(f"And b@c.example, {MAIL}", conversation="c")
    assert third.text == f"Both: {MAIL}, b@c.example."
    assert "And [EMAIL_2], [EMAIL_1]" in sent(script)
    assert nothing_private(script)


async def test_entities_of_the_caller_are_used_and_come_back() -> None:
    script = ScriptedModel("PERSON_A, I write to [EMAIL_1].")
    brought = AnonymizationEntity(type="NAME", value="Anna Schmidt", replacement="PERSON_A")
    turn = Turn(
        conversation_id="c",
        turn_id="t",
        messages=(Message(role="user", content=f"Anna Schmidt here, PERSON_A, {MAIL}"),),
        anonymization_entities=(brought,),
    )
    result = await agent(script, Anonymizer(remember=False)).run(turn)
    assert "PERSON_A here, PERSON_A, [EMAIL_1]" in sent(script)
    assert result.text == f"Anna Schmidt, I write to {MAIL}."
    assert [e.replacement for e in result.entities] == ["PERSON_A", "[EMAIL_1]"]


async def test_conversations_do_not_share_placeholders() -> None:
    private = agent(ScriptedModel("Noted.", "[EMAIL_1]?"))
    await private.run(f"I am {MAIL}", conversation="one")
    assert (await private.run("Who am I?", conversation="two")).text == "[EMAIL_1]?"


async def test_a_placeholder_split_over_chunks_is_restored_while_it_streams() -> None:
    from pydantic_ai.models.function import FunctionModel

    async def letters(messages: Any, info: Any) -> AsyncIterator[str]:
        for letter in "I see [EMAIL_1]. It is [EMAIL_1]! Bye.":
            yield letter

    pair = anonymizer()
    private = Agent(
        name="p",
        model=FunctionModel(stream_function=letters),
        input_filters=[pair],
        output_filters=[pair.restored],
    )
    deltas = [e.text async for e in private.stream(f"I am {MAIL}") if isinstance(e, TextDelta)]
    assert deltas == [f"I see {MAIL}. ", f"It is {MAIL}! ", "Bye."]


async def test_what_is_asked_aside_is_hidden_and_its_answer_restored() -> None:
    aside = ScriptedModel("Dear [EMAIL_1]!")
    pair = anonymizer()
    private = Agent(
        name="p",
        model=ScriptedModel("Hello [EMAIL_1].").model,
        input_filters=[pair],
        output_filters=[pair.restored, ApplyModel("Politely.", model=aside.model)],
    )
    assert (await private.run(f"I am {MAIL}")).text == f"Dear {MAIL}!"
    assert nothing_private(aside)
    assert "Hello [EMAIL_1]." in sent(aside)


async def test_restored_values_are_not_made_up() -> None:
    async def account() -> str:
        return IBAN

    script = ScriptedModel(Call("account"), "[EMAIL_1], [IBAN_1].", "x@fake.example", "[EMAIL_1]")
    pair = anonymizer()
    private = Agent(
        name="p",
        model=script.model,
        tools=[account],
        input_filters=[pair],
        output_filters=[pair.restored, HallucinationCheck(then="retry", tries=1)],
    )
    assert (await private.run(f"I am {MAIL}")).text == f"{MAIL}, {IBAN}."
    found = await private.run("And now?")
    assert found.context == {"classification": "HALLUCINATION_DETECTED"}


async def test_an_approval_tells_the_values_and_goes_on_with_them() -> None:
    got: list[str] = []
    script = ScriptedModel(Call("pay", {"iban": "[IBAN_1]"}), "Paid to [IBAN_1].")
    private = agent(script)

    @private.tool(sensitive=True)
    async def pay(iban: str) -> str:
        """Pays."""
        got.append(iban)
        return f"paid to {iban}"

    asked = await private.run(f"Pay to {IBAN}", conversation="c")
    assert isinstance(asked.events[-1], InputRequired)
    assert IBAN in asked.text
    done = await private.run("yes", conversation="c")
    assert (done.text, got) == (f"Paid to {IBAN}.", [IBAN])
    assert nothing_private(script)


async def test_summaries_are_made_without_private_values() -> None:
    seen: list[str] = []

    async def summarise(messages: Sequence[Message]) -> str:
        seen.extend(message.content for message in messages)
        return f"[EMAIL_1] stays, {seen[-1]}"

    said = ("[EMAIL_1] wrote", f"I am {MAIL}", f"{IBAN} is yours, {MAIL}")
    messages = [Message(role="user", content=text) for text in said]
    summary = await anonymizer().summarising(summarise)(messages)
    assert seen == ["[EMAIL_1] wrote", "I am [EMAIL_2]", "[IBAN_1] is yours, [EMAIL_2]"]
    assert summary == f"[EMAIL_1] stays, {IBAN} is yours, {MAIL}"


async def test_check_digits_count_unless_mistyped_ones_are_wanted() -> None:
    wrong = "DE88 3704 0044 0532 0130 00"
    script = ScriptedModel("ok")
    await agent(script, Anonymizer(["iban", "card"])).run(f"{wrong}, 4111 1111 1111 1112")
    assert wrong in sent(script)
    assert "4111 1111 1111 1112" in sent(script)
    script = ScriptedModel("ok")
    strict = Anonymizer(["iban", "card"], mistyped=True)
    await agent(script, strict).run(f"{wrong}, 4111 1111 1111 1112")
    assert "[IBAN_1], [CARD_1]" in sent(script)


async def test_without_a_model_nothing_is_hidden() -> None:
    pair = anonymizer()
    direct = Agent(
        name="p",
        model="direct",
        use_cases="### UseCase: hi\n#### Description\nThe customer says hello.\n"
        '#### Solution\n"Hello {{user.id}}."\n#### Examples\n- hello there\n',
        input_filters=[pair],
        output_filters=[pair.restored],
    )
    result = await direct.run("hello there", user=MAIL)
    assert (result.text, result.entities) == (f"Hello {MAIL}.", ())


PIECES = [*PRIVATE, "[EMAIL_1]", "Hello", ".", "\n", " and ", "x", "!", "?", "1. ", "[NAME_2]"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=10).map(" ".join))
async def test_an_echo_gives_back_what_was_said(text: str) -> None:
    from pydantic_ai.models.function import FunctionModel

    heard: list[str] = []

    async def echo(messages: Any, info: Any) -> AsyncIterator[str]:
        said = messages[-1].parts[-1].content
        heard.append(said)
        for at in range(0, len(said), 3):
            yield said[at : at + 3]

    pair = anonymizer()
    private = Agent(
        name="p",
        model=FunctionModel(stream_function=echo),
        input_filters=[pair],
        output_filters=[pair.restored],
    )
    assert (await private.run(text)).text == text
    assert not any(value in heard[0] for value in PRIVATE)
