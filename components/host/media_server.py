"""This module is the server as a component: agent, mount, media store, in this order.

The agent comes first and is the anchor: putting it there risks nothing, and deleting it brings the store home. Whatever
a killed `pulumi up` left behind, something in the state leads back.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pulumi

from ..settings import Phase
from ..store import Store
from . import zipapp
from .command import agent_text, delete_text, host_command, if_agent_is_there, verdict
from .connection import Connection
from .observation import StartFrom
from .sections import Sections, store_keys, store_section


def emptying_of(store: Store) -> list[str]:
    """Return the words with which a store's bucket is emptied, where the stack says so."""
    return ["--empty-bucket"] if store.empty_on_destroy else []


class MediaServer(pulumi.ComponentResource):
    """A `MediaServer` is the component that holds the server to a phase."""

    #: The verdict of the command that brings the server to its phase.
    verdict: pulumi.Output[dict[str, Any]]
    #: That of the last move to another store; empty where there was none.
    moved: pulumi.Output[dict[str, Any]]
    #: The mark of the last repair.
    repairs: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        connection: Connection,
        store: Store,
        stores: Mapping[str, Store] = MappingProxyType({}),
        sections: Sections,
        token: dict[str, pulumi.Input[Any]],
        phase: Phase,
        start: pulumi.Input[StartFrom],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("matrix-media-store:host:MediaServer", name, None, opts)
        user = connection.user
        # While the media move, both stores are in use.
        several = stores if len(stores) > 1 else {}
        ready = [resource for each in several.values() or [store] for resource in each.ready]
        # A move goes by these, and the mount's command is where it is done.
        bounds: dict[str, Any] = {}
        if several:
            bounds = {"copy": sections.copy, "migration": sections.migration, "cutover": sections.cutover}

        def text(*arguments: pulumi.Input[str], piped: bool = False, **shown: Any) -> pulumi.Output[str]:
            """Return the shell command for the agent with these arguments; its settings are the last one."""
            document = pulumi.Output.json_dumps(shown, sort_keys=True)
            words = pulumi.Output.all(*arguments, "--settings", document)
            return words.apply(lambda known: agent_text(user, *known, piped=piped))

        after = pulumi.Output.from_input(start).apply(lambda seen: seen.after)
        self.repairs = pulumi.Output.from_input(start).apply(lambda seen: seen.repairs)
        mine = ["--stack", str(sections.host["stack"])]
        agent = host_command(
            f"{name}-agent",
            connection=connection,
            run=text(
                "install", "--sha256", zipapp.sha256(), "--repairs", self.repairs,
                piped=True, host=sections.host, store=sections.store,
            ),
            delete=text("uninstall", *mine, *emptying_of(store), piped=True, host=sections.host, store=sections.store),
            secrets={"agent": zipapp.encoded(), **store_keys(store)},
            depends_on=ready,
            parent=self,
        )  # fmt: skip
        mount = host_command(
            f"{name}-mount",
            connection=connection,
            run=text("mount", "--repairs", self.repairs, store=sections.store, mount=sections.mount, **bounds),
            delete=delete_text(user, "unmount", *mine),
            secrets=store_keys(store) | (token if several else {}),
            depends_on=[*ready, agent],
            parent=self,
        )
        media_store = host_command(
            f"{name}-media-store",
            connection=connection,
            run=text(
                "converge",
                "--phase",
                phase,
                "--after",
                after,
                copy=sections.copy,
                migration=sections.migration,
                cutover=sections.cutover,
            ),
            delete=delete_text(user, "converge", *mine, "--phase", "local", "--after", "any"),
            secrets=token,
            depends_on=[*ready, agent, mount],
            parent=self,
        )
        for key, each in several.items():
            shown = store_section(each, key)
            # The last to come and the first to go: a store that is taken out of the stack goes after this.
            host_command(
                f"{name}-{key}-kept" if key else f"{name}-kept",
                connection=connection,
                run=text("keep", store=shown),
                delete=text("leave", *mine, *emptying_of(each), store=shown).apply(if_agent_is_there),
                secrets=store_keys(each),
                depends_on=[*each.ready, agent, mount, media_store],
                parent=self,
            )
        self.verdict = verdict(media_store.stdout)
        self.moved = verdict(mount.stdout).apply(lambda told: told.get("moved", {}))
        self.register_outputs({"verdict": self.verdict})
