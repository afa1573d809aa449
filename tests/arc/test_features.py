"""Features switch agents on and off."""

from collections.abc import Iterator
from contextlib import aclosing

import pytest
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from lmos import Agent, Context
from lmos.arc import Skill, Team, features
from lmos.arc.result import collected
from lmos.llm import ScriptedModel
from lmos.model import Capability, Message, Turn, User, errors
from lmos.protocols.a2a import card


@pytest.fixture(autouse=True)
def _no_provider() -> Iterator[None]:
    yield
    api.clear_providers()


def provide(**flags: bool) -> None:
    """Sets a provider that knows the flags."""
    both = {"on": True, "off": False}
    known = {name: InMemoryFlag("on" if on else "off", both) for name, on in flags.items()}
    api.set_provider(InMemoryProvider(known))


def turn(**system: str) -> Turn:
    return Turn(
        conversation_id="c",
        turn_id="t",
        user=User(id="u", profile={"plan": "gold", "api_key": "hidden"}),
        messages=(Message(role="user", content="hi"),),
        system_context=system,
    )


def agent(name: str, *needs: str) -> Agent:
    return Agent(name=name, model=ScriptedModel(name).model, activate_on_features=needs)


async def asked(team: Team, turn: Turn) -> str:
    async with aclosing(team.respond(turn)) as events:
        return collected([event async for event in events]).text


async def test_the_first_whose_features_are_all_on_answers() -> None:
    agents = [agent("old"), agent("beta", "new", "brave"), agent("other", "else")]
    for on, expected in (({}, "old"), ({"brave": False}, "old"), ({"brave": True}, "beta")):
        provide(new=True, **on)
        assert await asked(Team("t", agents), turn()) == expected
    provide(new=False, brave=True)
    with pytest.raises(errors.AgentNotFound, match="the features of beta, other are off"):
        await asked(Team("t", agents[1:]), turn())


async def test_without_a_provider_the_application_says_what_is_on() -> None:
    agents = [agent("old"), agent("beta", "new")]
    assert await asked(Team("t", agents), turn(feature_new="true")) == "beta"
    assert await asked(Team("t", agents), turn(feature_new="no")) == "old"


async def test_functions_ask_for_values_of_the_type_of_the_default() -> None:
    tested = Agent(name="a", model=ScriptedModel("x").model)
    seen: list[object] = []

    @tested.instructions
    async def look(ctx: Context) -> None:
        seen.append(await ctx.feature("tone", "formal"))
        seen.append(await ctx.feature("limit", 3))
        seen.append(await ctx.feature("share", 0.5))

    await tested.run("hi", system_context={"feature_tone": "kind", "feature_limit": "no number"})
    assert seen == ["kind", 3, 0.5]


def test_a_provider_is_told_no_secrets() -> None:
    told = features._context(turn(region="eu", token="hidden"), "a")
    assert told.targeting_key == "u"
    assert told.attributes["system_region"] == "eu"
    assert told.attributes["user_plan"] == "gold"
    assert "hidden" not in str(told)


def test_skills_are_on_the_card_beside_and_instead_of_capabilities() -> None:
    told = Agent(
        name="a",
        capabilities=[
            Capability(id="pay", name="pay", version="1.0.0"),
            Capability(id="see", name="see", version="1.0.0"),
        ],
        skills=[
            Skill(id="pay", name="Pay a bill", tags=("money",), output_modes=("text/plain",)),
            Skill(id="chat", name="Chat", examples=("hello",)),
        ],
    ).describe()
    found = {skill["id"]: skill for skill in card.skills(told)}
    assert list(found) == ["pay", "see", "chat"]
    assert found["pay"]["name"] == "Pay a bill"
    assert found["pay"]["tags"] == ["money"]
    assert found["pay"]["outputModes"] == ["text/plain"]
    assert found["chat"]["examples"] == ["hello"]
