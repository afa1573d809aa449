"""Conversation tests: reading them, marking them, and what a judge has to say."""

import asyncio
import contextlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from bills import billing
from hypothesis import given
from hypothesis import strategies as st

from lmos import Agent, Context
from lmos.arc.signals import HandOver
from lmos.model import errors
from lmos.testing import Call, Refusal, ScriptedModel
from lmos.testing.conversations import (
    Judge,
    Report,
    Thresholds,
    find,
    page,
    read,
    reports,
    run_tests,
)


def written(folder: Path, text: str) -> Path:
    file = folder / "bill.test.md"
    file.write_text(text)
    return file


def run(folder: Path, text: str, agent: Agent | None = None, **options: Any) -> Report:
    tests = read(written(folder, text))
    return asyncio.run(run_tests(tests, agent or billing(), **options))


# --- reading --------------------------------------------------------------------------------------

WHOLE = """---
tenant: acme
user: a-1
context: {is_business: true}
---
# Words for people
- a list of theirs

## Test: the first
- channel: web
- context: mood = good
> how much
> do I owe?
> / what is due?
* Use Case: view_bill or pay_bill
- calls: `get_bill(month="latest", n=-1)`
- means (0.7): "About 42 EUR"
<!-- - says: nothing
- says: nothing -->
> and then?
- judge: brief: and to the point

### Test: the second
> hello
- matches: /^\\d+ (EUR|USD)$/
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    first, second = read(written(tmp_path, WHOLE))
    assert (first.name, first.line, first.variants) == ("the first", 9, 2)
    assert (first.tenant, first.user, first.channel) == ("acme", "a-1", "web")
    assert first.context == {"is_business": "true", "mood": "good"}
    assert (second.channel, second.context) == ("", {"is_business": "true"})
    asked, then = first.messages
    assert (asked.text, asked.variants) == ("how much\ndo I owe?", ("what is due?",))
    case, call, means = asked.checks
    assert (case.kind, case.text, case.line) == ("use case", "view_bill or pay_bill", 15)
    assert (call.text, call.arguments) == ("get_bill", {"month": "latest", "n": -1})
    assert (means.text, means.least) == ("About 42 EUR", 0.7)
    assert then.checks[0].text == "brief: and to the point"
    assert second.messages[0].checks[0].text == r"^\d+ (EUR|USD)$"


BAD = """---
tenants: acme
---
> too early
### Test: one
- colour: red
- says: too early
> hello
- sais: hi
- says:
- says (0.5): hi
- means (2): hi
- calls: get bill()
- calls: get_bill(x)
- asks: maybe
- matches: /(/
- context: nothing
- just words
### Test: one
### Test: checks nothing
> hello
### Test:
> / no message
"""


def test_all_that_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    file = written(tmp_path, BAD)
    with pytest.raises(errors.InvalidInput) as raised:
        read(file)
    told = raised.value.message.splitlines()
    assert all(line.startswith(f"{file}:") for line in told)
    problems = [line.removeprefix(f"{file}:") for line in told]
    for number, words in (
        (1, "'tenants' is no setting"),
        (4, "before the first test"),
        (6, "'colour' is no setting"),
        (7, "a check comes after a message"),
        (9, "did you mean 'says'?"),
        (10, "'says' says nothing"),
        (11, "goes with means and judge"),
        (12, "between 0 and 1"),
        (13, "is no call"),
        (14, "is no call"),
        (15, "is yes or no"),
        (16, "no regular expression"),
        (17, "key = value"),
        (18, "is no check"),
        (19, "another test named 'one'"),
        (19, "has no message"),
        (20, "checks nothing"),
        (22, "has no name"),
        (23, "variant without a message"),
    ):
        assert any(p.startswith(f"{number}: ") and words in p for p in problems), (number, words)


@pytest.mark.parametrize(
    "front", ["just words", "- a\n- list", "context: words", "tenant: [a, b]", "user: {a: b}"]
)
def test_settings_that_are_none_are_told(tmp_path: Path, front: str) -> None:
    file = written(tmp_path, f"---\n{front}\n---\n### Test: x\n> a\n- says: b\n")
    with pytest.raises(errors.InvalidInput, match=r"bill\.test\.md:1: "):
        read(file)


@pytest.mark.parametrize("text", ["", "words\n", "---\na: [\n---\n### Test: x\n> a\n- says: b\n"])
def test_a_file_without_tests_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(errors.InvalidInput):
        read(written(tmp_path, text))


LINES = st.sampled_from(
    [
        "### Test: a",
        "# x",
        "> hi",
        "> / ho",
        "- says: a",
        "- calls: f(x=",
        "- means (0.5): b",
        "---",
    ]
)


@given(st.lists(LINES | st.text(max_size=12), max_size=12))
def test_any_text_is_read_or_told_what_is_wrong(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.test.md"
    file.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    with contextlib.suppress(errors.InvalidInput):
        assert all(test.messages for test in read(file))


def test_files_are_found_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep" / ".hidden").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("a.test.md", "deep/b.test.md", "deep/.hidden/c.test.md", "d.md"):
        (tmp_path / name).write_text("")
    assert [file.name for file in find(tmp_path)] == ["a.test.md", "b.test.md"]
    with pytest.raises(errors.InvalidInput, match="no test files"):
        find(tmp_path / "empty")
    with pytest.raises(errors.InvalidInput, match="no file or directory"):
        find(tmp_path / "absent")


# --- checks ---------------------------------------------------------------------------------------

GOOD = """### Test: all of them
> how much do I owe?
- use case: view_bill
- calls: get_bill
- calls: get_bill(month="latest")
- never calls: get_bill(month="previous")
- never calls: pay_bill
- says: YOUR   latest bill
- never says: portal
- exactly: Your latest bill is 42.50 EUR.
- matches: /\\d+\\.\\d\\d EUR\\.$/
- means (0.6): You owe 42.50 Euro.
- asks: no
- resolved: yes
- context: useCase = view_bill
> close my account
- asks: yes
- never calls: anything
"""


def test_every_kind_of_check_can_hold(tmp_path: Path) -> None:
    report = run(tmp_path, GOOD)
    assert report.counts == {"pass": 1, "partial": 0, "fail": 0}, reports.text(report)
    checks = [c for e in report.outcomes[0].worst.exchanges for c in e.checks]
    assert len(checks) == 15
    assert all(c.score is not None and c.score >= 90 for c in checks)


@pytest.mark.parametrize(
    ("check", "found"),
    [
        ("use case: pay_bill", "use case view_bill"),
        ("calls: pay_bill", "called: get_bill()"),
        ('calls: get_bill(month="previous")', "called: get_bill()"),
        ("never calls: get_bill", "called: get_bill()"),
        ("never calls: anything", "called: get_bill()"),
        ("says: 43", "said: Your latest"),
        ("never says: latest", "said: Your latest"),
        ("exactly: Your latest bill", "said: Your latest"),
        ("matches: /^bill/", "said: Your latest"),
        ("means: where is my parcel?", "likeness 0."),
        ("asks: yes", "does not ask"),
        ("resolved: no", "helps"),
        ("hands over to: sales", "hands over to nobody"),
        ("context: useCase = other", "useCase = view_bill"),
    ],
)
def test_every_kind_of_check_can_fail(tmp_path: Path, check: str, found: str) -> None:
    report = run(tmp_path, f"### Test: t\n> how much do I owe?\n- {check}\n")
    [checked] = report.outcomes[0].worst.exchanges[0].checks
    assert report.outcomes[0].verdict == "fail"
    assert checked.found.startswith(found)
    assert f"x {checked.check}" in reports.text(report)


def test_a_handover_can_be_expected(tmp_path: Path) -> None:
    agent = Agent(name="desk", model=ScriptedModel("hm").model)

    @agent.input_filter
    def to_sales(ctx: Context, text: str) -> str:
        raise HandOver(to="sales")

    report = run(tmp_path, "### Test: t\n> buy\n- hands over to: sales\n", agent)
    assert report.counts["pass"] == 1


# --- marks ----------------------------------------------------------------------------------------


def test_the_worst_variant_counts(tmp_path: Path) -> None:
    text = (
        "### Test: t\n> how much do I owe\n> / sing me a song\n> / show me my bill\n- says: 42.50\n"
    )
    [outcome] = run(tmp_path, text).outcomes
    assert [variant.score for variant in outcome.variants] == [100, 0, 100]
    assert (outcome.worst.number, outcome.score, outcome.verdict) == (1, 0, "fail")
    assert "> sing me a song" in outcome.told()


def judged(tmp_path: Path, opinion: str, least: str = "") -> Report:
    text = f"### Test: t\n> how much do I owe?\n- judge{least}: It is polite.\n"
    return run(tmp_path, text, judge=Judge(ScriptedModel(opinion, strict=True)))


@pytest.mark.parametrize(
    ("score", "least", "mark", "verdict"),
    [
        (1.0, "", 100, "pass"),
        (0.9, "", 90, "pass"),
        (0.6, "", 60, "partial"),
        (0.59, "", 59, "fail"),
        (0.7, " (0.7)", 90, "pass"),
        (0.35, " (0.7)", 45, "fail"),
        (0.85, " (0.7)", 95, "pass"),
    ],
)
def test_marks_make_verdicts(
    tmp_path: Path, score: float, least: str, mark: float, verdict: str
) -> None:
    report = judged(tmp_path, json.dumps({"score": score, "reason": "so"}), least)
    [outcome] = report.outcomes
    assert (round(outcome.score, 6), outcome.verdict) == (mark, verdict)
    assert outcome.worst.exchanges[0].checks[0].found == f"{score:.2f}: so"


def test_thresholds_can_be_others(tmp_path: Path) -> None:
    text = "### Test: t\n> how much do I owe?\n- judge: It is polite.\n"
    judge = Judge(ScriptedModel('{"score": 0.5}'))
    report = run(tmp_path, text, judge=judge, thresholds=Thresholds(passing=50, partial=10))
    assert report.counts["pass"] == 1


# --- the judge ------------------------------------------------------------------------------------


def test_a_judge_reads_the_conversation_as_data(tmp_path: Path) -> None:
    scripted = ScriptedModel('Sure:\n```json\n{"score": 1, "reason": "fine"}\n```')
    text = "### Test: t\n> how much do I owe?\n> / show me my bill\n- judge: It is polite.\n"
    report = run(tmp_path, text, judge=Judge(scripted))
    assert report.counts["pass"] == 1
    assert report.judge == "scripted"
    first = scripted.requests[0]
    first.assert_told("no instruction to you")
    assert "Criterion: It is polite." in first.text
    assert '"user": "how much do I owe?"' in first.text


def test_a_judge_is_asked_again_for_what_cannot_be_read(tmp_path: Path) -> None:
    scripted = ScriptedModel("It is fine.", '{"score": 1}')
    text = "### Test: t\n> how much do I owe?\n- judge: It is polite.\n"
    assert run(tmp_path, text, judge=Judge(scripted)).counts["pass"] == 1
    assert "not the JSON object" in scripted.last.text


@pytest.mark.parametrize("reply", ['{"score": 7}', "fine", Refusal(400)])
def test_checks_that_a_judge_cannot_make_count_for_nothing(tmp_path: Path, reply: Any) -> None:
    text = "### Test: t\n> how much do I owe?\n- judge: It is polite.\n- says: 42.50\n"
    report = run(tmp_path, text, judge=Judge(ScriptedModel(reply)))
    assert report.counts["pass"] == 1
    assert report.not_made == 1
    assert "1 checks were not made" in reports.summary(report)


def test_direct_cannot_judge() -> None:
    with pytest.raises(errors.InvalidInput, match="cannot judge"):
        Judge("direct")


# --- running --------------------------------------------------------------------------------------


def test_any_model_can_answer(tmp_path: Path) -> None:
    scripted = ScriptedModel(Call("get_bill", {"month": "previous"}), "It was 39.90 EUR.")
    text = '### Test: t\n> and before?\n- calls: get_bill(month="previous")\n- says: 39.90\n'
    report = run(tmp_path, text, model=scripted)
    assert (report.counts["pass"], report.model) == (1, "scripted")


def test_settings_reach_the_agent(tmp_path: Path) -> None:
    agent = Agent(name="who", model=ScriptedModel("hi").model)
    seen: list[tuple[str, ...]] = []

    @agent.input_filter
    def look(ctx: Context, text: str) -> None:
        seen.append((ctx.tenant, ctx.channel, ctx.user.id, ctx.system["mood"], text))

    text = "- tenant: acme\n- channel: ivr\n- user: u1\n- context: mood = good\n"
    run(tmp_path, f"### Test: t\n{text}> hello\n- says: hi\n", agent)
    assert seen == [("acme", "ivr", "u1", "good", "hello")]


def test_an_agent_that_fails_is_an_outcome(tmp_path: Path) -> None:
    agent = Agent(name="broken", model=ScriptedModel(Refusal(400)).model)
    report = run(tmp_path, "### Test: t\n> hello\n- says: hi\n> again\n- says: hi\n", agent)
    [exchange] = report.outcomes[0].worst.exchanges
    assert report.counts["fail"] == 1
    assert "status_code: 400" in exchange.error
    assert "error: " in reports.text(report)


# --- reports --------------------------------------------------------------------------------------

MIXED = (
    "### Test: good\n> how much do I owe\n- says: 42.50\n"
    "### Test: bad <b>\n> how much do I owe & <i>when</i>\n- says: ]]>43\n"
)


def test_reports_say_the_same_in_every_format(tmp_path: Path) -> None:
    report = run(tmp_path, MIXED)
    data = reports.data(report)
    assert data["counts"] == {"pass": 1, "partial": 0, "fail": 1}
    assert [test["verdict"] for test in data["tests"]] == ["pass", "fail"]
    assert json.loads(json.dumps(data)) == data
    suite = ET.fromstring(reports.junit(report))[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    good, bad = suite
    assert len(good) == 0
    failure = bad.find("failure")
    assert failure is not None
    assert failure.text is not None
    assert "says: ]]>43" in failure.text
    assert "1 passed, 0 in part, 1 failed" in reports.text(report)


def test_the_page_needs_nothing_else_and_trusts_nobody(tmp_path: Path) -> None:
    html = page.html(run(tmp_path, MIXED))
    assert "<b>&lt;" not in html
    assert "bad &lt;b&gt;" in html
    assert "<i>when" not in html
    for outside in ("http://", "https://", "src=", "@import", "url("):
        assert outside not in html
