"""It makes a server, whose address nobody knows before, and has its media store in a bucket.

A real program takes the class from the SDK that `pulumi package add` generates.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_command import remote


class MediaStore(pulumi.ComponentResource):
    """As the generated SDK has it."""

    phase: pulumi.Output[str]
    summary: pulumi.Output[str]

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        token, told = "matrix-media-store:index:MediaStore", dict.fromkeys(["phase", "bucket", "summary", "next"])
        opts = pulumi.ResourceOptions(version="0.1.0")
        super().__init__(token, name, {**told, **arguments}, opts, remote=True)


config = pulumi.Config()
settings = config.require_object("settings")
key = config.require_secret("privateKey")
made = remote.Command(
    "server",
    connection=remote.ConnectionArgs(
        host=settings["server"]["host"], host_key=settings["server"]["hostKey"], private_key=key
    ),
    create=f"printf {settings['server']['host']} # of size {config.get('size')}",
    delete="test ! -e /usr/local/lib/matrix-media-store/agent.pyz",  # what is on it went home before
)
store = {**settings["store"], "secretAccessKey": config.require_secret("secretAccessKey")}
media = MediaStore(
    "media",
    {
        **settings,
        "phase": config.require("phase"),
        "server": {**settings["server"], "host": made.stdout, "privateKey": key},
        "store": {**store, "accessKeyId": config.require_secret("accessKeyId")},
    },
)
pulumi.export("phase", media.phase)
pulumi.export("summary", media.summary)
