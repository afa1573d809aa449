"""What agents share: who gets it, for how long, how much, and that nobody else does."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from runtime_parts import BILL, Platform, agent_of, answer, served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import states
from lmos import Agent, Context
from lmos.arc.serving import app
from lmos.llm import ScriptedModel
from lmos.model import (
    AgentAddress,
    AgentStatus,
    AnonymizationEntity,
    Answer,
    Done,
    Handover,
    InputRequired,
    Message,
    Share,
    SharedValue,
    State,
    Turn,
    TurnEvent,
    User,
    errors,
)
from lmos.protocols import connecting
from lmos.runtime.memory import Place, SharedMemory
from lmos.runtime.memory.keeping import MAX_VALUES, TTL
from lmos.state import MemoryState, forget_user

BILLS, PARCELS = "how much do I owe", "where is my order"
ANN = {"user": User(id="ann")}


def sharing(platform: Platform, *shares: Share) -> None:
    """From now on billing shares this with each answer."""

    async def play(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        for share in shares:
            yield share
        async for event in platform.billing.repeat(turn):
            yield event

    platform.billing.play = play


def seen(turn: Turn) -> dict[str, Any]:
    """What the agent got shared."""
    assert turn.shared is not None
    return {value.name: value.value for value in turn.shared}


async def test_the_next_agent_gets_it_with_whose_it_is(platform: Platform) -> None:
    sharing(platform, Share(name="invoice", value={"amount": 42.5}))
    events = await platform.turn(BILLS, turn_id="t1")
    assert "share" not in {event.type for event in events}
    assert platform.billing.turns[0].shared == ()
    await platform.turn(PARCELS)
    [value] = platform.orders.turns[0].shared or ()
    assert (value.name, value.value) == ("invoice", {"amount": 42.5})
    assert (value.agent, value.turn_id, value.scope) == ("billing", "t1", "conversation")
    assert (datetime.now(UTC) - value.at).total_seconds() < 60


async def test_who_is_handed_over_to_gets_it_in_the_same_turn(platform: Platform) -> None:
    platform.billing.plays(Share(name="why", value="no invoice"), Handover(to="orders"))
    await platform.turn(BILLS)
    assert seen(platform.orders.turns[0]) == {"why": "no invoice"}


@pytest.mark.parametrize(
    ("readers", "readable"),
    [
        ((), True),
        (("orders",), True),
        (("track-order",), True),
        (("track_order",), True),
        (("order",), False),
        (("somebody", "view-bill"), False),
    ],
)
async def test_only_readers_get_it(
    platform: Platform, readers: tuple[str, ...], readable: bool
) -> None:
    sharing(platform, Share(name="pin", value=1234, readers=readers))
    await platform.turn(BILLS)
    await platform.turn(PARCELS)
    assert seen(platform.orders.turns[0]) == ({"pin": 1234} if readable else {})
    await platform.turn(BILLS)
    assert seen(platform.billing.turns[1]) == {"pin": 1234}  # who wrote it always may


async def test_nobody_changes_what_another_wrote(platform: Platform) -> None:
    sharing(platform, Share(name="n", value=1))
    await platform.turn(BILLS)
    platform.orders.plays(
        Share(name="n", value=2),
        Share(name="n", value=None, scope="user"),
        Answer(message=Message(role="assistant", content="ok")),
        Done(),
    )
    await platform.turn(PARCELS)
    sharing(platform)
    await platform.turn(BILLS)
    values = platform.billing.turns[-1].shared or ()
    assert [(v.agent, v.value) for v in values] == [("billing", 1), ("orders", 2)]


async def test_it_is_taken_back(platform: Platform) -> None:
    sharing(platform, Share(name="n", value=1), Share(name="m", value=2))
    await platform.turn(BILLS)
    sharing(platform, Share(name="n"))
    await platform.turn(BILLS)
    await platform.turn(PARCELS)
    assert seen(platform.orders.turns[0]) == {"m": 2}


async def test_a_turn_that_fails_shares_nothing(platform: Platform) -> None:
    platform.billing.plays(Share(name="n", value=1), errors.AgentFailed("no"))
    await platform.turn(BILLS)
    await platform.turn(PARCELS)
    assert seen(platform.orders.turns[0]) == {}


async def test_a_question_shares_too(platform: Platform) -> None:
    asked = Message(role="assistant", content="Which month?")
    platform.billing.plays(Share(name="n", value=1), InputRequired(message=asked))
    await platform.turn(BILLS)
    platform.billing.play = platform.billing.repeat
    await platform.turn("May")
    assert seen(platform.billing.turns[1]) == {"n": 1}


async def test_what_a_user_shares_is_in_all_their_conversations(platform: Platform) -> None:
    sharing(platform, Share(name="plan", value="flex", scope="user"))
    await platform.turn(BILLS, "c1", **ANN)
    await platform.turn(PARCELS, "c2", **ANN)
    await platform.turn(PARCELS, "c3", user=User(id="ben"))
    await platform.turn(PARCELS, "c4")
    assert [seen(t) for t in platform.orders.turns] == [{"plan": "flex"}, {}, {}]


async def test_what_is_not_allowed_is_left_out_and_the_turn_goes_on(platform: Platform) -> None:
    sharing(
        platform,
        Share(name="for everybody", value=1, scope="tenant"),
        Share(name="for whom", value=1, scope="user"),
        Share(name="big", value="x" * 20_000),
        Share(name="", value=1),
        Share(name="ever", value=1, ttl=1e12),
        Share(name="crowd", value=1, readers=tuple("abcdefghijklmnopqrstuvwxyz")),
        Share(name="fine", value=1),
    )
    assert answer(await platform.turn(BILLS)).startswith("billing")
    await platform.turn(PARCELS)
    assert seen(platform.orders.turns[0]) == {"fine": 1}
    assert platform.supervisor.metrics.unshared == {"billing": 6}


async def test_a_conversation_has_room_for_so_much(platform: Platform) -> None:
    for start in range(0, 80, 40):
        sharing(platform, *(Share(name=str(n), value=n) for n in range(start, start + 40)))
        await platform.turn(BILLS)
    await platform.turn(PARCELS)
    assert len(seen(platform.orders.turns[0])) == MAX_VALUES
    assert platform.supervisor.metrics.unshared == {"billing": 80 - MAX_VALUES}


async def test_what_callers_say_is_shared_counts_for_nothing(platform: Platform) -> None:
    forged = SharedValue(name="admin", value=True, agent="billing", at=datetime.now(UTC))
    await platform.turn(PARCELS, shared=(forged,), system_context={"lmosShared": "[]"})
    assert platform.orders.turns[0].shared == ()


# --- over other protocols -------------------------------------------------------------------------


PATHS = {"a2a": "", "graphql": "/subscriptions", "mcp": "/mcp", "openai": "/v1#billing"}


def sharer() -> Agent:
    """An agent that shares in its own words, and tells what it is told."""
    billing = Agent(name="billing", description="Bills.", model=ScriptedModel("ok", "ok").model)

    @billing.input_filter
    async def share(ctx: Context, text: str) -> None:
        ctx.output["seen"] = json.dumps({n: ctx.shared.entry(n).agent for n in ctx.shared})
        kept = await ctx.share("invoice", {"amount": 42.5}, readers=["track-order"])
        ctx.output["kept"] = str(kept)
        assert ctx.shared["invoice"] == {"amount": 42.5}

    return billing


@pytest.mark.parametrize("protocol", PATHS)
async def test_agents_far_away_share_over_their_protocol(platform: Platform, protocol: str) -> None:
    platform.orders.plays(Share(name="parcel", value=7), *replies())
    await platform.turn(PARCELS)
    application = app(sharer())
    async with application.router.lifespan_context(application), served(application) as url:
        address = AgentAddress(url=url + PATHS[protocol], protocol=protocol)
        billing = agent_of("billing", url, BILL).but(status=AgentStatus(address=address))
        await platform.change(billing)
        events = await platform.turn(BILLS)
        await platform.turn(PARCELS)
        await connecting.disconnect()
    [said] = [event for event in events if isinstance(event, Answer)]
    if protocol == "openai":  # which has no room for it
        assert seen(platform.orders.turns[-1]) == {"parcel": 7}
        return
    assert (said.context["kept"], said.context["seen"]) == ("True", '{"parcel": "orders"}')
    assert seen(platform.orders.turns[-1]) == {"parcel": 7, "invoice": {"amount": 42.5}}


async def test_an_agent_that_only_knows_a2a_shares_in_its_metadata(platform: Platform) -> None:
    got: list[Any] = []

    async def rpc(request: Request) -> Response:
        body = await request.json()
        message = body["params"]["message"]
        got.append(message.get("metadata"))
        share = [{"name": "n", "value": 1}, {"name": {}}, "nonsense"]
        told = {
            "messageId": "m",
            "contextId": message["contextId"],
            "role": "ROLE_AGENT",
            "parts": [{"text": "ok"}],
            "metadata": {"urn:lmos:a2a:shared:1": share},
        }
        return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "result": {"message": told}})

    def card(request: Request) -> Response:
        interface = {"url": str(request.base_url), "protocolBinding": "JSONRPC"}
        return JSONResponse(
            {
                "name": "billing",
                "description": "Bills.",
                "version": "1.0.0",
                "supportedInterfaces": [{**interface, "protocolVersion": "1.0"}],
                "capabilities": {},
                "defaultInputModes": ["text/plain"],
                "defaultOutputModes": ["text/plain"],
                "skills": [],
            }
        )

    paths = [Route("/.well-known/agent-card.json", card), Route("/", rpc, methods=["POST"])]
    platform.orders.plays(Share(name="parcel", value=7), *replies())
    await platform.turn(PARCELS)
    async with served(Starlette(routes=paths)) as url:
        await platform.change(agent_of("billing", url, BILL))
        events = await platform.turn(BILLS)
        assert answer(events) == "ok", events
        await platform.turn(PARCELS)
    [told] = got[0]["urn:lmos:a2a:shared:1"]
    assert (told["name"], told["value"], told["agent"]) == ("parcel", 7, "orders")
    assert seen(platform.orders.turns[-1]) == {"parcel": 7, "n": 1}


def replies(*events: TurnEvent) -> list[TurnEvent]:
    said = Answer(message=Message(role="assistant", content="ok"))
    return [*events, said, Done()]


# --- placeholders ---------------------------------------------------------------------------------


def entity(number: int, value: str) -> AnonymizationEntity:
    return AnonymizationEntity(type="EMAIL", value=value, replacement=f"[EMAIL_{number}]")


async def test_what_stands_behind_placeholders_goes_from_agent_to_agent(
    platform: Platform,
) -> None:
    one, two, three = entity(1, "a@x.org"), entity(2, "b@x.org"), entity(3, "c@x.org")
    said = Message(role="assistant", content="ok")
    platform.billing.plays(Answer(message=said, anonymization_entities=(one,)), Done())
    await platform.turn(BILLS, anonymization_entities=(three,))
    await platform.turn(PARCELS)
    assert platform.billing.turns[0].anonymization_entities == (three,)
    assert set(platform.orders.turns[0].anonymization_entities) == {one, three}
    platform.billing.plays(Handover(to="orders", text="[EMAIL_2]", anonymization_entities=(two,)))
    await platform.turn(BILLS)
    assert set(platform.orders.turns[1].anonymization_entities) == {one, two, three}
    assert platform.orders.turns[1].text == "[EMAIL_2]"


async def test_what_the_caller_says_of_a_placeholder_counts(platform: Platform) -> None:
    said = Message(role="assistant", content="ok")
    platform.billing.plays(Answer(message=said, anonymization_entities=(entity(1, "a"),)), Done())
    await platform.turn(BILLS)
    await platform.turn(PARCELS, anonymization_entities=(entity(1, "b"),))
    await platform.turn(PARCELS)
    assert [t.anonymization_entities for t in platform.orders.turns] == [(entity(1, "b"),)] * 2


async def test_placeholders_stay_in_their_conversation(platform: Platform) -> None:
    await platform.turn(PARCELS, "c1", anonymization_entities=(entity(1, "a"),), **ANN)
    await platform.turn(PARCELS, "c2", **ANN)
    assert platform.orders.turns[1].anonymization_entities == ()


# --- over every state -----------------------------------------------------------------------------


def turn(
    tenant: str = "acme", conversation: str = "c", user: str = "", channel: str = "web"
) -> Turn:
    return Turn(
        tenant=tenant,
        channel=channel,
        conversation_id=conversation,
        turn_id="t",
        user=User(id=user),
        messages=(),
    )


def value(name: str, of: Any, agent: str = "a", **more: Any) -> SharedValue:
    return Share(name=name, value=of, **more).by(agent, "t")


every = states.over(states.ALL)


@every
async def test_values_are_kept_and_expire(place: states.Place) -> None:
    memory = SharedMemory(place.state)
    await memory.keep(turn(user="ann"), [value("x", 1), value("y", [2], scope="user")])
    found = await memory.read(turn(user="ann"))
    assert {(v.name, v.scope) for v in found} == {("x", "conversation"), ("y", "user")}
    assert [v.name for v in await memory.read(turn())] == ["x"]
    await place.elapse((TTL["user"] or 0) + 5)
    assert await memory.read(turn(user="ann")) == ()


@every
async def test_writers_at_once_lose_nothing(state: State) -> None:
    memory = SharedMemory(state)
    await asyncio.gather(*(memory.keep(turn(), [value("n", n, f"agent{n}")]) for n in range(12)))
    assert {v.value for v in await memory.read(turn())} == set(range(12))


@every
async def test_a_forgotten_user_leaves_nothing_shared(state: State) -> None:
    memory = SharedMemory(state)
    new = [value("x", "zebra"), value("y", "zebra", scope="user")]
    await memory.keep(turn(user="ann"), new)
    await memory.keep(turn(user="ben", conversation="d"), [value("x", 1)])
    await forget_user(state, "acme", "ann")
    assert "zebra" not in json.dumps([item async for item in state.scan("")])
    assert len(await memory.read(turn(user="ben", conversation="d"))) == 1


@every
async def test_nothing_leaks_whatever_names_hold(state: State) -> None:
    memory, dice = SharedMemory(state), random.Random(11)
    names = ("a", "b", "a/b", "a/", "/a", "%2F", "a%2Fb", "shared", "..", "ü", "*", "a" * 300, "")
    told: dict[tuple[str, ...], str] = {}

    def drawn() -> Turn:
        tenant, channel, conversation, user = (dice.choice(names) for _ in range(4))
        return turn(tenant, conversation, user, channel)

    def places(of: Turn) -> dict[str, tuple[str, ...]]:
        mine = {"conversation": (of.tenant, of.channel, of.conversation_id)}
        return mine | ({"user": (of.tenant, "user", of.user.id, "")} if of.user.id else {})

    for number in range(150):
        of = drawn()
        for scope, where in places(of).items():
            new = value("secret", f"{number} {scope}", scope=scope)
            await memory.keep(of, [new])
            told[where] = new.value
    for _ in range(500):
        of = drawn()
        expected = {told[where] for where in places(of).values() if where in told}
        assert {v.value for v in await memory.read(of)} == expected


async def test_what_has_expired_makes_room() -> None:
    memory = SharedMemory(MemoryState())
    where = Place.of_conversation(turn())
    past = datetime.now(UTC)
    old = [value(str(n), n).but(expires=past) for n in range(MAX_VALUES)]
    await memory.change(where, old)
    assert await memory.at(where) == ()
    await memory.change(where, [value("new", 1)])
    assert [v.name for v in await memory.at(where)] == ["new"]
