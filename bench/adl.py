"""How fast ADL is read, formatted and rendered.

    python bench/adl.py [--megabytes 5]

Prints JSON: seconds of processor time, the best of three, for a document of 1 MB and of the given
size that looks like those people write (use cases with conditions, tools, replies, examples), in
strict mode and as the original ARC reads it; and `lines` that take time if anything does.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from functools import partial

from lmos.arc.adl import Facts, compat, formatted, parse, rendered

CASE = """### UseCase: view_bill_{0} (3) <!guest>
#### Description
The customer wants to see bill {0} or know what is owed, and until when it has to be paid.
#### Steps
- Call @get_contract() and ask whether contract {0} is meant.
#### Solution
Call @get_bill_{0}()! and tell amount and due date.
"Your bill is {{{{get_bill.amount}}}}, due on {{{{get_bill.due}}}}."
<business or partner>
Mention the portal for business customers, see #shared/portal_{0}.
<web, !app>Use a link.
</>
<else>Mention the private portal.
<regex:order \\d+>Say that the order {0} is on its way.
[invoice {0}] #invoice
[] "I did not understand that."
#### Fallback Solution
Offer a call-back, and say that somebody calls within the hour.
#### Examples
- show me my bill number {0}
- how much do I owe for {0}
- when is bill {0} due
----

"""
HARD = {
    "conditions": "<(a{0} or b) and !c>x\n",
    "tags on one line": "<a>",
    "open blocks": "<a>\n",
    "open quotes": '"\n\n',
    "references": "#a{0}/b ",
    "tools": "@t{0}() ",
    "unknown sections": "# x{0}\n",
    "same id": "### UseCase: a\n",
}


def document(size: int) -> str:
    one = len(CASE.format(10_000))
    return "".join(CASE.format(number) for number in range(size // one + 1))


def hard(unit: str, size: int) -> str:
    count = size // len(unit)
    body = (
        "".join(unit.format(number) for number in range(count)) if "{0}" in unit else unit * count
    )
    return f"### UseCase: a\n#### Description\nd\n#### Solution\n{body}"


def seconds(work: Callable[[], object], times: int = 3) -> float:
    """Processor time of the fastest run."""

    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return round(min(once() for _ in range(times)), 3)


def figures(text: str) -> dict[str, object]:
    strict, arc = parse(text), compat.read(text)
    facts = Facts(frozenset({"web"}), "order 1", used=())
    return {
        "bytes": len(text.encode()),
        "useCases": len(strict.use_cases),
        "diagnostics": len(strict.diagnostics),
        "parse": seconds(lambda: parse(text)),
        "render": seconds(lambda: rendered(strict.use_cases, facts)),
        "format": seconds(lambda: formatted(text)),
        "arcRead": seconds(lambda: compat.read(text)),
        "arcRender": seconds(lambda: compat.render(arc, {"web"}, text="order 1")),
    }


def growth(units: Iterable[tuple[str, str]], size: int) -> dict[str, list[float]]:
    """Seconds for a fifth of the size and for the size."""
    return {
        name: [seconds(partial(parse, hard(unit, part)), 1) for part in (size // 5, size)]
        for name, unit in units
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=5)
    size = parser.parse_args().megabytes * 1_000_000
    found = {
        "oneMegabyte": figures(document(1_000_000)),
        "whole": figures(document(size)),
        "lines": growth(HARD.items(), 1_000_000),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
