"""For all tests: fuzzing tries the same examples in each run, so that a failure is a change's, not chance's."""

import os

from hypothesis import settings

# Each worker has a world of the sandbox to itself.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["MATRIX_MEDIA_STORE_WORLD"] = worker

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
