"""Embedding models and Ollama behind HTTP, on a real server on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from lmos.llm import embedder, resolve_model
from lmos.model import errors


class Endpoint(BaseHTTPRequestHandler):
    """Gives each text a vector of its length and its words; out of order, as is allowed."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))  # type: ignore[attr-defined]
        rows = [
            {"index": n, "embedding": [float(len(text)), float(len(text.split()))]}
            for n, text in enumerate(body["input"])
        ]
        self._answer({"data": rows[::-1]} if body["model"] != "odd" else {"data": [{"index": 0}]})

    def do_GET(self) -> None:
        names = ("nomic-embed-text:latest", "llama3:8b")
        self._answer({"models": [{"name": name} for name in names]})

    def _answer(self, data: Any) -> None:
        content = json.dumps(data).encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as made:
        made.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def address(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_port}"


async def test_vectors_come_in_the_order_of_the_texts_and_once(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-example")
    remote = embedder(f"openai:small@{address(server)}/v1")
    vectors = await remote.embed(["a b", "longer text", "a b"])
    assert (vectors.shape, vectors.dtype, remote.d) == ((3, 2), np.float32, 2)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[0], np.array([3, 2]) / np.sqrt(13))
    assert np.array_equal(vectors[0], vectors[2])
    await remote.embed(["longer text"])
    wanted = {"model": "small", "input": ["a b", "longer text"]}
    assert server.asked == [("/v1/embeddings", "Bearer sk-example", wanted)]
    assert (await remote.embed([])).shape == (0, 2)
    assert "sk-example" not in repr(vars(remote)["name"]) + repr(remote)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("openai:odd@{}/v1", "gave no vectors of odd"),
        ("openai:x@{}/missing", "answered 404 for x"),
        ("openai:x@http://127.0.0.1:9", "did not answer"),
    ],
)
async def test_what_goes_wrong_is_said(server: Any, spec: str, says: str) -> None:
    with pytest.raises(errors.ModelFailed, match=says):
        await embedder(spec.format(address(server))).embed(["x"])


def test_auto_finds_the_first_model_of_ollama_that_chats(server: Any) -> None:
    choice = resolve_model("auto", {"OLLAMA_HOST": f"127.0.0.1:{server.server_port}"})
    assert choice.name == f"ollama:llama3:8b@{address(server)}"
    assert choice.model is not None
    assert choice.model.base_url == f"{address(server)}/v1/"


@pytest.mark.parametrize(
    "spec", ["anthropic:x@http://127.0.0.1", "openai:@http://127.0.0.1", ":x", "openai:"]
)
def test_only_what_is_compatible_has_an_address(spec: str) -> None:
    with pytest.raises(errors.InvalidInput, match="is no model"):
        resolve_model(spec)
