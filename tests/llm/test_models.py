"""Models by spec string: the embedded embedder as it is, and how a chat model is chosen."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from lmos.llm import ScriptedModel, embedder, minilm, resolve_model
from lmos.llm.minilm import MiniLM
from lmos.model import errors

TEXTS = ["how much do I owe", "what is the amount of my bill", "the weather is nice today"]


async def test_vectors_are_of_unit_length_and_near_for_like_meaning() -> None:
    vectors = await embedder().embed(TEXTS)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near = vectors @ vectors.T
    assert near[0, 1] > 0.5 > 0.2 > abs(near[0, 2])


async def test_a_text_alone_is_what_it_is_in_company() -> None:
    fresh = MiniLM()
    together = await fresh.embed([*TEXTS, "a much longer text " * 30])
    alone = await MiniLM().embed([TEXTS[0]])
    assert np.allclose(together[0], alone[0], atol=1e-5)


async def test_callers_at_once_get_their_own_vectors_in_order() -> None:
    fresh = MiniLM()
    jobs = [[f"text {n}", f"other {n}", f"text {n}"] for n in range(20)]
    results = await asyncio.gather(*(fresh.embed(job) for job in jobs))
    for job, vectors in zip(jobs, results, strict=True):
        assert np.array_equal(vectors, await fresh.embed(job))
        assert np.array_equal(vectors[0], vectors[2])


async def test_who_leaves_takes_nobody_along() -> None:
    fresh = MiniLM()
    await fresh.embed(["warm"])
    busy, leaving, staying = (
        asyncio.create_task(fresh.embed([f"{name} {n}" for n in range(4)]))
        for name in ("busy", "leaving", "staying")
    )
    await asyncio.sleep(0)  # the thread is busy, the others wait
    leaving.cancel()
    assert (await asyncio.wait_for(staying, 10)).shape == (4, 384)
    assert (await busy).shape == (4, 384)
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_many_texts_hold_up_nobody() -> None:
    fresh = MiniLM()
    await fresh.embed(["warm"])
    many = asyncio.create_task(fresh.embed([f"one of many texts, number {n}" for n in range(150)]))
    await asyncio.sleep(0)  # they are first in the queue
    await fresh.embed(["a message of a user"])
    assert not many.done()
    assert (await many).shape == (150, 384)


async def test_odd_texts() -> None:
    assert (await embedder().embed([])).shape == (0, 384)
    vectors = await embedder().embed(["", "\u0000", "ÄÖÜ 你好 🙂", "x" * 100_000])
    assert np.isfinite(vectors).all()


async def test_the_cache_is_bounded() -> None:
    small = MiniLM(cache_size=3)
    for n in range(6):
        await small.embed([f"text {n}"])
    assert len(small._cache) == 3
    known_and_new = ["text 5", *(f"more {n}" for n in range(5)), "text 5"]
    assert (await small.embed(known_and_new)).shape == (7, 384)  # pushed out while being read


async def test_another_file_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "SHA256", "0" * 64)
    with pytest.raises(errors.ModelFailed, match="is not the model that was tested"):
        await MiniLM().embed(["x"])


@pytest.mark.parametrize("spec", ["word2vec", "openai:", ""])
def test_an_unknown_embedder_names_the_known(spec: str) -> None:
    with pytest.raises(errors.InvalidInput, match="use minilm, openai:MODEL"):
        embedder(spec)


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "direct"),
        ({"OPENAI_API_KEY": "sk-example"}, "openai:gpt-4o-mini"),
        ({"OPENAI_API_KEY": "sk-example", "LMOS_MODEL": "groq:x"}, "groq:x"),
        ({"MISTRAL_API_KEY": "example", "LMOS_MODEL": "direct"}, "direct"),
    ],
)
def test_auto_goes_by_the_environment(environment: dict[str, str], name: str) -> None:
    nobody = {"OLLAMA_HOST": "127.0.0.1:9"}
    assert resolve_model("auto", {**nobody, **environment}).name == name


def test_direct_has_no_model_and_says_how_to_get_one() -> None:
    choice = resolve_model("auto", {"OLLAMA_HOST": "127.0.0.1:9"})
    assert choice.model is None
    assert "LMOS_MODEL" in choice.why


def test_a_spec_that_means_nothing() -> None:
    with pytest.raises(errors.InvalidInput, match="provider:model"):
        resolve_model("gpt")
    with pytest.raises(errors.InvalidInput, match="cannot be used"):
        _ = resolve_model("nobody:gpt").model


def test_a_compatible_endpoint_is_a_model_without_a_key() -> None:
    model = resolve_model("openai:tiny@http://127.0.0.1:9/v1").model
    assert model is not None
    assert (model.model_name, model.base_url) == ("tiny", "http://127.0.0.1:9/v1/")


async def test_the_scripted_model_follows_its_script() -> None:
    from pydantic_ai.direct import model_request_stream
    from pydantic_ai.messages import ModelRequest

    scripted = ScriptedModel("one two", "three")
    for expected in ("one two", "three", "three"):
        async with model_request_stream(
            scripted.model, [ModelRequest.user_text_prompt("hi")]
        ) as stream:
            async for _ in stream:
                pass
        assert stream.get().text == expected
    assert len(scripted.requests) == 3


def test_the_variables_of_arc_name_a_model() -> None:
    known = {"ARC_MODEL": "gpt-x", "OPENAI_API_KEY": "example"}
    assert resolve_model("auto", known).name == "openai:gpt-x"
    known = {"ARC_CLIENT": "azure", "ARC_MODEL": "m", "ARC_AI_URL": "http://127.0.0.1:1/v1"}
    assert resolve_model("auto", known).name == "openai:m@http://127.0.0.1:1/v1"
    known = {"ARC_CLIENT": "langchain4j-gemini", "ARC_MODEL": "m", "ARC_AI_URL": "http://x"}
    assert resolve_model("auto", known).name == "google:m"
    assert resolve_model("auto", {**known, "LMOS_MODEL": "direct"}).direct
    with pytest.raises(errors.InvalidInput, match="ARC_CLIENT is 'none'; it can be openai"):
        resolve_model("auto", {"ARC_CLIENT": "none", "ARC_MODEL": "m"})
