"""This module has the provider's own settings, and the account that they lead to: clients, id and default tags.

What the published provider makes of them: pulumi-aws, provider/config.go and provider/tags.go, and
hashicorp/aws-sdk-go-base, aws_config.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pulumi_aws as aws
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ..checking import Values
from .schema import inputs_of

CONFIG = inputs_of(aws.Provider, choices={"retryMode": ("standard", "adaptive")})

NO_REGION = (
    "Missing region information\nMake sure you have set your AWS region, e.g. `pulumi config set aws:region us-west-2`."
)
NO_CREDENTIALS = "No valid credential sources found."
INVALID_CREDENTIALS = "The configured AWS credentials are invalid or have expired."
#: What lies in files, or behind an address, of botocore's own settings.
_FOUND_BY = {
    "sharedConfigFiles": "config_file",
    "sharedCredentialsFiles": "credentials_file",
    "ec2MetadataServiceEndpoint": "ec2_metadata_service_endpoint",
    "ec2MetadataServiceEndpointMode": "ec2_metadata_service_endpoint_mode",
}
#: Settings of a role to be assumed, and what STS calls them.
_ROLE = {
    "roleArn": "RoleArn",
    "externalId": "ExternalId",
    "policy": "Policy",
    "sourceIdentity": "SourceIdentity",
    "transitiveTagKeys": "TransitiveTagKeys",
    "webIdentityToken": "WebIdentityToken",
}


def validate(config: Values) -> str:
    """Return what is wrong with the credentials: STS is asked, at its own address, unless a setting says not to."""
    if "assumeRole" in config:
        return "invalid config key 'aws:assumeRole', should be 'aws:assumeRoles'"
    if config.get("skipCredentialsValidation"):
        return ""
    try:
        found = Account({**config, "endpoints": []})
        if not found.lacks:
            found.caller()
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and code_of(error) == "InvalidClientTokenId":
            return INVALID_CREDENTIALS
        return f"unable to validate AWS credentials.\nDetails: {error}\n"
    return found.lacks


class Account:
    """An `Account` is what the settings lead to; its id is empty where they say not to ask for it."""

    def __init__(self, config: Values) -> None:
        self._config = config
        core = botocore.session.Session()
        for ours, theirs in _FOUND_BY.items():
            if value := config.get(ours):
                core.set_config_variable(theirs, value[0] if isinstance(value, list) else value)
        self._session = boto3.Session(
            aws_access_key_id=config.get("accessKey"), aws_secret_access_key=config.get("secretKey"),
            aws_session_token=config.get("token"), profile_name=config.get("profile"),
            region_name=config.get("region"), botocore_session=core,
        )  # fmt: skip
        self.id = ""
        for call, role in self._roles():
            made = getattr(self.client("sts"), call)(**role)["Credentials"]
            self._session = boto3.Session(
                made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], self._session.region_name
            )

    def _roles(self) -> Iterator[tuple[str, Values]]:
        web = self._config.get("assumeRoleWithWebIdentity")
        for role in [web] if web else self._config.get("assumeRoles") or []:
            made: Values = {theirs: role[ours] for ours, theirs in _ROLE.items() if role.get(ours)}
            made["RoleSessionName"] = role.get("sessionName") or "pulumi"
            if role.get("policyArns"):
                made["PolicyArns"] = [{"arn": arn} for arn in role["policyArns"]]
            if role.get("tags"):
                made["Tags"] = as_list(role["tags"])
            if role.get("duration"):
                seconds = {"h": 3600, "m": 60, "s": 1}
                parts = re.findall(r"(\d+)([hms])", role["duration"])
                made["DurationSeconds"] = sum(int(number) * seconds[unit] for number, unit in parts)
            if role.get("webIdentityTokenFile"):
                made["WebIdentityToken"] = Path(role["webIdentityTokenFile"]).read_text()
            yield "assume_role_with_web_identity" if web else "assume_role", made

    def client(self, service: str, region: str | None = None) -> Any:
        """Return a client at the resource's own region, or at the provider's."""
        config = self._config
        endpoints = {name: url for entry in config.get("endpoints") or [] for name, url in entry.items() if url}
        given = {
            "retries": {
                name: config[setting]
                for name, setting in (("max_attempts", "maxRetries"), ("mode", "retryMode"))
                if config.get(setting)
            },
            "proxies": {name: config[f"{name}Proxy"] for name in ("http", "https") if config.get(f"{name}Proxy")},
            "use_fips_endpoint": config.get("useFipsEndpoint"),
            "use_dualstack_endpoint": config.get("useDualstackEndpoint"),
            "user_agent_extra": " ".join(config.get("userAgents") or []),
        }
        return self._session.client(
            service, endpoint_url=endpoints.get(service), verify=_verified(config),
            region_name=region or (service == "sts" and config.get("stsRegion")) or None,
            config=Config(
                s3={"addressing_style": "path" if config.get("s3UsePathStyle") else "virtual"},
                **{name: value for name, value in given.items() if value},
            ),
        )  # fmt: skip

    @property
    def region(self) -> str:
        return str(self._session.region_name)

    @property
    def lacks(self) -> str:
        """Return what is missing that nothing can be done without, in the provider's words."""
        if self._session.get_credentials() is None:
            return NO_CREDENTIALS
        return "" if self._session.region_name else NO_REGION

    def caller(self) -> str:
        """Return the account's id as STS has it."""
        return str(self.client("sts").get_caller_identity()["Account"])

    def open(self) -> None:
        """Find the account's id; raise RuntimeError where the provider would refuse to be configured."""
        if self.lacks:
            raise RuntimeError(self.lacks)
        if self._config.get("skipRegionValidation") is False and self.region not in _regions(self._session):
            raise RuntimeError(f"invalid AWS Region: {self.region}")
        self.id = self._ask_for_id()
        allowed, forbidden = (self._config.get(f"{name}AccountIds") or [] for name in ("allowed", "forbidden"))
        if self.id in forbidden or (allowed and self.id not in allowed):
            raise RuntimeError(f"AWS account ID not allowed: {self.id}")

    def _ask_for_id(self) -> str:
        if not self._config.get("skipCredentialsValidation"):
            try:
                return self.caller()
            except (BotoCoreError, ClientError) as error:
                said = f"validating provider credentials: retrieving caller identity from STS: {error}"
                raise RuntimeError(said) from None
        if self._config.get("skipRequestingAccountId"):
            return ""
        ways: tuple[Callable[[], str], ...] = (
            lambda: _account_of(self.client("iam").get_user()["User"]["Arn"]),
            self.caller,
            lambda: _account_of(self.client("iam").list_roles(MaxItems=1)["Roles"][0]["Arn"]),
        )
        errors = []
        for way in ways:
            try:
                return way()
            except (BotoCoreError, ClientError, IndexError) as error:
                errors.append(str(error))
        raise RuntimeError(
            "AWS account ID not previously found and failed retrieving via all available methods.\n\nErrors: "
            + "\n".join(errors)
        )

    def tags_all(self, tags: dict[str, str]) -> dict[str, str]:
        """Return a resource's own tags and the provider's, without those that it is to ignore."""
        return self.heeded({**self._defaults, **tags})

    def own_tags(self, found: dict[str, str], given: dict[str, str]) -> dict[str, str]:
        """Return those of the tags found on a resource that are not there by the provider's settings alone."""
        return {name: value for name, value in found.items() if name in given or self._defaults.get(name) != value}

    def heeded(self, tags: dict[str, str]) -> dict[str, str]:
        """Return the tags without AWS's own, and without those that the settings say to ignore."""
        ignored = self._config.get("ignoreTags") or {}
        keys, prefixes = ignored.get("keys") or [], ("aws:", *(ignored.get("keyPrefixes") or []))
        return {name: value for name, value in tags.items() if name not in keys and not name.startswith(prefixes)}

    @property
    def _defaults(self) -> dict[str, str]:
        return (self._config.get("defaultTags") or {}).get("tags") or {}

    @property
    def configured_region(self) -> str | None:
        """Return the region that the setting itself names, whatever the environment says."""
        return self._config.get("region")


_OPENED: list[Account] = []


def configure(config: Values) -> None:
    """Open the account that all resources are in from now on."""
    found = Account(config)
    found.open()
    _OPENED[:] = [found]


def account() -> Account:
    """Return the account that was opened last."""
    return _OPENED[0]


def as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags as the services take them."""
    return [{"Key": name, "Value": value} for name, value in tags.items()]


def as_map(tags: list[dict[str, str]]) -> dict[str, str]:
    """Return tags as the program has them."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def code_of(error: ClientError) -> str:
    """Return the code that the service gave to an error."""
    return str(error.response["Error"]["Code"])


def _account_of(arn: str) -> str:
    return arn.split(":")[4]


def _verified(config: Values) -> bool | str | None:
    return False if config.get("insecure") else config.get("customCaBundle")


def _regions(session: boto3.Session) -> set[str]:
    return {name for part in session.get_available_partitions() for name in session.get_available_regions("ec2", part)}
