"""The work of a turn that every framework is given: the same words, the same tool, the same script.

The model's script follows from how many results it has been told in the turn, so that turns may run
side by side: plain answers at once, one calls the tool once, five calls it five times together,
five_rounds five times one after the other.
"""

from typing import Any

#: For each kind of turn the calls of every round before the answer.
ROUNDS: dict[str, tuple[int, ...]] = {
    "plain": (),
    "one": (1,),
    "five": (5,),
    "five_rounds": (1, 1, 1, 1, 1),
}
INSTRUCTIONS = "You answer questions about bills. Be brief."
TEXT = "How much do I owe you, and when is it due?"
ANSWER = "Your latest bill is 42.50 EUR and it is due on the first of December 2026."
TOOL = "get_bill"

#: How often the tool ran.
ran = [0]


async def get_bill(month: str = "latest") -> str:
    """The customer's bill of a month, with amount and due date."""
    ran[0] += 1
    return f"{month}: 42.50 EUR, due on 1 December 2026"


def wanted(kind: str, results: int) -> list[dict[str, Any]]:
    """The arguments of the calls that the model makes now; none when it answers."""
    told = 0
    for calls in ROUNDS[kind]:
        if told == results:
            return [{"month": f"2026-{told + n + 1:02}"} for n in range(calls)]
        told += calls
    return []


def words(text: str) -> list[str]:
    """The text in pieces, as a model streams it."""
    pieces = text.split(" ")
    return [piece + " " for piece in pieces[:-1]] + pieces[-1:]
