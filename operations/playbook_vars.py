"""This module makes the lines for the playbook's vars.yml, with the keys, from the stack's outputs.

They are those of synapse-s3-storage-provider where the stack hands over to it, else those of the playbook's mount.
"""

from __future__ import annotations

import json

from pulumi import automation

from components.playbook import PROVIDER_NOT_YET

from .workspace import OperationError, pulumi

OUTPUTS = ("playbookVars", "playbookKeys")
PROVIDERS_OUTPUTS = ("providerVars", "providerKeys")
#: How an earlier version began lines that were not for use yet; a stack that was not updated since has them still.
EARLIER = "# not yet: pulumi config set --path mount.managedBy"


def lines(stack: automation.Stack) -> str:
    """Return the lines as YAML, with secrets in plain text, for a file that Ansible Vault is to encrypt.

    Raises OperationError where the stack has none, or they would do harm.
    """
    outputs = json.loads(pulumi("stack", "output", "--json", "--show-secrets", "--stack", stack.name))
    wanted = PROVIDERS_OUTPUTS if PROVIDERS_OUTPUTS[0] in outputs else OUTPUTS
    if "phase" not in outputs:
        raise OperationError("the stack has no outputs yet -- run pulumi up")
    if any(name not in outputs for name in wanted) or outputs[wanted[0]].startswith(EARLIER):
        raise OperationError(
            "with these lines the playbook's mount would cover a local media store, since mount.managedBy is stack -- "
            "pulumi config set --path mount.managedBy playbook && pulumi up, then ask again"
        )
    if outputs[wanted[0]].startswith(PROVIDER_NOT_YET):
        raise OperationError(
            "synapse-s3-storage-provider takes over where all media are on disk and in the bucket, in phase mirror -- "
            "pulumi config set phase mirror && pulumi up, then ask again"
        )
    return "\n".join(outputs[name] for name in wanted)
