"""Our scripted model following the work's script, for all who speak pydantic-ai's model layer."""

import work

from lmos.llm.scripted import Call, Reply, Request, ScriptedModel


def scripted(kind: str) -> ScriptedModel:
    def reply(request: Request) -> Reply:
        calls = work.wanted(kind, len(request.results))
        return tuple(Call(work.TOOL, arguments) for arguments in calls) or work.ANSWER

    return ScriptedModel(reply, keep=0)
