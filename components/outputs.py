"""What `pulumi up` says at its end."""

from __future__ import annotations

_NEXT = {
    "prepare": "copy while everything runs: pulumi config set phase mirror && pulumi up",
    "mirror": "move to the bucket in a short window: pulumi config set phase live && pulumi up",
    "live": "once you are confident, remove the local copy {backup}: pulumi config set phase clean && pulumi up; "
    "or go back: pulumi config set phase prepare && pulumi up",
    "clean": "nothing; to go back (everything is downloaded): pulumi config set phase prepare && pulumi up",
}


def next_step(phase: str, media_store: str) -> str:
    """The next step with its command."""
    return _NEXT.get(phase, "").format(backup=f"{media_store}-local-backup")
