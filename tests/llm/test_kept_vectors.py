"""Vectors in a file: what is there is not embedded again, and the file never stands in the way."""

import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lmos.llm import embedder
from lmos.llm.kept import KeptVectors

TEXTS = ["how much do I owe", "what is the amount of my bill", "the weather is nice today"]

ANOTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from lmos.llm import embedder
from lmos.llm.kept import KeptVectors

texts = [f"text {n} of {sys.argv[2]}" for n in range(10)] + ["a text of both"]
for text in texts:
    asyncio.run(KeptVectors(embedder(), Path(sys.argv[1])).embed([text]))
"""


class Counting:
    """The real embedder, and the texts that it was asked for."""

    def __init__(self, name: str = "") -> None:
        self.name = name or embedder().name
        self.d = embedder().d
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        return await embedder().embed(texts)


async def asked(path: Path, texts: Sequence[str], *, name: str = "", **options: int) -> list[str]:
    """What a new instance has embedded for the texts; its vectors are the right ones."""
    counting = Counting(name)
    kept = KeptVectors(counting, path, **options)
    vectors = await kept.embed(texts)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, await embedder().embed(texts))
    assert (kept.name, kept.d) == (counting.name, 384)
    return counting.asked


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("select count(*) from vectors").fetchone()[0])


async def test_a_second_instance_embeds_nothing_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "vectors.sqlite"
    assert await asked(path, [*TEXTS, TEXTS[0]]) == TEXTS
    assert await asked(path, [TEXTS[2], *TEXTS]) == []


async def test_only_a_changed_text_is_embedded(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    await asked(path, TEXTS)
    assert await asked(path, [*TEXTS[:2], "it rains"]) == ["it rains"]


async def test_more_texts_than_are_read_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    texts = [f"text {n}" for n in range(1100)]
    assert await asked(path, texts) == texts
    assert await asked(path, texts) == []


async def test_no_text_is_in_the_file(tmp_path: Path) -> None:
    await asked(tmp_path / "vectors.sqlite", TEXTS)
    with closing(sqlite3.connect(tmp_path / "vectors.sqlite")) as connection:
        content = connection.serialize()
    assert embedder().name.encode() in content
    assert not [text for text in TEXTS if text.encode() in content]


async def test_vectors_of_another_model_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    await asked(path, TEXTS)
    assert await asked(path, TEXTS, name="another") == TEXTS
    assert await asked(path, TEXTS) == []


async def test_vectors_of_other_dimensions_are_embedded_again(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    await asked(path, TEXTS)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update vectors set vector = zeroblob(8)")
    assert await asked(path, TEXTS) == TEXTS
    assert await asked(path, TEXTS) == []


async def test_those_used_longest_ago_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    for now, text in enumerate([TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[2]]):
        await KeptVectors(Counting(), path, rows=2, clock=lambda now=now: now).embed([text])
    assert count(path) == 2
    assert await asked(path, TEXTS, rows=2) == [TEXTS[1]]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_broken_file_is_moved_aside(
    tmp_path: Path, whole: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "vectors.sqlite"
    await asked(path, TEXTS)
    content = path.read_bytes()
    path.write_bytes(b"no database " * 999 if whole else content[:4096] + b"\xff" * 8192)
    with caplog.at_level(logging.WARNING, "lmos.llm"):
        assert await asked(path, TEXTS) == TEXTS
    assert "is broken" in caplog.text
    assert path.with_name("vectors.sqlite.broken").exists()
    assert await asked(path, TEXTS) == []


@pytest.mark.parametrize("kind", ["read-only", "no directory", "a directory"])
async def test_without_a_file_every_text_is_embedded(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "place" / "vectors.sqlite"
    if kind == "no directory":
        path.parent.write_text("a file")
    elif kind == "a directory":
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(mode=0o500)
        if os.access(path.parent, os.W_OK):  # as root, who may write anywhere but here
            path = Path("/proc/vectors.sqlite")
    kept = KeptVectors(Counting(), path)
    with caplog.at_level(logging.WARNING, "lmos.llm"):
        for _ in range(2):
            assert np.array_equal(await kept.embed(TEXTS), await embedder().embed(TEXTS))
    assert caplog.text.count("cannot be used") == 1


async def test_instances_at_once(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    jobs = [[*TEXTS, f"text {n}"] for n in range(8)]
    await asyncio.gather(*(asked(path, job) for job in jobs))
    assert count(path) == len(TEXTS) + len(jobs)


async def test_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", ANOTHER_PROCESS, str(path), name, stderr=asyncio.subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    said = [(await process.communicate())[1] for process in processes]
    assert said == [b"", b""]
    assert count(path) == 21
