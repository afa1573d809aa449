"""Telling a message that continues a conversation from one that stands alone, by its form.

A follow-up leaves out what was said before ("and the month before?", "why?", "the second one",
"12345", "yes please"). Its form alone does not decide: the router weighs it against what the
message says by itself.
"""

import re
from typing import Literal

Form = Literal["whole", "referring", "elliptic", "social", "unknown"]

_SOCIAL = re.compile(
    r"(hi|hello|hey|good (morning|evening|afternoon|day)|howdy|greetings|thanks?( you)?( a lot"
    r"| so much| very much)?|thx|ty|cheers|bye|goodbye|see you|great|perfect|nice|cool|awesome"
    r"|how are you"
    r"( doing)?( today)?)([ ,!.]+(there|all|again|thanks?|thank you|bye|everyone|team))*",
)
_CONTINUES = re.compile(
    r"(and|but|or|also|then|so|what about|how about|what if|why|how come|since when|until when"
    r"|yes|yeah|yep|sure|ok|okay|no|nope|not|correct|exactly|right|please do|go ahead|do it"
    r"|same|the same|another|the other|the (first|second|third|last|next|previous) )\b.*"
)
_REFERS = re.compile(
    r"\b(it|its|that|this|those|these|them|they|he|she|one|ones|there|then|instead|again|too|either)\b"
)
_CODE = re.compile(r"[\w-]*\d[\w-]*")
_SHORT = 3
#: Words that join a sentence to what was said, and how many with them can leave something out.
_JOINING = frozenset(["and", "but", "also", "so", "then", "ok", "okay", "or"])
_WHOLE = 5


def form_of(text: str) -> Form:
    """The form of a message: `social` (greeting, thanks), `elliptic` (cannot stand alone),
    `referring` (a sentence that points back), `whole`, or `unknown` where it is in another language
    than English, for whose follow-ups there are no words here.
    """
    plain = re.sub(r"[^\w\s'-]", " ", text.lower()).strip()
    words = plain.split()
    joined = " ".join(words)
    if _is_foreign(words):
        return "unknown"
    if _SOCIAL.fullmatch(joined):
        return "social"
    if len(words) <= _SHORT and not _is_request(words) and not _is_question(words):
        return "elliptic"
    if words and words[0] in _JOINING and len(words) > _WHOLE:
        return form_of(" ".join(words[1:]))
    if _CONTINUES.fullmatch(joined) and len(words) <= 9:
        return "elliptic"
    if len(words) <= 5 and all(_CODE.fullmatch(w) or len(w) <= 3 for w in words):
        return "elliptic"
    return "referring" if _REFERS.search(joined) else "whole"


_OPENERS = frozenset(
    """
    and but or so why when where who which what how the a in for at on to from with by of last next
    yes no ok okay sure tomorrow today yesterday per via until since only just also not my all first
    second third previous latest
    """.split()  # noqa: SIM905  (a list this long reads better as words)
)


#: Frequent words of German, French, Spanish, Italian, Dutch, Portuguese, Polish and Turkish that
#: are no English ones.
_FOREIGN = frozenset(
    """
    und der das ist ich nicht wie wo wann warum wer mit für von auf ein eine einen mein meine meinen
    kann bitte ja nein danke noch auch dann davor danach et le la les est je ne pas comment où quand
    pourquoi avec pour une mon ma puis merci oui non aussi avant el los las es por qué cómo dónde
    cuándo quién para un mi puedo gracias sí también antes il lo gli dove quando perché mio mia
    grazie anche het een mijn waar wanneer waarom hoe dank ook não onde meu minha obrigado também
    jest nie jak gdzie kiedy mój moja proszę tak bir nasıl nerede benim lütfen evet hayır
    """.split()  # noqa: SIM905  (a list this long reads better as words)
)


def _is_foreign(words: list[str]) -> bool:
    """Whether a message is in another language, as far as its script or frequent words tell."""
    letters = [letter for word in words for letter in word if letter.isalpha()]
    if letters and sum(letter > "\u024f" for letter in letters) * 2 > len(letters):
        return True
    told = sum(word in _FOREIGN for word in words)
    return told > 0 and told >= sum(word in _OPENERS or bool(_REFERS.match(word)) for word in words)


def _is_question(words: list[str]) -> bool:
    """Whether three words are a whole question ("who wrote Hamlet")."""
    return len(words) == _SHORT and words[0] in ("who", "what", "where", "when", "which", "how")


def _is_request(words: list[str]) -> bool:
    """Whether even so few words say what is wanted ("show bill", "cancel contract")."""
    has_code = any(_CODE.fullmatch(word) for word in words)
    return len(words) >= 2 and words[0] not in _OPENERS and not has_code
