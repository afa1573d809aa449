"""One form for every document: what changes, what stays, and that it says the same."""

import re

import pytest
from adl_documents import documents
from hypothesis import given, settings

from lmos.arc.adl import formatted, parse

UNTIDY = """﻿# Bills


<version:2.1 >
//   a comment
### usecase:  find_invoice(3)<!guest> < web ,app>
##### description

The customer looks   for an invoice.  


Really.
#### Example
* find my invoice
where is the bill
#### steps
  - <  mobile >  Ask.
#### Solution

<(web or app) and not guest>   Say it.
 <else>
  Indented stays.
</>
  
"quoted
   as it is

"
```expr
  1 +   1  
```
<!-- kept


as it is  -->
#### fallback
Call back.
-------
# case: other
"Fixed."
"""

TIDY = """# Bills

<Version: 2.1>
//   a comment
### UseCase: find_invoice (3) <!guest><web, app>
#### Description
The customer looks   for an invoice.

Really.
#### Examples
- find my invoice
- where is the bill
#### Steps
- <mobile>Ask.
#### Solution
<(web or app) and !guest>Say it.
<else>
  Indented stays.
</>

"quoted
   as it is

"
```expr
  1 +   1  
```
<!-- kept


as it is  -->
#### Fallback Solution
Call back.
----

### Case: other
"Fixed."
"""


def test_the_one_form() -> None:
    assert formatted(UNTIDY) == TIDY
    assert formatted(TIDY) == TIDY


@pytest.mark.parametrize("text", ["", "\n\n", "   \n", "text", "### UseCase:", "<x"])
def test_small_ones(text: str) -> None:
    assert formatted(text) == (f"{text.strip()}\n" if text.strip() else "")


NAMES = {"usecase", "case", "description", "steps", "step", "solution", "alternative", "fallback",
         "examples", "example", "not"}  # fmt: skip


def words(text: str) -> list[str]:
    """All that a formatter must not lose: the words in order, without the names of headings."""
    return [word for word in re.findall(r"\w+", text.casefold()) if word not in NAMES]


@settings(max_examples=400)
@given(documents)
def test_formatting_again_changes_nothing_and_nothing_is_lost(text: str) -> None:
    once = formatted(text)
    assert formatted(once) == once
    assert parse(once) == parse(text)
    assert words(once) == words(text)
