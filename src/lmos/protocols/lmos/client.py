"""The platform at a URL as a responder; what commands and applications in Python talk to."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import quote

from lmos.model import TERMINAL, Responder, Turn, TurnEvent
from lmos.model.errors import LmosError, code_to_error
from lmos.protocols import calls, http, sse
from lmos.protocols.answering import answered
from lmos.protocols.lmos import codec


def responder(base_url: str) -> Responder:
    """Answers turns by asking the platform at the URL, with its errors as they are there."""
    base = base_url.rstrip("/")
    who = f"the platform at {base}"

    async def ask(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        url = f"{base}/apis/v1/{quote(turn.tenant, '')}/chat/{quote(turn.conversation_id, '')}"
        async with (
            calls.request(
                "POST",
                f"{url}/message",
                who=who,
                body=codec.conversation_of(turn).wire(),
                headers=_headers(turn),
                refused=platform_error,
            ) as response,
            aclosing(sse.parse(response.content.iter_any())) as events,
        ):
            async for event in events:
                found = codec.event_of(event)
                if isinstance(found, TERMINAL):
                    await calls.finish(response)
                if found is not None:
                    yield found

    def respond(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
        return answered(ask, turn)

    return respond


def _headers(turn: Turn) -> dict[str, str]:
    return {
        "accept": calls.EVENT_STREAM,
        "x-turn-id": turn.turn_id,
        **calls.turn_headers(turn),
    }


def platform_error(refusal: calls.Refusal) -> LmosError:
    """The error that the platform meant, by its `errorCode`."""
    code, details = http.problem_code(refusal.body), refusal.body.get("details")
    if not code:
        return calls.agent_error(refusal)
    return code_to_error(code).rebuilt(
        refusal.message, details if isinstance(details, dict) else {}
    )
