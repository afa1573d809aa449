"""Files of the original router: its settings, its ingest file, its routing specs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lmos.cli import lmos
from lmos.model import errors
from lmos.router.foreign import read_settings
from lmos.router.specs import read_agents

APPLICATION = """
spring:
  application: {name: router}
lmos:
  router:
    classifier:
      vector: {enabled: true}
      hybrid-fast-track: {enabled: "${FAST_TRACK:true}"}
    llm:
      provider: ${LLM_PROVIDER:openai}
      model: ${LLM_MODEL_NAME:gpt-4o-mini}
      api-key: ${LLM_API_KEY}
      base-url: ${LLM_BASE_URL:}
      max-tokens: 2000
    embedding:
      enabled: true
      model: {provider: "${EMBEDDING_MODEL_PROVIDER:openai}", model-name: small, base-url: http://e/v1}
      store: {host: localhost, port: 6334}
      ranking: {minScore: 5.0}
"""


@pytest.fixture
def application(tmp_path: Path) -> Path:
    path = tmp_path / "application.yaml"
    path.write_text(APPLICATION)
    return path


def test_settings_are_read_with_their_defaults(application: Path) -> None:
    found = read_settings(application, {})
    assert (found.router, found.model) == ("cascade", "openai:gpt-4o-mini")
    assert found.embedder == "openai:small@http://e/v1"
    assert set(found.left) == {
        "embedding.ranking.min-score",
        "embedding.store.host",
        "embedding.store.port",
        "llm.max-tokens",
    }


@pytest.mark.parametrize(
    ("provider", "base", "spec"),
    [
        ("openai", "http://m/v1", "openai:m"),
        ("other", "http://m/v1", "openai:m@http://m/v1"),
        ("ollama", "http://m", "ollama:m@http://m"),
        ("ollama", "", "ollama:m"),
        ("anthropic", "", "anthropic:m"),
        ("gemini", "", "google:m"),
        ("azure_openai_identity", "http://m", "azure:m"),
    ],
)
def test_providers_have_their_counterparts(
    application: Path, provider: str, base: str, spec: str
) -> None:
    known = {"LLM_PROVIDER": provider, "LLM_BASE_URL": base, "LLM_MODEL_NAME": "m"}
    assert read_settings(application, known).model == spec


def test_the_environment_decides(application: Path) -> None:
    found = read_settings(application, {"FAST_TRACK": "false"})
    assert found.router == "vector"


@pytest.mark.parametrize(
    ("known", "says"),
    [({"LLM_PROVIDER": "elsewhere"}, "'elsewhere'"), ({"LLM_PROVIDER": "other"}, "base-url")],
)
def test_what_cannot_be_is_refused(application: Path, known: dict[str, str], says: str) -> None:
    with pytest.raises(errors.InvalidInput, match=says):
        read_settings(application, known)


def test_a_file_without_settings_of_the_router_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "application.yaml"
    path.write_text("spring: {application: {name: x}}")
    with pytest.raises(errors.InvalidInput, match=r"lmos\.router"):
        read_settings(path)


def test_the_command_tells_what_is_left_out(application: Path) -> None:
    told = CliRunner().invoke(lmos, ["router", "settings", str(application)]).output
    assert "--router    cascade" in told
    assert "left out    embedding.ranking.min-score: " in told


def test_the_ingest_file_is_read(tmp_path: Path) -> None:
    offer = {"id": "view-bill", "description": "See the bill", "examples": ["show me my bill"]}
    group = {"id": "a1", "name": "bills", "address": "http://bills", "capabilities": [offer]}
    path = tmp_path / "capabilities.json"
    path.write_text(json.dumps({"id": "all", "capabilityGroups": [group]}))
    (agent,) = read_agents(path)
    (capability,) = agent.capabilities
    assert (agent.name, capability.name, capability.id) == ("bills", "view-bill", "view-bill")
    assert capability.examples == ("show me my bill",)


def test_routing_specs_are_read(tmp_path: Path) -> None:
    spec = {
        "name": "bills",
        "description": "Bills",
        "version": "1.0.0",
        "capabilities": [{"name": "view bill", "description": "See it", "version": "1.0.0"}],
        "addresses": [{"protocol": "http", "uri": "localhost:8080"}],
    }
    path = tmp_path / "agentRoutingSpecs.json"
    path.write_text(json.dumps([spec]))
    (agent,) = read_agents(path)
    assert (agent.name, agent.version, agent.capabilities[0].name) == (
        "bills",
        "1.0.0",
        "view bill",
    )
