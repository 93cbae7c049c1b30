"""The server as a component: agent, mount, media store, in this order.

The agent comes first and is the anchor: putting it there risks nothing, and deleting it brings the
store home. Whatever a killed `pulumi up` left behind, something in the state leads back.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi

from agent import VERSION

from ..settings import Phase
from ..store import Store
from . import zipapp
from .command import agent_text, delete_text, host_command, verdict
from .connection import Connection
from .sections import Sections, store_keys


class MediaServer(pulumi.ComponentResource):
    """Holds the server to a phase. `verdict` is the agent's last word, as a dictionary."""

    verdict: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        store: Store,
        sections: Sections,
        token: dict[str, pulumi.Input[Any]],
        phase: Phase,
        after: pulumi.Input[int],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("matrix-media-store:host:MediaServer", name, None, opts)
        user = connection.user

        def text(*arguments: str, piped: bool = False, **shown: Any) -> pulumi.Output[str]:
            """The agent's command; its settings are the last argument."""
            document = pulumi.Output.json_dumps(shown, sort_keys=True)
            return document.apply(lambda settings: agent_text(user, *arguments, "--settings", settings, piped=piped))

        emptying = ["--empty-bucket"] if store.empty_on_destroy else []
        agent = host_command(
            f"{name}-agent",
            connection=connection,
            run=text(
                "install", "--agent-version", VERSION, "--sha256", zipapp.sha256(),
                piped=True, host=sections.host, store=sections.store,
            ),
            delete=text("uninstall", *emptying, piped=True, host=sections.host, store=sections.store),
            secrets={"agent": zipapp.encoded(), **store_keys(store)},
            depends_on=store.ready,
            parent=self,
        )  # fmt: skip
        mount = host_command(
            f"{name}-mount",
            connection=connection,
            run=text("mount", store=sections.store, mount=sections.mount),
            delete=delete_text(user, "unmount"),
            secrets=store_keys(store),
            depends_on=[*store.ready, agent],
            parent=self,
        )
        converge = pulumi.Output.from_input(after).apply(
            lambda n: agent_text(
                user, "converge", "--phase", phase, "--after", str(n),
                "--settings", json.dumps({"migration": sections.migration}, sort_keys=True),
            )
        )  # fmt: skip
        media_store = host_command(
            f"{name}-media-store",
            connection=connection,
            run=converge,
            delete=delete_text(user, "converge", "--phase", "local", "--after", "any"),
            secrets=token,
            depends_on=[*store.ready, agent, mount],
            parent=self,
        )
        self.verdict = verdict(media_store.stdout)
        self.register_outputs({"verdict": self.verdict})
