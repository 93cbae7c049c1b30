"""The sandbox runs for the chosen cases as it does for the end-to-end tests."""

from ..e2e.conftest import sandbox as sandbox
