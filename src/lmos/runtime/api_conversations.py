"""Conversations, their turns and feedback over HTTP. Each tenant's own, below its name:

GET    /apis/v1/{tenant}/conversations?user=&limit=&after=           the newest first, page by page
GET    /apis/v1/{tenant}/conversations/{id}?channel=                 what was said, and its turns
DELETE /apis/v1/{tenant}/conversations/{id}?channel=                 all that is kept of it
GET    /apis/v1/{tenant}/conversations/{id}/turns/{turn}?channel=    how a turn was decided
POST   /apis/v1/{tenant}/conversations/{id}/turns/{turn}/feedback    {rating, agent, comment}
GET    /apis/v1/{tenant}/decisions?since=&channel=&limit=&after=     the log, newest first

Without a channel a conversation is looked for on every channel of the tenant.
"""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lmos.model import DecisionRecord, Feedback, errors
from lmos.protocols import http, limits
from lmos.runtime.conversations import Conversations
from lmos.runtime.supervisor import Supervisor

TENANT = "/apis/v1/{tenant}"
CONVERSATION = TENANT + "/conversations/{conversation}"
TURN = CONVERSATION + "/turns/{turn}"
#: Entries of a page where the caller does not say, and at most.
PAGE, MAX_PAGE = 50, 200
#: Turns of the log that are looked at for one page.
MAX_LOOKED_AT = 5_000


def routes(supervisor: Supervisor) -> list[Route]:
    """The routes of this module."""
    conversations = Conversations(supervisor.state, supervisor.log, supervisor.alone)
    api = _Api(supervisor, conversations)
    return [
        Route(TENANT + "/conversations", api.list, methods=["GET"]),
        Route(CONVERSATION, api.show, methods=["GET"]),
        Route(CONVERSATION, api.delete, methods=["DELETE"]),
        Route(TURN, api.turn, methods=["GET"]),
        Route(TURN + "/feedback", api.judge, methods=["POST"]),
        Route(TENANT + "/decisions", api.decisions, methods=["GET"]),
    ]


#: Names of channels.
Names = list[str]


class _Api:
    def __init__(self, supervisor: Supervisor, conversations: Conversations) -> None:
        self._routings = supervisor.routings
        self._recorder = supervisor.recorder
        self._log = supervisor.log
        self._conversations = conversations

    async def list(self, request: Request) -> Response:
        await self._recorder.written()
        tenant, after = _name(request, "tenant"), request.query_params.get("after", "")
        limit = _limit(request)
        if (user := request.query_params.get("user")) is not None:
            page, rest = await self._conversations.of_user(tenant, user, limit, after)
        else:
            page, rest = await self._conversations.newest(tenant, limit, after)
        return _page("conversations", [found.summary() for found in page], rest)

    async def show(self, request: Request) -> Response:
        await self._recorder.written()
        tenant, conversation = _name(request, "tenant"), _name(request, "conversation")
        channels = await self._channels(request)
        found = await self._conversations.find(tenant, conversation, channels)
        kept = await self._log.of_conversation(tenant, found.channel, conversation)
        told = {
            **found.summary(),
            "summary": found.past.summary,
            "messages": [message.wire() for message in found.messages()],
            "turns": [_turn(record) for _, record in kept],
        }
        return http.json_response(told)

    async def delete(self, request: Request) -> Response:
        await self._recorder.written()
        tenant, conversation = _name(request, "tenant"), _name(request, "conversation")
        channels = await self._channels(request)
        if not await self._conversations.delete(tenant, conversation, channels):
            raise errors.NotFound(f"there is no conversation {conversation!r} of tenant {tenant!r}")
        return Response(status_code=204)

    async def turn(self, request: Request) -> Response:
        _, record = await self._found(request)
        return http.json_response(record.wire())

    async def judge(self, request: Request) -> Response:
        feedback = limits.parsed(Feedback, await http.read_json(request))
        if not feedback.rating and not feedback.agent and not feedback.comment:
            raise errors.InvalidInput(
                "the feedback says nothing; give a rating (-1, 0 or 1), the agent that should have "
                "been asked, or a comment"
            )
        record = await self._log.judge(await self._found(request), feedback)
        return http.json_response(record.wire())

    async def decisions(self, request: Request) -> Response:
        await self._recorder.written()
        tenant, query = _name(request, "tenant"), request.query_params
        since, channel, limit = _since(query.get("since")), query.get("channel"), _limit(request)
        page: list[dict[str, Any]] = []
        looked_at = 0
        async for pointer in self._log.turns(tenant, query.get("after", "")):
            if pointer.stamp < since:
                break
            looked_at += 1
            if channel in (None, pointer.channel) and (record := await self._log.record(pointer)):
                page.append(record.wire())
            if len(page) == limit or looked_at == MAX_LOOKED_AT:
                return _page("decisions", page, pointer.cursor)
        return _page("decisions", page, None)

    async def _found(self, request: Request) -> tuple[str, DecisionRecord]:
        """The record of the turn that the path names, and where it is."""
        await self._recorder.written()
        tenant, conversation = _name(request, "tenant"), _name(request, "conversation")
        channels = await self._channels(request)
        return await self._log.find(tenant, conversation, _name(request, "turn"), channels)

    async def _channels(self, request: Request) -> Names:
        """The channel asked for, or all that the tenant has or had."""
        if channel := request.query_params.get("channel"):
            return [limits.check_name("channel", channel)]
        tenant = _name(request, "tenant")
        return sorted({*self._routings.channels(tenant), *await self._log.channels(tenant)})


def _name(request: Request, what: str) -> str:
    return limits.check_name(what, request.path_params[what])


def _limit(request: Request) -> int:
    said = request.query_params.get("limit", str(PAGE))
    if not said.isdecimal() or not 1 <= int(said[:9]) <= MAX_PAGE:
        raise errors.InvalidInput(f"limit is {said[:20]!r}; give a number from 1 to {MAX_PAGE}")
    return int(said)


def _since(said: str | None) -> str:
    """The stamp of the moment, as the index has it."""
    if said is None:
        return ""
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        raise errors.InvalidInput(
            f"since is {said[:40]!r}; give a moment such as 2026-11-25T09:00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return f"{max(0, int(moment.timestamp() * 1e6)):017d}"


def _page(what: str, items: list[dict[str, Any]], rest: str | None) -> Response:
    return http.json_response({what: items} | ({"next": rest} if rest else {}))


def _turn(record: DecisionRecord) -> dict[str, Any]:
    """What a conversation tells of one of its turns."""
    decision = record.decision
    told = {
        "turnId": record.turn_id,
        "at": record.at.isoformat(),
        "outcome": decision.outcome,
        "confidence": decision.confidence,
        "agents": [asked.agent for asked in record.asked],
        "ended": record.ended,
    }
    return told | ({"feedback": record.feedback.wire()} if record.feedback else {})
