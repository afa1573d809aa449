"""Ready-made filters, one concern a module.

On the way in:
    Anonymizer           keeps private values from the model; its `.restored` puts them back
    HackingDetector      ends a turn that attacks the agent
    Rephraser            makes a follow-up stand alone
    Admit                lets a percentage of the conversations in
On the way out:
    HallucinationCheck   holds back values that come from nowhere
    UnresolvedDetector   a text of one's own where there is no answer
    StaticResponse       a quoted solution is said as it stands
    MustSentences        what the solution says the answer MUST do, it does
    AskSentences         what the solution says to ASK is asked
    SolutionCompliance   an answer that is far from the solution is tried again
    AskOnce              what the user has said already is not asked again
    ApplyModel           a language model rewrites the answer
    ForVoice             fit to be read aloud
    ReturnUseCaseId      the use case before the text, for evaluations
Either way:
    Replace, Remove      texts and patterns

A filter is a function of the context and the text, sync or not. It gives the new text, None to keep
it or "" to remove it, and steers the turn with signals. `window = "sentence"` says that an output
filter reads sentences one at a time, so that the answer streams; see `lmos.arc.windows`.
"""

from lmos.arc.filters.admitting import Admit
from lmos.arc.filters.anonymizer import Anonymizer
from lmos.arc.filters.complying import AskOnce, SolutionCompliance
from lmos.arc.filters.detecting import HackingDetector, UnresolvedDetector
from lmos.arc.filters.disguise import Disguise
from lmos.arc.filters.hallucination import HallucinationCheck
from lmos.arc.filters.rewriting import ApplyModel, Remove, Rephraser, Replace
from lmos.arc.filters.solutions import (
    AskSentences,
    MustSentences,
    ReturnUseCaseId,
    StaticResponse,
)
from lmos.arc.filters.speaking import ForVoice

__all__ = [
    "Admit",
    "Anonymizer",
    "ApplyModel",
    "AskOnce",
    "AskSentences",
    "Disguise",
    "ForVoice",
    "HackingDetector",
    "HallucinationCheck",
    "MustSentences",
    "Remove",
    "Rephraser",
    "Replace",
    "ReturnUseCaseId",
    "SolutionCompliance",
    "StaticResponse",
    "UnresolvedDetector",
]
