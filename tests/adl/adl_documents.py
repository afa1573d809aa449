"""Documents for property tests: pieces of ADL in any order, right and wrong."""

from hypothesis import strategies as st

PIECES = [
    "### UseCase: a", "### UseCase: b (2) <x, !y>", "###UseCase:c<x or y>", "# Case: d", "# case",
    "### UseCase:", "# Title", "### Role: r", "#### Description", "#### Solution",
    "##### steps", "#### Examples",
    "#### Category: bills", "#### Unknown", "#### Fallback Solution", "#### Solution: now",
    "<Version: 1.2 >", "----", "-----  ", "---", "text", "  text  ", "- item", "* item", "- - item",
    "- **bold**", "-x", "-", "", "   ", "\t", "<x>", "<x> text", "- <x>text", " - <!x><y> text",
    "<x or  y>t", "<(x or y) and not z>t", "<x, (y>t", "<else>t", "<step_2>t", "<regex:a>b|c>t",
    "<regex:(>t", "<>t", "<x", "text <x> text", "</>", " </> ", "text</>", "<x>t</>", r"\<x>t",
    r"\# t", "@f() t", "@f()!", "(@f(1))", "#b", "#x/b.", r"\#b", "[yes] go #d", "[] no", "[else] x",  # noqa: E501
    "[a](b)", '"quoted"', '"begins', 'ends"', '- "both', '<x>"begins', "“typographic”",
    "```", "```expr", "~~~", "  ```", "````", "// comment", "  // comment", "<!-- one -->",
    "a <!-- b --> c", "<!-- begins", "ends -->", "{{x}}", "{{#x}}", "\u00e4\u2028\x0b", "\r",
]  # fmt: skip

lines = st.one_of(st.sampled_from(PIECES), st.text(alphabet='#<>/-@()! "{}\\[]`aU:x', max_size=12))
bodies = st.lists(lines, max_size=25).map("\n".join)
documents = st.one_of(
    bodies,
    bodies.map(lambda body: f"<!--\n{body}\n-->\n{body}"),
    bodies.map(lambda body: f"### UseCase: z\n#### Description\nd\n#### Solution\n{body}"),
    bodies.map(lambda body: f"### UseCase: z\n#### Examples\n{body}\n### UseCase: y"),
)
