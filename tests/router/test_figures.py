"""The figures of an evaluation against values computed by hand, and what always holds of them."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from lmos.cli.eval import command as eval_command
from lmos.cli.route import command as route_command
from lmos.model import Decision, errors
from lmos.router import Report
from lmos.router.figures import Scored, auroc, brier, calibration_error, recall_at_precision
from lmos.router.specs import Labelled, read_labelled, with_examples

ROWS = [(0.9, True), (0.8, True), (0.7, False), (0.6, True), (0.3, False)]
SCORED = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=40
)
EXAMPLES = """instruction,agent
how much is my bill,bills
show me my invoice,bills
when must I pay my bill,bills
where is my parcel,parcels
when does my package arrive,parcels
track my delivery,parcels
who wrote Hamlet,out_of_scope
"""


def test_values_computed_by_hand() -> None:
    # of the 3 x 2 pairs only (0.6, 0.7) is the wrong way round
    assert auroc(ROWS) == pytest.approx(5 / 6)
    # the first two are right; with the third and fourth it is 3 of 4
    assert recall_at_precision(ROWS, 0.9) == pytest.approx(2 / 3)
    assert recall_at_precision(ROWS, 0.75) == 1.0
    # each in its own bin: 0.1 + 0.2 + 0.7 + 0.4 + 0.3
    assert calibration_error(ROWS) == pytest.approx(1.7 / 5)
    # 0.01 + 0.04 + 0.49 + 0.16 + 0.09
    assert brier(ROWS) == pytest.approx(0.79 / 5)
    # within one bin distances cancel: 0.82 and 0.88 against one of two
    assert calibration_error([(0.82, True), (0.88, False)]) == pytest.approx(0.35)
    assert calibration_error([(1.0, True), (0.0, False)]) == 0.0


def test_equal_scores_are_not_parted() -> None:
    assert auroc([(0.5, True), (0.5, False)]) == 0.5
    assert recall_at_precision([(0.5, True), (0.5, False)], 0.9) == 0.0


def test_what_cannot_be_told_is_none() -> None:
    assert auroc([(0.5, True)]) is None
    assert auroc([(0.5, False)]) is None
    assert recall_at_precision([(0.5, False)], 0.9) is None
    assert calibration_error([]) is None
    assert brier([]) is None


@given(SCORED)
def test_auroc_is_the_share_of_pairs_in_order(scored: list[Scored]) -> None:
    pairs = [(p, n) for p, yes in scored if yes for n, no in scored if not no]
    won = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs)
    assert auroc(scored) == (pytest.approx(won / len(pairs)) if pairs else None)


@given(SCORED)
def test_recall_is_the_best_of_all_thresholds(scored: list[Scored]) -> None:
    best = 0
    for threshold, _ in scored:
        taken = [so for score, so in scored if score >= threshold]
        if sum(taken) / len(taken) >= 0.9:
            best = max(best, sum(taken))
    positives = sum(so for _, so in scored)
    expected = pytest.approx(best / positives) if positives else None
    assert recall_at_precision(scored, 0.9) == expected


@given(SCORED)
def test_the_calibration_error_lies_between_the_whole_and_each(scored: list[Scored]) -> None:
    distances = [probability - so for probability, so in scored]
    error = calibration_error(scored)
    assert error is not None
    assert abs(sum(distances)) / len(scored) - 1e-9 <= error
    assert error <= sum(map(abs, distances)) / len(scored) + 1e-9


def test_a_report_tells_decisions_apart() -> None:
    def decided(outcome: str, shares: tuple[float, ...], model: str = "") -> Decision:
        candidates = [{"agent": f"a{i}", "probability": p} for i, p in enumerate(shares)]
        nobody = 1 - sum(shares)
        return Decision.model_validate(
            {
                "outcome": outcome,
                "candidates": candidates,
                "out_of_scope": nobody,
                "confidence": shares[0] if outcome == "route" else nobody,
                "model": model,
            }
        )

    report = Report()
    report.add(Labelled("one", "a0"), decided("route", (0.6, 0.3)), 2.0)
    report.add(Labelled("two", "a1"), decided("route", (0.5, 0.25), "m"), 2.0)
    report.add(Labelled("out", "out_of_scope"), decided("out_of_scope", (0.1, 0.1)), 4.0)
    data = report.data()
    assert (data["outOfScopeAuroc"], data["outOfScopeRecall"]) == (1.0, 1.0)
    # (0.6 right, 0.5 wrong, 0.8 right): 0.4 + 0.5 + 0.2, and 0.16 + 0.25 + 0.04
    assert data["ece"] == pytest.approx(1.1 / 3, abs=1e-4)
    assert data["brier"] == pytest.approx(0.15)
    assert (data["modelShare"], data["decisionsPerSecond"]) == (0.3333, 375.0)
    assert [row["text"] for row in data["wrong"]] == ["two"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The options of an evaluation on examples alone."""
    (tmp_path / "train.csv").write_text(EXAMPLES)
    test = "what do I owe on my bill,bills\n<script>alert(1)</script> & my bill,parcels\n"
    test += "where is my package,parcels\nwhat is the capital of France,out_of_scope\n"
    (tmp_path / "test.csv").write_text("instruction,agent\n" + test)
    return ["--examples", str(tmp_path / "train.csv"), "--test", str(tmp_path / "test.csv")]


def test_examples_alone_make_an_agent_of_each_label_but_nobodys(files: list[str]) -> None:
    agents = with_examples([], read_labelled(Path(files[1])))
    assert [agent.name for agent in agents] == ["bills", "parcels"]
    ran = CliRunner().invoke(eval_command, ["router", *files, "--router", "vector", "-o", "json"])
    data = json.loads(ran.stdout)
    assert (data["rows"], data["accuracy"], data["modelShare"]) == (4, 0.75, 0.0)
    assert set(data["labels"]) == {"bills", "parcels", "out_of_scope"}
    assert data["outOfScopeAuroc"] == 1.0
    assert 0 < data["brier"] < 1
    assert data["decisionsPerSecond"] > 0


def test_the_table_has_every_figure(files: list[str]) -> None:
    told = CliRunner().invoke(eval_command, ["router", *files]).stdout
    for word in ("AUROC 1.0000", "90 % precision", "ECE 0.", "Brier 0.", "decisions a second"):
        assert word in told


class Cells(HTMLParser):
    """The words of a page's cells and the tags that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_says_the_same_and_runs_nothing(files: list[str]) -> None:
    page = CliRunner().invoke(eval_command, ["router", *files, "-o", "html"]).stdout
    cells = Cells()
    cells.feed(page)
    assert not cells.tags & {"script", "link", "img"}
    for word in ("Figures", "Labels", "Confused", "Wrong", "0.75", "Brier score"):
        assert word in cells.words
    assert "<script>alert(1)</script> & my bill" in cells.words


def test_a_router_is_chosen_by_its_name(files: list[str]) -> None:
    ask = [*files[:2], "where is my parcel"]
    ran = CliRunner().invoke(route_command, [*ask, "--router", "vector", "-o", "json"])
    assert json.loads(ran.stdout)["candidates"][0]["agent"] == "parcels"
    for command, options in ((route_command, ask), (eval_command, ["router", *files])):
        refused = CliRunner().invoke(command, [*options, "--router", "nobody"])
        assert isinstance(refused.exception, errors.InvalidInput)
        assert "there are cascade, vector" in str(refused.exception)
