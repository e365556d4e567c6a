"""The page on Dask: its Python runs as it stands."""

import re
from pathlib import Path

import pytest

dask = pytest.importorskip("dask", reason="the extra `scale` has it")


def test_the_page_runs(capsys):
    page = Path(__file__).parents[2] / "docs" / "scale.md"
    pieces = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(pieces) >= 5
    names = {"__name__": "page"}
    with dask.config.set(scheduler="synchronous"):
        for piece in pieces:
            exec(compile(piece, str(page), "exec"), names)
        assert names["lazy"].sum().compute() == 0.0
    del names["data"], names["out"]
    names["folder"].cleanup()
