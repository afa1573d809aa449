"""Google ADK with its session service in memory: it keeps each conversation."""

import logging
import warnings

import work

warnings.simplefilter("ignore")

from google.adk.agents import LlmAgent, RunConfig  # noqa: E402
from google.adk.agents.run_config import StreamingMode  # noqa: E402
from google.adk.models import BaseLlm, LlmResponse  # noqa: E402
from google.adk.runners import Runner  # noqa: E402
from google.adk.sessions import InMemorySessionService  # noqa: E402
from google.genai import types  # noqa: E402

logging.disable(logging.CRITICAL)
sessions = InMemorySessionService()
_made: list[str] = []


class Scripted(BaseLlm):
    script: str

    async def generate_content_async(self, llm_request, stream=False):
        contents = llm_request.contents
        last = max(n for n, c in enumerate(contents) if any(p.text == work.TEXT for p in c.parts))
        told = sum(bool(p.function_response) for c in contents[last:] for p in c.parts)
        calls = work.wanted(self.script, told)
        if calls:
            parts = [
                types.Part(
                    function_call=types.FunctionCall(
                        name=work.TOOL, args=arguments, id=f"call-{told}-{n}"
                    )
                )
                for n, arguments in enumerate(calls)
            ]
            yield LlmResponse(content=types.Content(role="model", parts=parts))
            return
        for word in work.words(work.ANSWER) if stream else ():
            part = types.Content(role="model", parts=[types.Part(text=word)])
            yield LlmResponse(content=part, partial=True)
        whole = types.Content(role="model", parts=[types.Part(text=work.ANSWER)])
        yield LlmResponse(content=whole, partial=False if stream else None)


def made(kind):
    agent = LlmAgent(
        name="bills",
        model=Scripted(model="scripted", script=kind),
        instruction=work.INSTRUCTIONS,
        tools=[work.get_bill],
    )
    app = f"bench_{kind}"
    runner = Runner(agent=agent, app_name=app, session_service=sessions)

    async def turn(conversation, streamed):
        session = await sessions.create_session(app_name=app, user_id="u")
        _made[:] = [app, session.id]
        mode = StreamingMode.SSE if streamed else StreamingMode.NONE
        text = ""
        async for event in runner.run_async(
            user_id="u",
            session_id=session.id,
            new_message=types.Content(role="user", parts=[types.Part(text=work.TEXT)]),
            run_config=RunConfig(streaming_mode=mode),
        ):
            if event.is_final_response() and not event.partial:
                text = event.content.parts[0].text
        return text

    return turn


async def ended():
    """Forgets the newest session; they would grow without end."""
    await sessions.delete_session(app_name=_made[0], user_id="u", session_id=_made[1])
