"""Where routings come from: files, a control plane of ours, the original's operator."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from runtime_parts import BILL, ORDER, agent_of, group_of, routing, served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmos.controlplane import EventLog, api
from lmos.llm import embedder
from lmos.model import Agent, ChannelRouting, errors
from lmos.protocols import http
from lmos.runtime import Routings
from lmos.runtime.sources import open_source
from lmos.runtime.sources.operator import Operator
from lmos.store import MemoryStore

ORIGINAL = """
channelRoutings:
  - apiVersion: lmos.eclipse/v1
    kind: ChannelRouting
    metadata:
      name: acme-web-stable
      namespace: test
      creationTimestamp: "2024-08-13T09:03:17Z"
      generation: 1
      labels: {channel: web, subset: stable, tenant: acme, version: 1.0.0}
      resourceVersion: "12"
      uid: 58f7b0c4-0000-0000-0000-000000000000
    spec:
      capabilityGroups:
        - id: billing
          name: billing
          description: Bills
          capabilities:
            - id: view_bill
              name: view-bill
              requiredVersion: ">=1.0.0"
              providedVersion: 1.2.0
              description: Shows a bill
              host: %s
              subset: stable
"""


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    await http.close_session()


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.01)


def found(routings: Routings, *place: str) -> list[str]:
    try:
        return list(routings.find(*place).members)
    except errors.ChannelNotFound:
        return []


# --- files ----------------------------------------------------------------------------------------


async def test_the_originals_file_is_read_and_followed(tmp_path: Path) -> None:
    file = tmp_path / "routings.yaml"
    file.write_text(ORIGINAL % "billing.test.svc.cluster.local")
    async with open_source(str(file)) as source, Routings(source.store, embedder()) as routings:
        (member,) = routings.find("acme", "web").members.values()
        assert member.address is not None
        assert member.address.url == "http://billing.test.svc.cluster.local"
        assert not source.waiting_for()
        file.write_text("channelRoutings: [oops")
        file.write_text((ORIGINAL % "other").replace("name: billing", "name: bills"))
        await until(lambda: found(routings, "acme", "web") == ["bills"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channelRoutings: 5", "must be a list"),
        ("channelRoutings: [5]", r"channelRoutings\[0\] must be a mapping"),
        ("channelRoutings: [{spec: {capabilityGroups: [{name: a}]}}]", "capabilities"),
        ("something: else", "neither manifests"),
        ("a: [", "no YAML"),
    ],
)
async def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "routings.yaml"
    file.write_text(text)
    with pytest.raises(errors.InvalidInput, match=words):
        async with open_source(str(file)):
            pass


async def test_a_path_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="there is nothing at"):
        async with open_source(str(tmp_path / "nowhere")):
            pass


async def test_a_directory_of_manifests(tmp_path: Path) -> None:
    text = ORIGINAL.split("  - ", 1)[1].replace("\n    ", "\n")
    (tmp_path / "acme.yaml").write_text("\n".join(
        line for line in (text % "billing").splitlines() if line.strip() != "subset: stable"
    ))  # fmt: skip
    async with open_source(str(tmp_path)) as source:
        listed, _ = await source.store.list(ChannelRouting)
    assert [one.name for one in listed] == ["acme-web-stable"]


# --- a control plane of ours ----------------------------------------------------------------------


def control_plane(store: MemoryStore) -> Starlette:
    return Starlette(
        routes=list(api.routes(store, EventLog())), exception_handlers=http.exception_handlers
    )


async def fill(store: MemoryStore, *names: str) -> None:
    agents = {"billing": (BILL,), "orders": (ORDER,)}
    groups = []
    for name in names:
        agent = agent_of(name, f"http://{name}", *agents[name])
        await store.apply(agent, "test")
        await store.patch_status(agent)
        groups.append(group_of(agent, *agents[name]))
    await store.apply(routing("acme", *groups), "test")


async def test_a_control_plane_is_mirrored_and_watched() -> None:
    theirs = MemoryStore()
    await fill(theirs, "billing")
    async with (
        served(control_plane(theirs)) as address,
        open_source(address) as source,
        Routings(source.store, embedder(), fetch=source.fetch) as routings,
    ):
        await until(lambda: found(routings, "acme", "web") == ["billing"])
        await until(lambda: not source.waiting_for())

        def url() -> str:
            address = routings.find("acme", "web").members["billing"].address
            return address.url if address else ""

        await until(lambda: url() == "http://billing")
        await fill(theirs, "billing", "orders")
        await until(lambda: found(routings, "acme", "web") == ["billing", "orders"])
        (listed, _) = await theirs.list(ChannelRouting)
        await theirs.delete(listed[0].key)
        await until(lambda: not found(routings, "acme", "web"))


async def test_a_control_plane_that_goes_and_comes_back_with_other_routings() -> None:
    theirs = MemoryStore()
    await fill(theirs, "billing")
    switch = Switch(control_plane(theirs))
    async with (
        served(switch) as url,
        open_source(url) as source,
        Routings(source.store, embedder(), fetch=source.fetch) as routings,
    ):
        await until(lambda: found(routings, "acme", "web") == ["billing"])
        await until(lambda: switch.watches == 3)
        switch.cut()
        assert found(routings, "acme", "web") == ["billing"]
        other = MemoryStore()
        await fill(other, "orders")
        switch.app = control_plane(other)
        await until(lambda: found(routings, "acme", "web") == ["orders"])
        await until(lambda: routings.find("acme", "web").members["orders"].address)
        assert await source.store.get(Agent, "billing") is None


class Switch:
    """An application that can be away, and whose running answers can be cut off."""

    def __init__(self, app: Any) -> None:
        self.app: Any = app
        self.watches = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.watches += b"watch" in scope.get("query_string", b"")
        try:
            app = self.app or JSONResponse({"message": "away"}, 503)
            await app(scope, receive, send)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)

    def cut(self) -> None:
        self.app = None
        for task in self._tasks:
            task.cancel()


async def test_what_is_not_there_yet_is_waited_for() -> None:
    theirs = MemoryStore()
    await fill(theirs, "billing")
    switch = Switch(None)
    async with (
        served(switch) as url,
        open_source(url) as source,
        Routings(source.store, embedder(), fetch=source.fetch) as routings,
    ):
        assert "has not answered yet" in source.waiting_for()
        with pytest.raises(errors.AgentUnavailable):
            await routings.found("acme", "web")
        switch.app = control_plane(theirs)
        await until(lambda: found(routings, "acme", "web") == ["billing"])


# --- the original's operator ----------------------------------------------------------------------


class OriginalOperator:
    """Answers as the original does: three paths, and an empty body where nothing is."""

    def __init__(self, *, tags: bool) -> None:
        self.routings: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.asked: list[tuple[int, str]] = []
        self.broken = False
        self._tags = tags

    @property
    def app(self) -> Starlette:
        path = "/apis/v1/tenants/{tenant}/channels/{channel}/routing"
        return Starlette(routes=[Route(path, self.routing)])

    async def routing(self, request: Request) -> Response:
        place = request.path_params
        subset = request.headers.get("x-subset", "stable")
        found = self.routings.get((place["tenant"], place["channel"], subset))
        tag = f'"{hash(str(found))}"' if self._tags else ""
        if self.broken:
            status, response = 500, Response(status_code=500)
        elif found is None:
            status, response = 404, Response(status_code=404)
        elif tag and request.headers.get("if-none-match") == tag:
            status, response = 304, Response(status_code=304)
        else:
            status, response = 200, JSONResponse(found, headers={"etag": tag} if tag else {})
        self.asked.append((status, subset))
        return response

    def set(self, host: str, subset: str = "stable") -> None:
        capability = {
            "id": "view_bill", "name": "view-bill", "requiredVersion": "^1", "host": host,
            "providedVersion": "1.0.0", "description": "Shows a bill", "subset": subset,
        }  # fmt: skip
        group = {"id": "b", "name": "billing", "description": "", "capabilities": [capability]}
        self.routings["acme", "web", subset] = {
            "apiVersion": "lmos.eclipse/v1",
            "kind": "ChannelRouting",
            "metadata": {"name": "x", "labels": {"tenant": "acme", "channel": "web"}, "uid": "1"},
            "spec": {"capabilityGroups": [group]},
        }


@pytest.mark.parametrize("tags", [True, False])
async def test_an_operator_is_asked_for_a_channel_when_it_is_needed(tags: bool) -> None:
    operator = OriginalOperator(tags=tags)
    operator.set("one")
    operator.set("two", "canary")
    async with served(operator.app) as url, open_source(url) as source:
        await until(lambda: not source.waiting_for())
        async with Routings(source.store, embedder(), fetch=source.fetch) as routings:
            stable, canary, again = await asyncio.gather(
                routings.found("acme", "web"),
                routings.found("acme", "web", "canary"),
                routings.found("acme", "web"),
            )
            assert stable.members["billing"].address.url == "http://one"  # type: ignore[union-attr]
            assert canary.members["billing"].address.url == "http://two"  # type: ignore[union-attr]
            assert again.routing == stable.routing
            assert sorted(operator.asked) == [(200, "canary"), (200, "stable")]
            for _ in range(3):
                with pytest.raises(errors.ChannelNotFound):
                    await routings.found("acme", "ivr")
            assert len(operator.asked) == 3  # what is not there is not asked for again at once


async def test_an_operators_changes_are_followed_and_its_absence_survived() -> None:
    operator = OriginalOperator(tags=True)
    operator.set("one")
    store = MemoryStore()
    async with served(operator.app) as url:
        asking = Operator(url, store, every=0.02, absent=0)
        async with Routings(store, embedder(), fetch=asking.fetch) as routings:
            await routings.found("acme", "web")
            running = asyncio.create_task(asking.run())
            await until(lambda: (304, "stable") in operator.asked)
            operator.broken = True
            await until(lambda: (500, "stable") in operator.asked)
            assert found(routings, "acme", "web") == ["billing"]
            operator.broken = False
            operator.set("three")

            def host() -> str:
                address = routings.find("acme", "web").members["billing"].address
                return address.url if address else ""

            await until(lambda: host() == "http://three")
            operator.routings.clear()
            await until(lambda: not found(routings, "acme", "web"))
            operator.set("four")
            assert (await routings.found("acme", "web")).members
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_an_operator_that_breaks_is_no_missing_channel() -> None:
    operator = OriginalOperator(tags=False)
    operator.broken = True
    async with served(operator.app) as url:
        asking = Operator(url, MemoryStore())
        with pytest.raises(errors.AgentFailed, match="HTTP 500"):
            await asking.fetch("acme", "web", "stable")
