"""The pages on the decision log and on shared memory: followed in their order, as they stand."""

from pathlib import Path

import pytest
from page_blocks import Reader, blocks

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "least"), [("decisions-log.md", 10), ("shared-memory.md", 7)])
def test_the_page_can_be_followed(page: str, least: int, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.follow(DOCS / page)
    texts = [text for language, text in blocks(DOCS / page) if language == "console"]
    assert len(reader.ran) == sum(text.count("$ ") for text in texts) >= least
