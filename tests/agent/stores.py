"""Stores that tests tell the agent of."""

from __future__ import annotations

import base64
import dataclasses

from agent.model.settings import StoreSettings
from agent.state.run import Run, keep_settings

from .conftest import Machine

#: A customer's key for SSE-C.
KEY = base64.b64encode(bytes(range(32))).decode()
STORE = StoreSettings(
    endpoint="https://store.test:9000", region="eu-x", bucket="media", storage_class="STANDARD_IA",
    access_key_id="ID", secret_access_key="SECRET-KEY", sse_customer_key=KEY,
)  # fmt: skip
#: One without a customer's key.
PLAIN = StoreSettings(
    endpoint="https://store.test:9000", region="eu-x", bucket="media", access_key_id="ID", secret_access_key="KEY"
)


def remember(server: Machine, **store: object) -> Run:
    """A server that was told of a store before, and now of another."""
    keep_settings(server.layout, {"store": dataclasses.asdict(server.settings.store)})
    server.tell(store=store)
    return server.run()
