"""The dashboard asks for figures that are really told."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families
from runtime_parts import Platform, turn_of

from lmos import Agent
from lmos.arc import observing
from lmos.llm import ScriptedModel
from lmos.model import Handover
from lmos.runtime import exposition

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "lmos.json"
SELECTOR = re.compile(r"([a-z]\w*_\w+)(?:\{([^}]*)\})?(?=[\[)]|$)")
GIVEN = {"$__rate_interval": "5m", "$tenant": ".*", "$channel": ".*", "$subset": ".*"}


def queries() -> Iterator[str]:
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert found, variable
            yield f"count by ({found[2]}) ({found[1]})"


def filled(query: str) -> str:
    for name, value in {**GIVEN, "$agent": ".*"}.items():
        query = query.replace(name, value)
    return query


@pytest.mark.parametrize("query", [*queries()])
def test_queries_are_promql(query: str) -> None:
    promql_parser.parse(filled(query))


async def test_every_figure_that_is_asked_for_is_told(platform: Platform) -> None:
    await platform.turn("how much do I owe")
    platform.orders.plays(Handover(to="billing"))
    await platform.turn("where is my order")
    observing.metrics.begin()
    try:
        await asked_agents()
    finally:
        observing.metrics.end()
    supervisor = platform.supervisor
    supervisor.metrics.spared.update([next(iter(supervisor.metrics.agents))])
    supervisor.admission.refused["acme"] += 1
    supervisor.metrics.to_people(turn_of("where is everybody"))
    text = exposition.render(supervisor.metrics, supervisor.admission).decode()
    told = samples(text) | samples(observing.metrics.render())
    for query in queries():
        for name, matchers in SELECTOR.findall(filled(query)):
            wanted = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers))
            assert name in told, f"{name} of {query}"
            assert wanted <= told[name], f"{name} has {told[name]}, asked for {wanted}"


async def asked_agents() -> None:
    await Agent(name="well", model=ScriptedModel("Hello.").model).run("hi")
    broken = Agent(name="broken", model=ScriptedModel(RuntimeError("away")).model)
    with pytest.raises(Exception, match="away"):
        await broken.run("hi")


def samples(text: str) -> dict[str, set[str]]:
    """The labels of each sample that is told."""
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = {*found.get(sample.name, ()), *sample.labels}
    return found
