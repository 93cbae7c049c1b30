"""This module asks B2 whether the administrator's key is a key at all, before the provider fails with a traceback."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping

#: B2's own address, and how it is asked: https://www.backblaze.com/apidocs/b2-authorize-account
PUBLIC = "https://api.backblazeb2.com"
AUTHORIZE = "/b2api/v4/b2_authorize_account"
SECONDS = 10
#: Where the provider finds each half of the key: the stack's configuration, else the environment.
HALVES = {"b2:applicationKeyId": "B2_APPLICATION_KEY_ID", "b2:applicationKey": "B2_APPLICATION_KEY"}


def trouble(api: str, config: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """Return what is wrong with the key, or an empty text; where B2 cannot be asked, the provider will tell.

    `api` is another address of B2 than the public one, or empty.
    """
    found = {name: config.get(name) or environment.get(variable, "") for name, variable in HALVES.items()}
    missing = [name for name, value in found.items() if not value]
    if missing:
        said = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: B2 lets nobody in without"
        remedy = f"set both with `pulumi config set --secret`, or in the environment as {' and '.join(HALVES.values())}"
        return f"{said} -- {remedy}"
    basic = base64.b64encode(":".join(found.values()).encode()).decode()
    request = urllib.request.Request((api or PUBLIC) + AUTHORIZE, headers={"Authorization": f"Basic {basic}"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):  # the service, or what lies between
            return ""
        return (
            f"B2 refuses the key of b2:applicationKeyId: {error.code} {_said(error)} -- make a new key in B2's "
            "console, and set both of its halves, b2:applicationKeyId and b2:applicationKey, with `pulumi config set "
            "--secret`"
        )
    except OSError:
        return ""


def _said(error: urllib.error.HTTPError) -> str:
    try:
        document = json.loads(error.read(4096))
        return f"{document['code']} ({document['message']})"
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
