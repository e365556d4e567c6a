"""For the tests of the tape."""

import math

import pytest


@pytest.fixture(autouse=True)
def compiled_at_once(request, monkeypatch):
    """No tape is interpreted first: what is tested is compiled code, but for the modules that say INTERPRETED."""
    from micrograd.tape.back_ends.llvm import versions

    if not getattr(request.module, "INTERPRETED", False):
        monkeypatch.setattr(versions, "LEAST_INTERPRETED", math.inf)
