"""Decisions on messages that come again."""

from lmos.llm import embedder
from lmos.model import Capability, Message, RoutableAgent
from lmos.router import RoutingRequest, RoutingTable, VectorRouter
from lmos.router.remembering import LENGTH, Remembered

BILLING = RoutableAgent(
    name="billing",
    capabilities=(Capability(name="bill", version="1", examples=("show my bill", "I owe money")),),
)
WEATHER = RoutableAgent(
    name="weather",
    capabilities=(Capability(name="sky", version="1", examples=("will it rain", "is it sunny")),),
)


class Counting:
    """The embedder, counting the texts that it is asked for."""

    def __init__(self) -> None:
        self._embedder = embedder()
        self.name, self.d, self.asked = self._embedder.name, self._embedder.d, 0

    async def embed(self, texts):  # type: ignore[no-untyped-def]
        self.asked += len(texts)
        return await self._embedder.embed(texts)


def asked(text: str, active: str | None = None) -> RoutingRequest:
    return RoutingRequest((Message(role="user", content=text),), active_agent=active)


async def test_the_same_message_is_decided_alike_and_once() -> None:
    counting = Counting()
    table = await RoutingTable.build([BILLING, WEATHER], embedder())
    router = VectorRouter(counting)
    first = await router.decide(asked("what is on my bill"), table)
    again = await router.decide(asked("what is on my bill"), table)
    assert first.but(timings={}) == again.but(timings={})
    assert counting.asked == 1
    assert set(first.timings) == set(again.timings) == {"embed", "decide"}


async def test_another_table_or_another_active_agent_is_decided_anew() -> None:
    router = VectorRouter(embedder())
    both = await RoutingTable.build([BILLING, WEATHER], embedder())
    one = await RoutingTable.build([WEATHER], embedder())
    request = asked("show my bill please")
    assert (await router.decide(request, both)).agent == "billing"
    assert (await router.decide(request, one)).agent is None
    short = [
        await router.decide(asked("and tomorrow?", who), both) for who in ("billing", "weather")
    ]
    assert [decision.agent for decision in short] == ["billing", "weather"]


async def test_long_messages_are_not_kept() -> None:
    counting = Counting()
    table = await RoutingTable.build([BILLING, WEATHER], embedder())
    router = VectorRouter(counting)
    for _ in range(2):
        await router.decide(asked("show my bill " * LENGTH), table)
    assert counting.asked == 2


async def test_what_was_asked_for_longest_ago_goes_first() -> None:
    table = await RoutingTable.build([BILLING, WEATHER], embedder())
    decision = await VectorRouter(embedder()).decide(asked("show my bill"), table)
    remembered = Remembered(2)
    remembered.put("a", decision)
    remembered.put("b", decision)
    assert remembered.get("a") is decision
    remembered.put("c", decision)
    assert [remembered.get(key) is None for key in "abc"] == [False, True, False]
