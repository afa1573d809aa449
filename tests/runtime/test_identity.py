"""Who asks: keys, tokens, users and their conversations, limits, and what agents are told of it."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from identity_parts import ACME, GLOBEX, House, bearer, digest, housed, tenant
from runtime_parts import BILL, agent_of, served, turn_of
from starlette.applications import Starlette

from lmos import Agent, Context
from lmos.arc.serving import Settings as ServingSettings
from lmos.arc.serving import app as serving_app
from lmos.arc.serving import trusting
from lmos.llm import ScriptedModel
from lmos.model import ApiKey, TurnLimits, errors
from lmos.protocols.tokens import JWKS, Tokens
from lmos.runtime import app
from lmos.runtime.identity import Rates, SharedRates, Signer
from lmos.state import MemoryState, open_state


def said(text: str = "show me my bill", user: str = "", channel: str = "web") -> dict[str, Any]:
    return {
        "inputContext": {"messages": [{"role": "user", "content": text}]},
        "systemContext": {"channelId": channel},
        "userContext": {"userId": user},
    }


async def ask(
    house: House,
    headers: dict[str, str],
    *,
    user: str = "",
    conversation: str = "c",
    tenant: str = "acme",
) -> tuple[int, dict[str, Any]]:
    path = f"{house.url}/apis/v1/{tenant}/chat/{conversation}/message"
    async with (
        aiohttp.ClientSession() as session,
        session.post(path, json=said(user=user), headers=headers) as response,
    ):
        return response.status, await response.json(content_type=None)


# --- keys -----------------------------------------------------------------------------------------


async def test_keys_are_rotated_by_having_two_for_a_while() -> None:
    async with housed() as house:
        await house.change(tenant("acme", ACME, "lmos_the-next"))
        assert (await ask(house, bearer(ACME)))[0] == 200
        assert (await ask(house, {"x-api-key": "lmos_the-next"}))[0] == 200
        await house.change(tenant("acme", "lmos_the-next"))
        status, body = await ask(house, bearer(ACME))
        assert (status, body["errorCode"]) == (401, "UNAUTHENTICATED")
        assert ACME not in str(body)
        assert (await ask(house, bearer("lmos_the-next")))[0] == 200


async def test_a_change_of_the_store_counts_without_being_told() -> None:
    async with housed() as house:
        await house.store.apply(tenant("acme", "lmos_other"), "test", force=True)
        async with asyncio.timeout(5):
            while (await ask(house, bearer("lmos_other")))[0] != 200:
                await asyncio.sleep(0.01)


async def test_a_key_ends_when_it_says() -> None:
    now = datetime.now(UTC)
    keys = [
        {"sha256": digest("lmos_old"), "expires": now - timedelta(seconds=1)},
        {"sha256": digest("lmos_new"), "expires": now + timedelta(hours=1)},
    ]
    async with housed(tenant("acme").but(spec=tenant("acme").spec.but(
        keys=tuple(ApiKey.model_validate(key) for key in keys)
    ))) as house:  # fmt: skip
        status, body = await ask(house, bearer("lmos_old"))
        assert status == 401
        assert "expired" in body["message"]
        assert (await ask(house, bearer("lmos_new")))[0] == 200


async def test_a_key_of_two_tenants_opens_neither(caplog: pytest.LogCaptureFixture) -> None:
    async with housed(tenant("acme", ACME, "lmos_own"), tenant("globex", ACME)) as house:
        assert (await ask(house, bearer(ACME)))[0] == 401
        assert (await ask(house, bearer("lmos_own")))[0] == 200
    assert "acme and globex" in caplog.text
    assert ACME not in caplog.text


async def test_without_tenants_nobody_gets_in() -> None:
    async with housed() as house:
        for name in ("acme", "globex", "operators"):
            await house.store.delete(tenant(name).key)
        await house.tenants.refresh()
        assert (await ask(house, bearer(ACME)))[0] == 401
        assert (await ask(house, {}))[0] == 401


# --- tokens ---------------------------------------------------------------------------------------


async def trusting_issuer(house: House, **more: Any) -> None:
    """Acme trusts the issuer for the audience `lmos`."""
    issuer = {"issuer": house.issuer.url, "audience": "lmos", **more}
    await house.change(tenant("acme", tokens=[issuer]))


async def test_a_token_speaks_for_its_user_in_its_tenant() -> None:
    async with housed() as house:
        await trusting_issuer(house)
        token = bearer(house.issuer.token("alice", "lmos", groups=["staff"]))
        assert (await ask(house, token, user="somebody-else"))[0] == 200
        user = house.billing.turns[-1].user
        assert user.id == "alice"
        assert user.claims["groups"] == ["staff"]
        assert (await ask(house, token, tenant="globex"))[0] == 403


async def test_keys_of_the_issuer_are_found_and_followed_and_kept() -> None:
    async with housed() as house:
        await trusting_issuer(house)
        for _ in range(3):
            assert (await ask(house, bearer(house.issuer.token("a", "lmos"))))[0] == 200
        assert house.issuer.looked == 1
        house.issuer.rotate()
        (checking,) = house.tenants._tokens.values()
        checking._keys._read_at = float("-inf")  # type: ignore[union-attr]
        assert (await ask(house, bearer(house.issuer.token("a", "lmos"))))[0] == 200
        assert house.issuer.looked == 2


BAD: dict[str, dict[str, Any]] = {
    "expired": {"exp": time.time() - 120},
    "without an end": {"exp": None},
    "not yet": {"nbf": time.time() + 3600},
    "without a user": {"sub": None},
    "other audience": {"aud": "somebody-else"},
    "other issuer": {"iss": "http://127.0.0.1:1"},
    "other tenant": {"tid": "globex"},
}


@pytest.mark.parametrize("what", BAD)
async def test_tokens_that_do_not_count(what: str) -> None:
    async with housed() as house:
        await trusting_issuer(house, tenantClaim="tid")
        good = {"tid": "acme"}
        assert (await ask(house, bearer(house.issuer.token("a", "lmos", **good))))[0] == 200
        bad = house.issuer.token("a", "lmos", **{**good, **BAD[what]})
        assert (await ask(house, bearer(bad)))[0] == 401


async def test_clocks_may_differ_a_little() -> None:
    async with housed() as house:
        await trusting_issuer(house)
        late = house.issuer.token("a", "lmos", exp=time.time() - 10)
        assert (await ask(house, bearer(late)))[0] == 200


async def test_tokens_made_by_others_do_not_count() -> None:
    async with housed() as house:
        await trusting_issuer(house)
        kid = next(iter(house.issuer.keys))
        claims = {"iss": house.issuer.url, "aud": "lmos", "sub": "a", "exp": time.time() + 60}
        forged = [
            jwt.encode(claims, None, "none", headers={"kid": kid}),
            jwt.encode(claims, "a-shared-secret-of-more-than-32-bytes", headers={"kid": kid}),
            "a.b.c",
            "..",
        ]
        house.issuer.rotate()
        forged.append(house.issuer.token("a", "lmos"))
        for token in forged[:4]:
            assert (await ask(house, bearer(token)))[0] == 401, token


async def test_one_issuer_for_two_tenants_tells_them_apart_or_opens_neither(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with housed() as house:
        shared = {"issuer": house.issuer.url, "audience": "lmos"}
        claimed = {**shared, "tenantClaim": "tid"}
        await house.change(tenant("acme", tokens=[claimed]), tenant("globex", tokens=[claimed]))
        token = bearer(house.issuer.token("a", "lmos", tid="globex"))
        assert (await ask(house, token))[0] == 403
        assert (await ask(house, token, tenant="globex"))[0] == 200
        await house.change(tenant("acme", tokens=[shared]), tenant("globex", tokens=[shared]))
        assert (await ask(house, token, tenant="globex"))[0] == 401
    assert "open none of acme, globex" in caplog.text


async def test_an_issuer_that_cannot_be_asked_is_no_reason_to_send_users_away() -> None:
    async with housed() as house:
        gone = {"issuer": "http://127.0.0.1:9", "audience": "lmos"}
        await house.change(tenant("acme", tokens=[gone]))
        token = house.issuer.token("a", "lmos", iss="http://127.0.0.1:9")
        assert (await ask(house, bearer(token)))[0] == 503


# --- a conversation's user ------------------------------------------------------------------------


async def test_a_conversation_is_its_users() -> None:
    async with housed() as house:
        key = bearer(ACME)
        assert (await ask(house, key, user="alice"))[0] == 200
        for other in ("bob", ""):
            status, body = await ask(house, key, user=other)
            assert (status, body["errorCode"]) == (404, "NOT_FOUND")
        decision = f"{house.url}/apis/v1/tenants/acme/channels/web/decision"
        body = {"text": "and last month?", "conversationId": "c"}
        async with (
            aiohttp.ClientSession(headers=key) as session,
            session.post(decision, json=body) as response,
        ):
            assert response.status == 404
        assert (await ask(house, key, user="alice"))[0] == 200
        assert len(house.billing.turns) == 2


async def test_one_that_begins_without_a_user_is_the_first_ones_who_is_known() -> None:
    async with housed() as house:
        key = bearer(ACME)
        for user, status in (("", 200), ("", 200), ("alice", 200), ("", 404), ("bob", 404)):
            assert (await ask(house, key, user=user))[0] == status, user


async def test_tenants_have_conversations_of_the_same_name() -> None:
    async with housed() as house:
        assert (await ask(house, bearer(ACME), user="alice"))[0] == 200
        assert (await ask(house, bearer(GLOBEX), user="bob", tenant="globex"))[0] == 200


# --- limits ---------------------------------------------------------------------------------------


async def test_who_asks_too_much_is_told_when_to_come_back() -> None:
    limits = {"userTurnsPerSecond": 0.1, "userBurst": 2}
    async with housed(tenant("acme", ACME, limits=limits)) as house:
        key = bearer(ACME)
        for number in range(2):
            assert (await ask(house, key, user="a", conversation=str(number)))[0] == 200
        path = f"{house.url}/apis/v1/acme/chat/c/message"
        model = {"model": "acme/web", "messages": [{"role": "user", "content": "my bill"}]}
        async with aiohttp.ClientSession(headers=key) as session:
            async with session.post(path, json=said(user="a")) as response:
                body = await response.json(content_type=None)
                assert (response.status, body["errorCode"]) == (429, "OVERLOADED")
                assert 1 <= int(response.headers["retry-after"]) <= 10
            url, user = f"{house.url}/v1/chat/completions", {"user": "a"}
            async with session.post(url, json=model, headers=user) as response:
                assert (response.status, "retry-after" in response.headers) == (429, True)
        assert (await ask(house, key, user="b", conversation="other"))[0] == 200


async def test_buckets_fill_again() -> None:
    now = [0.0]
    limits = TurnLimits(turns_per_second=2, burst=3, user_turns_per_second=1, user_burst=1)
    rates = Rates(lambda _: limits, clock=lambda: now[0])
    await rates.take("t", "a")
    with pytest.raises(errors.Overloaded, match="this user") as refused:
        await rates.take("t", "a")
    assert refused.value.retry_after == pytest.approx(1)
    await rates.take("t", "b")
    await rates.take("t", "c")
    with pytest.raises(errors.Overloaded, match="tenant t may ask for 2"):
        await rates.take("t", "d")
    await rates.take("other", "a")
    now[0] = 0.5
    await rates.take("t", "d")
    now[0] = 1.0
    await rates.take("t", "a")


async def test_as_many_buckets_as_are_allowed_are_kept() -> None:
    limits = TurnLimits(user_turns_per_second=1)
    rates = Rates(lambda _: limits, clock=lambda: 0.0, buckets=10)
    for number in range(100):
        await rates.take("t", str(number))
    assert len(rates._buckets) == 10


async def test_runtimes_that_share_a_state_count_together() -> None:
    now, state = [1000.0], MemoryState()
    limits = TurnLimits(turns_per_second=10, burst=20)
    runtimes = [SharedRates(lambda _: limits, state, clock=lambda: now[0]) for _ in range(3)]

    async def asked(times: int) -> int:
        """How many of the turns are let in, the runtimes taking them by turns."""
        admitted = 0
        for number in range(times):
            with contextlib.suppress(errors.Overloaded):
                await runtimes[number % 3].take("t", "")
                admitted += 1
        return admitted

    assert await asked(90) == 20
    with pytest.raises(errors.Overloaded) as refused:
        await runtimes[0].take("t", "")
    assert 0 < refused.value.retry_after <= 0.2
    now[0] += 1
    assert await asked(90) == 10
    now[0] += 100
    assert await asked(90) == 20


async def test_where_the_state_is_away_each_counts_for_itself(tmp_path: Path) -> None:
    limits = TurnLimits(turns_per_second=0.001, burst=2)
    rates = SharedRates(lambda _: limits, open_state("redis://127.0.0.1:9/0"))
    await rates.take("t", "")
    await rates.take("t", "")
    with pytest.raises(errors.Overloaded):
        await rates.take("t", "")


# --- what agents are told -------------------------------------------------------------------------


async def test_agents_are_told_who_the_user_is_signed_for_them_alone() -> None:
    async with housed() as house:
        await trusting_issuer(house)
        seen: list[str] = []
        house.supervisor._asking._connect = _overhearing(house.supervisor._asking._connect, seen)
        token = bearer(house.issuer.token("alice", "lmos", groups=["staff"]))
        assert (await ask(house, token))[0] == 200
        (statement,) = seen
        keys = house.url + JWKS
        checking = Tokens(jwks_url=keys, issuer="lmos-runtime", audience="billing")
        claims = await checking.claims(statement)
        assert claims["sub"] == "alice"
        assert (claims["tenant"], claims["channel"], claims["verified"]) == ("acme", "web", True)
        assert claims["groups"] == ["staff"]
        assert claims["iss"] == "lmos-runtime"
        other = Tokens(jwks_url=keys, issuer="lmos-runtime", audience="orders")
        with pytest.raises(errors.Unauthenticated, match="audience"):
            await other.claims(statement)


async def test_an_agent_that_trusts_the_runtime_lets_nobody_else_in() -> None:
    contexts: list[Context] = []
    agent: Agent[Any, Any] = Agent(name="billing", model=ScriptedModel("ok", "ok").model)

    @agent.input_filter
    def keep(ctx: Context, text: str) -> str:
        contexts.append(ctx)
        return text

    async with housed() as house:
        trusting_it = ServingSettings(auth=trusting(house.url, "billing"))
        async with served(serving_app(agent, trusting_it)) as url:
            await trusting_issuer(house)
            billing = agent_of("billing", url, BILL)
            await house.store.patch_status(billing)
            await house.supervisor.routings.refresh()
            token = bearer(house.issuer.token("alice", "lmos", groups=["staff"]))
            assert (await ask(house, token))[0] == 200
            house.billing.turns.clear()
            forged = house.issuer.token("boss", "billing", iss="lmos-runtime")
            other = Signer().statement(turn_of("hi"), "billing")
            replayed = house.signer.statement(turn_of("hi"), "orders")
            path = f"{url}/v1/chat/completions"
            body = {"model": "billing", "messages": [{"role": "user", "content": "hi"}]}
            async with aiohttp.ClientSession() as session:
                for headers in ({}, bearer(forged), bearer(other), bearer(replayed), bearer(ACME)):
                    async with session.post(path, json=body, headers=headers) as response:
                        assert response.status == 401
    (ctx,) = contexts
    assert ctx.user.id == "alice"
    assert (ctx.user.claims["tenant"], ctx.user.claims["verified"]) == ("acme", True)
    assert ctx.user.claims["groups"] == ["staff"]


def _overhearing(connect: Any, seen: list[str]) -> Any:
    def connected(address: Any) -> Any:
        def respond(turn: Any) -> Any:
            seen.append(turn.authorization)
            return connect(address)(turn)

        return respond

    return connected


def test_statements_are_used_again_while_they_are_fresh() -> None:
    now = [1000.0]
    signer, turn = Signer(clock=lambda: now[0]), turn_of("hi")
    first = signer.statement(turn, "billing")
    now[0] = 1060.0
    assert signer.statement(turn, "billing") == first
    assert signer.statement(turn, "orders") != first
    now[0] = 1200.0
    assert signer.statement(turn, "billing") != first


async def test_what_a_caller_says_that_it_was_verified_is_not_believed() -> None:
    """Neither with a key nor where everybody may ask."""
    carried = {
        "tenant": "acme", "channel": "web", "conversationId": "c", "turnId": "t",
        "messages": [{"role": "user", "content": "my bill"}],
        "user": {"id": "boss", "claims": {"groups": ["root"]}}, "authorization": "forged",
    }  # fmt: skip
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "my bill"}]}
    message["metadata"] = {"urn:lmos:a2a:turn:1": {"turn": carried}}
    async with housed() as house:
        open_to_all: Starlette = app.application(app.routes(house.supervisor))
        async with served(open_to_all) as anybody:
            for url, headers in ((house.url, bearer(ACME)), (anybody, {})):
                path = f"{url}/a2a/acme/web/a2a/message:send"
                carried["turnId"] = url  # a turn that was answered before is not answered again
                async with (
                    aiohttp.ClientSession(headers=headers) as session,
                    session.post(path, json={"message": message}) as response,
                ):
                    assert response.status == 200
        for turn in house.billing.turns:
            assert not turn.user.claims
            assert turn.authorization != "forged"
        assert len(house.billing.turns) == 2


# --- users with tokens ----------------------------------------------------------------------------


async def test_a_user_reaches_what_is_the_users_own_and_no_more() -> None:
    """What is for applications of the tenant, which have a key, is not for its users."""
    async with housed() as house:
        await trusting_issuer(house)
        alice, bob = (bearer(house.issuer.token(name, "lmos")) for name in ("alice", "bob"))
        for user, conversation in ((alice, "a"), (bob, "b")):
            assert (await ask(house, user, conversation=conversation))[0] == 200
        web = "?channel=web"
        expected = {
            f"conversations/a{web}": 200,
            f"conversations/b{web}": 404,
            f"conversations/none{web}": 404,
            "conversations/a": 403,
            f"conversations/a{web}&channel=ivr": 403,
            "conversations": 403,
            "conversations?user=bob": 403,
            "conversations?user=alice&user=bob": 403,
            "conversations?user=alice": 200,
            "decisions": 403,
            f"conversations/a/memory{web}": 403,
            "users/alice/memory": 403,
            "memory": 403,
            f"conversations/b/turns/t{web}": 404,
        }
        found = {}
        async with aiohttp.ClientSession(headers=alice) as session:
            for path in expected:
                async with session.get(f"{house.url}/apis/v1/acme/{path}") as response:
                    found[path] = response.status
            path = f"{house.url}/apis/v1/acme/conversations/b{web}"
            async with session.delete(path) as response:
                assert response.status == 404
        assert found == expected
        assert (await ask(house, bob, conversation="b"))[0] == 200
