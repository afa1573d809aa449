"""Keys and tokens: who gets in, what is believed of them, and what everybody may see."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import jwt
import openai as official
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from serving_parts import KEY, Knowing, served, talker
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmos.arc.serving import Settings
from lmos.model import errors
from lmos.protocols import http, tokens
from lmos.protocols.auth import Auth
from lmos.protocols.tokens import Tokens

SECRET = "a-shared-secret-of-more-than-32-bytes"
BODY = {"model": "knowing", "messages": [{"role": "user", "content": "hi"}]}
PRIVATE = [generate_private_key(65537, 2048) for _ in range(2)]


def pem(key: RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def token(key: Any = SECRET, algorithm: str = "HS256", kid: str = "", **claims: Any) -> str:
    given = {"sub": "u-1", "exp": time.time() + 60, **claims}
    said = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(said, key, algorithm, headers={"kid": kid} if kid else None)


def signed(number: int = 0, **claims: Any) -> str:
    return token(PRIVATE[number], "RS256", f"key-{number}", **claims)


@asynccontextmanager
async def guarded(auth: Auth) -> AsyncGenerator[tuple[str, Knowing], None]:
    knowing = Knowing()
    async with served(knowing.agent, Settings(auth=auth)) as url:
        yield url, knowing


async def ask(url: str, **headers: str) -> tuple[int, dict[str, Any], Any]:
    async with http.session().post(
        f"{url}/v1/chat/completions", json=BODY, headers=headers
    ) as response:
        return response.status, await response.json(content_type=None), response.headers


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


# --- keys -----------------------------------------------------------------------------------------


async def test_a_key_opens_in_either_header() -> None:
    async with guarded(Auth(keys=["another", KEY])) as (url, knowing):
        status, body, headers = await ask(url)
        assert (status, body["errorCode"]) == (401, "UNAUTHENTICATED")
        assert "Authorization: Bearer KEY" in body["message"]
        assert headers["www-authenticate"] == "Bearer"
        for wrong in (bearer("guess"), bearer(KEY[:-1]), {"X-API-Key": "no"}, bearer("")):
            status, body, _ = await ask(url, **wrong)
            assert status == 401
            assert "guess" not in json.dumps(body)
        for right in (bearer(KEY), bearer("another"), {"X-API-Key": KEY}):
            assert (await ask(url, user="u-7", **right))[0] == 200
    assert {ctx.user.id for ctx in knowing.contexts} == {"u-7"}  # a service says for whom it asks


async def test_what_is_open_is_open_and_nothing_else() -> None:
    async with guarded(Auth(keys=[KEY])) as (url, _):
        statuses = {}
        for path in (
            *("/health", "/health/live", "/health/ready"),
            *("/.well-known/agent-card.json", "/.well-known/agent.json"),
            "/.well-known/capabilities.json",
            *("/v1/models", "/agents", "/a2a/tasks/1", "/metrics", "/nothing"),
            "/v1/models/.well-known/agent.json",
        ):
            async with http.session().get(url + path) as response:
                statuses[path] = response.status
        async with http.session().get(f"{url}/.well-known/agent-card.json") as response:
            card = await response.json()
    assert {p for p, status in statuses.items() if status != 401} == {
        *("/health", "/health/live", "/health/ready"),
        *("/.well-known/agent-card.json", "/.well-known/agent.json"),
        "/.well-known/capabilities.json",
    }
    assert set(card["securitySchemes"]) == {"apiKey", "bearer"}


async def test_the_official_openai_client_sends_its_key() -> None:
    async with served(talker(), Settings(auth=Auth(keys=[KEY]))) as url:
        async with official.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as client:
            assert (await client.responses.create(model="talker", input="x")).output_text
        async with official.AsyncOpenAI(base_url=f"{url}/v1", api_key="wrong") as client:
            with pytest.raises(official.AuthenticationError, match="not known here"):
                await client.responses.create(model="talker", input="x")


@pytest.mark.parametrize("extension", [True, False])
async def test_a_websocket_is_refused_at_the_handshake(extension: bool) -> None:
    """The guard itself, as no protocol over WebSocket may be installed."""
    from lmos.protocols.auth import Guard

    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the guard let it through")

    sent: list[dict[str, Any]] = []
    scope = {"type": "websocket", "path": "/subscriptions", "headers": []}
    if extension:
        scope["extensions"] = {"websocket.http.response": {}}

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await Guard(never, Auth(keys=[KEY]))(scope, receive, send)  # type: ignore[arg-type]
    if extension:
        assert sent[0]["status"] == 401
    else:
        assert (sent[0]["type"], sent[0]["code"]) == ("websocket.close", 1008)


# --- tokens ---------------------------------------------------------------------------------------


async def test_verified_claims_reach_the_agent_and_win() -> None:
    auth = Auth(tokens=Tokens(secret=SECRET, issuer="us", audience="agents"))
    async with guarded(auth) as (url, knowing):
        given = bearer(token(iss="us", aud="agents", groups=["staff"]))
        assert (await ask(url, user="somebody-else", **given))[0] == 200
        metadata = {"turn": {"conversationId": "c", "turnId": "t", "messages": [
            {"role": "user", "content": "hi"}], "user": {"id": "boss", "claims": {"groups": ["root"]}}}}  # fmt: skip  # noqa: E501
        message = {
            "messageId": "m",
            "role": "ROLE_USER",
            "parts": [{"text": "hi"}],
            "metadata": {"urn:lmos:a2a:turn:1": metadata},
        }
        async with http.session().post(
            f"{url}/a2a/message:send", json={"message": message}, headers=given
        ) as response:
            assert response.status == 200
    for ctx in knowing.contexts:
        assert ctx.user.id == "u-1"
        assert ctx.user.claims["groups"] == ["staff"]
    assert len(knowing.contexts) == 2


async def test_a_service_may_say_for_whom_it_asks_where_that_is_set() -> None:
    auth = Auth(tokens=Tokens(secret=SECRET), user_claim="")
    async with guarded(auth) as (url, knowing):
        assert (await ask(url, user="u-7", **bearer(token(sub="runtime"))))[0] == 200
    assert knowing.contexts[0].user.id == "u-7"
    assert knowing.contexts[0].user.claims["sub"] == "runtime"


def none_token() -> str:
    return jwt.encode({"sub": "u", "exp": time.time() + 60}, None, "none")


BAD = {
    "expired": (lambda: token(exp=time.time() - 120), "has expired"),
    "without an end": (lambda: token(exp=None), "not complete"),
    "not yet": (lambda: token(nbf=time.time() + 120), "not valid yet"),
    "other secret": (lambda: token("another-secret-of-more-than-32-bytes!"), "does not fit"),
    "other issuer": (lambda: token(iss="them"), "issuer"),
    "other audience": (lambda: token(iss="us", aud="else"), "audience"),
    "unsigned": (none_token, "not accepted"),
    "no token": (lambda: "abc.def.ghi", "neither a key"),
    "signed by a key": (lambda: signed(iss="us", aud="agents"), "not accepted"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_token_is_told_why(case: str) -> None:
    make, words = BAD[case]
    bad = make()
    auth = Auth(tokens=Tokens(secret=SECRET, issuer="us", audience="agents"))
    with pytest.raises(errors.Unauthenticated, match=words) as refused:
        await auth.check({"authorization": f"Bearer {bad}"})
    assert bad not in refused.value.message


async def test_a_missing_scope_is_forbidden() -> None:
    auth = Auth(tokens=Tokens(secret=SECRET, scopes=["agents:ask"]))
    async with guarded(auth) as (url, _):
        status, body, _ = await ask(url, **bearer(token(scope="profile agents:read")))
        assert (status, body["errorCode"]) == (403, "FORBIDDEN")
        assert "agents:ask" in body["message"]
        assert (await ask(url, **bearer(token(scope="agents:ask profile"))))[0] == 200
        assert (await ask(url, **bearer(token(scp=["agents:ask"]))))[0] == 200


async def test_a_public_key_verifies_and_is_no_secret() -> None:
    auth = Auth(tokens=Tokens(public_key=pem(PRIVATE[0])))
    assert (await auth.check({"authorization": f"Bearer {signed()}"})).user_id == "u-1"
    with pytest.raises(errors.Unauthenticated, match="does not fit"):
        await auth.check({"authorization": f"Bearer {signed(1)}"})
    forged = _hs256_with(pem(PRIVATE[0]))
    with pytest.raises(errors.Unauthenticated, match="not accepted"):
        await auth.check({"authorization": f"Bearer {forged}"})


def _hs256_with(public: str) -> str:
    """The classic forgery: the public key, known to all, used as if it were a shared secret."""
    import base64
    import hmac

    def part(data: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=")

    head = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"sub": "u", "exp": 4e9})
    mac = hmac.digest(public.encode(), head, "sha256")
    return (head + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


# --- key sets -------------------------------------------------------------------------------------


class KeySet:
    """A real server of keys, which can change them and fail."""

    def __init__(self) -> None:
        self.numbers = [0]
        self.reads = 0
        self.failing = False
        self.app = Starlette(routes=[Route("/jwks", self.get)])

    async def get(self, request: Any) -> Response:
        self.reads += 1
        if self.failing:
            return Response(status_code=500)
        from jwt.algorithms import RSAAlgorithm

        keys = [
            {
                **RSAAlgorithm.to_jwk(PRIVATE[n].public_key(), as_dict=True),
                "kid": f"key-{n}",
                "use": "sig",
                "alg": "RS256",
            }
            for n in self.numbers
        ]
        return JSONResponse({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}, *keys]})


@asynccontextmanager
async def key_server() -> AsyncGenerator[tuple[KeySet, Tokens], None]:
    from serving_parts import serving_app

    keys = KeySet()
    async with serving_app(keys.app) as url:
        yield keys, Tokens(jwks_url=f"{url}/jwks")
    await http.close_session()


async def test_a_key_set_is_read_once_and_again_for_a_new_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with key_server() as (keys, found):
        for _ in range(3):
            assert (await found.claims(signed()))["sub"] == "u-1"
        assert keys.reads == 1
        keys.numbers = [1]  # rotated
        with pytest.raises(errors.Unauthenticated, match="key that is not known"):
            await found.claims(signed(1))
        assert keys.reads == 1  # made-up keys cannot make us ask all the time
        monkeypatch.setattr(tokens, "AGAIN", 0.0)
        assert (await found.claims(signed(1)))["sub"] == "u-1"
        with pytest.raises(errors.Unauthenticated):
            await found.claims(signed(0))


async def test_keys_stay_good_while_the_set_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with key_server() as (keys, found):
        keys.failing = True
        with pytest.raises(errors.AgentFailed, match="key set"):  # not the caller's fault: no 401
            await found.claims(signed())
        keys.failing = False
        await found.claims(signed())
        monkeypatch.setattr(tokens, "KEPT", 0.0)
        keys.failing = True
        secret = signed()
        assert (await found.claims(secret))["sub"] == "u-1"
    assert "stay in use" in caplog.text
    assert secret not in caplog.text


async def test_who_waits_for_the_key_set_waits_once() -> None:
    import asyncio

    async with key_server() as (keys, found):
        await asyncio.gather(*(found.claims(signed()) for _ in range(20)))
        assert keys.reads == 1


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Auth(), "neither"),
        (lambda: Auth(keys=["", "x"]), "empty"),
        (lambda: Tokens(), "exactly one"),
        (lambda: Tokens(secret=SECRET, jwks_url="http://x"), "exactly one"),
        (lambda: Tokens(secret="short"), "5 bytes; HS256 needs 32"),
        (lambda: Tokens(public_key="no pem"), "cannot be read as PEM"),
    ],
)
def test_settings_that_cannot_work_are_refused(make: Any, words: str) -> None:
    with pytest.raises(errors.InvalidInput, match=words):
        make()


async def test_two_tokens_holders_cannot_see_each_others_tasks() -> None:
    async with guarded(Auth(tokens=Tokens(secret=SECRET))) as (url, _):
        mine, theirs = bearer(token(sub="me")), bearer(token(sub="them"))
        message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
        session: aiohttp.ClientSession = http.session()
        async with session.post(
            f"{url}/a2a/message:send", json={"message": message}, headers=mine
        ) as response:
            task = (await response.json(content_type=None))["task"]["id"]
        statuses = []
        for headers in (mine, theirs):
            async with session.get(f"{url}/a2a/tasks/{task}", headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [200, 404]
