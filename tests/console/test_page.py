"""What a visitor sees and can do, in a real browser, and what the page leaves to the platform."""

import json
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from stage import MISSING, Console, agent, channel

pytestmark = pytest.mark.browser


def say(page: Page, text: str) -> Locator:
    """Sends the message and gives the block that answers it."""
    expect(page.get_by_role("button", name="Send")).to_be_visible()  # nothing is being answered
    said = page.locator(".lm-user").count()
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".lm-user")).to_have_count(said + 1)
    expect(page.locator(".lm-user").last).to_have_text(text)
    return page.locator(".lm-answer").last


def test_an_answer_comes_piece_by_piece(page: Page, console: Console) -> None:
    answer = say(page, "bill")
    expect(answer.locator(".lm-text")).to_have_text("Your bill ")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    console.go_on()
    expect(answer.locator(".lm-text")).to_have_text("Your bill is 42.50 EUR.")
    expect(answer.locator(".lm-who")).to_contain_text("billing-agent0.97 · view_bill · direct")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.get_by_label("Message")).to_be_focused()
    assert console.script.turns[0].channel == "web"


def test_a_decision_opens_on_a_click(page: Page, console: Console) -> None:
    console.go_on()
    answer = say(page, "bill")
    rows = answer.locator("tbody tr")
    expect(rows.first).to_be_hidden()
    answer.get_by_text("why").click()
    expect(answer).to_contain_text("route: nearest to what billing-agent offers")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("“what do I <i>owe</i>” 0.93")
    expect(rows.last).to_contain_text("contract-agent")
    expect(rows.last).to_contain_text("0.02")
    expect(rows.last).to_be_in_viewport()


def test_who_was_not_asked_is_said(page: Page, console: Console) -> None:
    console.go_on()
    answer = say(page, "outside")
    expect(answer.locator(".lm-who")).to_contain_text("lmosno agent asked")
    answer.get_by_text("why").click()
    expect(answer).to_contain_text("out of scope: nothing is near")


def test_after_a_handover_both_messages_stay_and_the_last_speaker_is_named(page: Page) -> None:
    answer = say(page, "hand over")
    expect(answer.locator(".lm-text")).to_have_text("I know a better one.\n\nHere I am.")
    expect(answer.locator(".lm-who b")).to_have_text("contract-agent")


def test_an_error_leaves_what_was_said(page: Page) -> None:
    answer = say(page, "break")
    expect(answer.get_by_role("alert")).to_have_text("agent billing-agent went away")
    expect(answer.locator(".lm-text")).to_have_text("Half of what ")
    expect(answer.locator(".lm-who")).to_contain_text("AGENT_UNAVAILABLE")


def test_a_fault_keeps_its_inside_to_itself(page: Page) -> None:
    answer = say(page, "fault")
    expect(answer.get_by_role("alert")).to_contain_text("an internal error occurred")
    expect(answer).not_to_contain_text("inside")


def test_a_message_over_the_limit_is_refused(page: Page, console: Console) -> None:
    box = page.get_by_label("Message")
    box.evaluate("e => e.removeAttribute('maxlength')")
    box.fill("x" * 100_001)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").last).to_contain_text("more than the 100000 allowed")
    assert console.script.turns == []


def test_stop_ends_the_turn_and_the_next_one_is_answered(page: Page, console: Console) -> None:
    answer = say(page, "forever")
    expect(answer.locator(".lm-text")).to_have_text("Once upon a time")
    page.get_by_role("button", name="Stop").click()
    assert console.script.left.wait(5)
    expect(answer.locator(".lm-who")).to_contain_text("stopped")
    console.go_on()
    expect(say(page, "bill").locator(".lm-text")).to_have_text("Your bill is 42.50 EUR.")


def test_leaving_the_page_ends_the_turn(console: Console, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(console.url)
    say(page, "forever")
    page.close()
    assert console.script.left.wait(10)


def test_a_visit_is_a_conversation_until_another_is_begun(page: Page, console: Console) -> None:
    console.go_on()
    for _ in range(2):
        expect(say(page, "bill").locator(".lm-who")).to_contain_text(" ms")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".lm-answer")).to_have_count(0)
    expect(page.locator(".lm-talk .lm-empty")).to_contain_text("Ask acme/web anything")
    expect(say(page, "bill").locator(".lm-who")).to_contain_text(" ms")
    first, second, third = (turn.conversation_id for turn in console.script.turns)
    assert first == second != third


def test_a_channel_is_offered_once_whatever_its_subsets(page: Page, console: Console) -> None:
    page.get_by_role("combobox", name="Channel").click()
    expect(page.get_by_role("option")).to_have_text(["acme/web", "acme/ivr"])
    page.get_by_role("option", name="acme/ivr").click()
    console.go_on()
    expect(say(page, "bill").locator(".lm-who")).to_contain_text(" ms")
    assert console.script.turns[-1].channel == "ivr"


def test_agents_with_health_capabilities_and_users(page: Page) -> None:
    billing = page.locator(".lm-row", has_text="billing-agent").first
    expect(billing.locator("summary")).to_have_text("billing-agent 1.2.0ready")
    billing.locator("summary").click()
    expect(billing).to_contain_text("Bills of <b>customers</b>.")
    expect(billing.locator("li")).to_have_text(["view-bill 1.1.0"])
    expect(billing.locator(".lm-tag")).to_have_text(["acme/ivr", "acme/web"])
    contract = page.locator(".lm-row", has_text="contract-agent")
    expect(contract).to_contain_text("does not answer at http://127.0.0.1:9")
    expect(page.get_by_role("status")).to_contain_text("1 of 2 agents ready")


