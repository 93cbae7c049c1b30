"""For the tests of all but the agent: what AWS's clients are made of is read once."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import botocore.session
import pytest


@pytest.fixture(autouse=True, scope="session")
def one_reading_of_botocores_data() -> Iterator[None]:
    """Each session of botocore's would read and parse its megabytes of JSON anew, and changes none of it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield
