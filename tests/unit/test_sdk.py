"""The generated SDK of the B2 provider is for one version of it, and the program loads no more than it needs."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest
import yaml

from sandbox.engine import PLUGINS
from sandbox.plugins.aws.resources import PROVIDER as AWS
from sandbox.plugins.terraform_provider.b2 import PROVIDER as B2
from sandbox.plugins.terraform_provider.b2 import parameterize
from sandbox.plugins.terraform_provider.schema import SCHEMA
from sandbox.world import ROOT

SDK = ROOT / "sdks/b2/pulumi_b2"
PLUGIN = json.loads((SDK / "pulumi-plugin.json").read_text())


def test_the_sdk_names_one_provider_and_version_wherever_it_does() -> None:
    parameter = json.loads(base64.b64decode(PLUGIN["parameterization"]["value"]))
    version = parameter["remote"]["version"]
    assert parameter == {"remote": {"url": "registry.opentofu.org/backblaze/b2", "version": version}}
    assert PLUGIN["parameterization"]["name"] == "b2" and PLUGIN["parameterization"]["version"] == version
    assert SCHEMA["version"] == version and PLUGIN["name"] == "terraform-provider"
    assert PLUGINS["terraform-provider"] == PLUGIN["version"] == B2.version
    text = (SDK / "_utilities.py").read_text()
    assert f'base_provider_version="{PLUGIN["version"]}"' in text and PLUGIN["parameterization"]["value"] in text


def test_an_install_fetches_no_provider_of_b2_for_those_who_have_no_stack_there() -> None:
    """Review, entry 62: `pulumi install` asks for what Pulumi.yaml and the installed SDKs want."""
    assert "packages" not in yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    assert PLUGIN["resource"] is False


def test_requirements_hold_the_command_and_the_sdk() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert lines[-2:] == ["-e .", "sdks/b2"]
    assert not [line for line in lines if "--hash" in line], "pip would refuse the folders"


@pytest.mark.parametrize("token", SCHEMA["resources"])
def test_the_sdks_resources_have_the_tokens_and_properties_of_the_schema(token: str) -> None:
    import pulumi._types as types
    import pulumi_b2

    name = token.rpartition(":")[2]
    resource, schema = getattr(pulumi_b2, name), SCHEMA["resources"][token]
    assert resource.pulumi_type == token
    arguments = getattr(pulumi_b2, f"{name}Args")
    assert set(types.input_type_py_to_pulumi_names(arguments).values()) == set(schema["inputProperties"])
    outputs = {getattr(value.fget, "_pulumi_name", "") for value in vars(resource).values() if hasattr(value, "fget")}
    assert set(schema["properties"]) <= outputs | {"id"}


def test_a_lifecycle_rule_has_the_schemas_properties() -> None:
    import pulumi._types as types
    import pulumi_b2

    names = set(types.input_type_py_to_pulumi_names(pulumi_b2.BucketLifecycleRuleArgs).values())
    assert names == set(SCHEMA["types"]["b2:index/BucketLifecycleRule:BucketLifecycleRule"]["properties"])


def test_the_stand_in_takes_the_sdks_parameter_and_no_other() -> None:
    value = base64.b64decode(PLUGIN["parameterization"]["value"])
    assert parameterize(value) == ("b2", SCHEMA["version"])
    with pytest.raises(RuntimeError, match="only"):
        parameterize(value.replace(b"backblaze/b2", b"hashicorp/random"))


def test_the_stand_ins_have_the_versions_of_the_sdks() -> None:
    import pulumi_aws._utilities as aws_sdk

    assert PLUGINS["aws"] == aws_sdk.get_version() == AWS.version


@pytest.mark.parametrize(("kind", "loaded"), [("existing", set()), ("aws", {"pulumi_aws"}), ("b2", {"pulumi_b2"})])
def test_only_the_provider_of_the_stacks_own_kind_is_imported(kind: str, loaded: set[str]) -> None:
    module = f"import sys, components.store.{kind}, components.host.media_server, components.settings"
    done = subprocess.run(
        [sys.executable, "-c", f"{module}; print(*{{name.partition('.')[0] for name in sys.modules}})"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {name for name in done.stdout.split() if name.startswith("pulumi_")} == {"pulumi_command", *loaded}