def test_channels_with_who_serves_them_and_what_is_missing(page: Page) -> None:
    page.get_by_role("tab", name="Channels").click()
    ivr = page.locator(".lm-row", has_text="acme/ivr").last
    expect(ivr.locator("summary")).to_contain_text("unresolved (1 of 2)")
    expect(ivr.locator("summary")).to_contain_text("missing change-tariff >=2")
    ivr.locator("summary").click()
    expect(ivr.locator("li").first).to_contain_text(MISSING.message)
    expect(ivr.locator("li").last).to_have_text("view-bill >=1billing-agent 1.1.0")
    expect(page.get_by_role("status")).to_contain_text("1 of 2 channels resolved")


def test_a_change_is_seen_and_leaves_the_rest_alone(page: Page, console: Console) -> None:
    billing = page.locator(".lm-row", has_text="billing-agent").first
    billing.locator("summary").click()
    billing.locator("li").first.evaluate("e => e.marked = true")
    console.change(agent("contract-agent", "show-contract"))
    console.change(agent("arrears-agent", "delay-payment"))
    rows = page.locator(".lm-row:visible summary b")
    expect(rows).to_have_text(["arrears-agent", "billing-agent", "contract-agent"])
    expect(page.locator(".lm-row", has_text="contract-agent")).to_contain_text("ready")
    expect(page.get_by_role("status")).to_contain_text("3 of 3 agents ready")
    assert billing.locator("li").first.evaluate("e => e.marked === true")
    console.change(channel("ivr", ["view-bill"], []))
    page.get_by_role("tab", name="Channels").click()
    expect(page.locator(".lm-row:visible", has_text="acme/ivr")).to_contain_text("(1 of 1)")


def test_events_come_on_top_and_old_ones_go(page: Page, console: Console) -> None:
    page.get_by_role("tab", name="Events").click()
    console.record("AgentReady", "the <first>")
    rows = page.get_by_role("log", name="Events").locator(".lm-row")
    expect(rows.first).to_contain_text("AgentReadythe <first>")
    for number in range(99):
        console.record("AgentReady", f"number {number}")
    console.record("AgentLost", "the last", warning=True)
    expect(rows.first).to_contain_text("AgentLostthe last")
    expect(rows).to_have_count(100)
    expect(rows.filter(has_text="the <first>")).to_have_count(0)


def test_where_there_is_nothing_it_says_what_to_do(page: Page, console: Console) -> None:
    console.clear()
    expect(page.get_by_text("No agents yet. Start one with: lmos new agent NAME")).to_be_visible()
    expect(page.get_by_text("No channel is served yet.")).to_be_visible()
    page.get_by_role("tab", name="Channels").click()
    expect(page.get_by_text("No channels yet. A Channel manifest")).to_be_visible()
    page.get_by_label("Message").fill("anybody?")
    page.keyboard.press("Enter")
    expect(page.locator(".lm-user")).to_have_count(0)


def test_a_reader_higher_up_is_left_alone(page: Page, console: Console) -> None:
    page.set_viewport_size({"width": 1000, "height": 560})
    for _ in range(4):
        say(page, "hand over")
    say(page, "bill")
    expect(page.locator(".lm-text").last).to_be_in_viewport()
    page.locator(".lm-scroll").evaluate("e => e.scrollTo(0, -e.scrollHeight)")
    expect(page.locator(".lm-user").first).to_be_in_viewport()
    console.go_on()
    expect(page.locator(".lm-text").last).to_have_text("Your bill is 42.50 EUR.")
    expect(page.locator(".lm-user").first).to_be_in_viewport()
    say(page, "hand over")
    expect(page.locator(".lm-text").last).to_be_in_viewport()


@pytest.mark.parametrize("tab", ["Agents", "Channels", "Events"])
def test_it_fits_a_phone(page: Page, console: Console, tab: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    console.go_on()
    answer = say(page, "bill")
    answer.get_by_text("why").click()
    page.get_by_role("tab", name=tab).click()
    page.evaluate("document.querySelectorAll('.lm-row').forEach(row => row.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert answer.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_whatever_can_be_operated_has_a_name(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "combobox", "tab", "log", "region"}
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert [role for role, name in found if not name] == []
    assert {role for role, _ in found} >= {"button", "textbox", "combobox", "tab", "log", "region"}


def fetch(url: str, method: str = "GET") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_routes_of_the_platform_stay_its_own(console: Console) -> None:
    assert fetch(f"{console.url}/health") == (200, '{"status":"UP"}')
    status, body = fetch(f"{console.url}/apis/v1/nothing")
    assert (status, json.loads(body)["errorCode"]) == (404, "NOT_FOUND")
    status, body = fetch(f"{console.url}/health", "DELETE")
    assert (status, json.loads(body)["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    assert fetch(console.url)[0] == 200


def test_the_title_is_never_markup(console: Console) -> None:
    _, body = fetch(console.url)
    assert "<test>" not in body
