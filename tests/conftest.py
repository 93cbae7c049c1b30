"""For all tests: fuzzing tries the same examples in each run, so that a failure is a change's, not chance's."""

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
