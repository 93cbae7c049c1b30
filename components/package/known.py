"""This module tells what is known of a component's arguments: in a preview, what a resource will say is not.

Where the component declared nothing then, a preview would show all it laid as deleted. So it declares the same, with
words that stand for what is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.settings.presets import region_of

#: What stands for a text that is not known yet, by the setting's own name; others are left out, and have their default.
STAND_INS = {
    "account": "unknown",
    "host": "unknown.invalid",
    "jumpHost": "unknown.invalid",
    "hostKey": f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}",
    "jumpHostKey": f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'A' * 43}",
    "privateKey": "-----BEGIN OPENSSH PRIVATE KEY-----\nunknown\n-----END OPENSSH PRIVATE KEY-----\n",
    "endpoint": "https://unknown.invalid",
    "region": "us-east-1",
    "bucket": "unknown",
    "accessKeyId": "unknown",
    "secretAccessKey": "unknown",
}


class Known:
    """A `Known` collects the values of arguments; `complete` is false once one was not known."""

    def __init__(self) -> None:
        self.complete = True

    async def of(self, value: Any, name: str = "") -> Any:
        """Return a value with all that is in it, or what stands for it; None where nothing does."""
        if isinstance(value, pulumi.Output):
            if not await value.is_known():
                self.complete = False
                return STAND_INS.get(name)
            return await self.of(await value.future(), name)
        if isinstance(value, Mapping):
            return await self._section(value)
        if isinstance(value, list):
            return [each for each in [await self.of(each) for each in value] if each is not None]
        return value

    async def _section(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a section; beside a word that stands for a value, what would not go together with it is left out."""
        unknown = {name for name, value in values.items() if await _is_unknown(value)}
        found = {name: await self.of(value, name) for name, value in values.items()}
        if "endpoint" in unknown and found.get("preset"):
            del found["endpoint"]
        if "region" in unknown and found.get("endpoint"):
            found["region"] = region_of(str(found["endpoint"])) or found["region"]
        if "privateKey" in unknown:
            found.pop("privateKeyPassword", None)
        if "bucket" in unknown:
            found.pop("adopt", None)  # nobody looks for a bucket of that name
        return {name: value for name, value in found.items() if value is not None}


async def _is_unknown(value: Any) -> bool:
    return isinstance(value, pulumi.Output) and not await value.is_known()


def unknown() -> pulumi.Output[Any]:
    """Return an output that is not known before the update."""
    return pulumi.Output(set(), _later(None), _later(False))


async def _later(value: Any) -> Any:
    return value
