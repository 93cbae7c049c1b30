"""This module has the user, its policy and its keys.

terraform-provider-aws, internal/service/iam/user.go, user_policy.go and access_key.go.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi_aws as aws
from botocore.exceptions import ClientError

from ..bridged import equivalent
from ..checking import Values
from ..resource import Log
from .account import account, as_list, as_map, code_of
from .bucket import AwsResource
from .schema import inputs_of

#: What IAM says of what is not there.
GONE = "NoSuchEntity"


class IamResource(AwsResource):
    """An `IamResource` is there or not, as IAM says."""

    def call(self, name: str, **arguments: Any) -> Values:
        """Return an answer of IAM, empty where what was asked for or deleted is not there."""
        try:
            answer: Values = getattr(account().client("iam"), name)(**arguments)
        except ClientError as error:
            if code_of(error) == GONE and name.startswith(("get", "list", "delete")):
                return {}
            raise
        return answer


class User(IamResource):
    """`aws:iam/user:User`. Deleting one with keys or policies left fails."""

    inputs = inputs_of(aws.iam.User, defaults={"path": "/"})
    outputs = ("arn", "uniqueId", "tagsAll")
    stable_outputs = ("arn", "uniqueId")
    autonamed = "name"

    def create(self, inputs: Values, log: Log) -> Values:
        tags = inputs["tagsAll"]
        self.call(
            "create_user", UserName=inputs["name"], Path=inputs["path"], **({"Tags": as_list(tags)} if tags else {})
        )
        return self.read(inputs) or {}

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        old, new = state.get("tagsAll") or {}, inputs["tagsAll"]
        if (state["name"], state["path"]) != (inputs["name"], inputs["path"]):
            self.call("update_user", UserName=state["name"], NewUserName=inputs["name"], NewPath=inputs["path"])
        if gone := [name for name in old if name not in new]:
            self.call("untag_user", UserName=inputs["name"], TagKeys=gone)
        if old != new and new:
            self.call("tag_user", UserName=inputs["name"], Tags=as_list(new))
        return self.read(inputs) or {}

    def read(self, state: Values) -> Values | None:
        answer = self.call("get_user", UserName=state["name"])
        if not answer:
            return None
        user = answer["User"]
        found = account().heeded(as_map(user.get("Tags", [])))
        return {
            "name": user["UserName"], "path": user["Path"], "arn": user["Arn"], "uniqueId": user["UserId"],
            "tagsAll": found, "tags": account().own_tags(found, state.get("tags") or {}),
        }  # fmt: skip

    def delete(self, state: Values, log: Log) -> None:
        self.call("delete_user", UserName=state["name"])

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["name"])


class UserPolicy(IamResource):
    """`aws:iam/userPolicy:UserPolicy`."""

    inputs = inputs_of(aws.iam.UserPolicy, ("name", "namePrefix", "user"))
    documents = ("policy",)
    autonamed = "name"

    def create(self, inputs: Values, log: Log) -> Values:
        json.loads(inputs["policy"])
        self.call(
            "put_user_policy", UserName=inputs["user"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )
        return self.read(inputs) or {}

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        return self.create(inputs, log)

    def read(self, state: Values) -> Values | None:
        answer = self.call("get_user_policy", UserName=state["user"], PolicyName=state["name"])
        if not answer:
            return None
        policy = json.dumps(answer["PolicyDocument"])
        return {"policy": state["policy"] if equivalent(state["policy"], policy) else policy}

    def delete(self, state: Values, log: Log) -> None:
        self.call("delete_user_policy", UserName=state["user"], PolicyName=state["name"])

    def id_of(self, name: str, properties: Values) -> str:
        return f"{properties['user']}:{properties['name']}"


class AccessKey(IamResource):
    """`aws:iam/accessKey:AccessKey`; its id is the access key id. Only its making shows the secret."""

    inputs = inputs_of(
        aws.iam.AccessKey, ("user", "pgpKey"), {"status": ("Active", "Inactive")}, defaults={"status": "Active"}
    )
    outputs = ("secret", "createDate", "sesSmtpPasswordV4", "accessKeyId")
    secret_outputs = ("secret", "sesSmtpPasswordV4")
    stable_outputs = outputs

    def create(self, inputs: Values, log: Log) -> Values:
        key = self.call("create_access_key", UserName=inputs["user"])["AccessKey"]
        made = {"secret": key["SecretAccessKey"], "sesSmtpPasswordV4": "not made by the stand-in"}
        found = {**inputs, **made, "accessKeyId": key["AccessKeyId"]}
        if inputs["status"] != "Active":
            self._set_status(found)
        return {**found, **(self.read(found) or {})}

    def update(self, state: Values, inputs: Values, log: Log) -> Values:
        self._set_status({**state, "status": inputs["status"]})
        return {name: state[name] for name in self.outputs}

    def _set_status(self, values: Values) -> None:
        self.call(
            "update_access_key", UserName=values["user"], AccessKeyId=values["accessKeyId"], Status=values["status"]
        )

    def read(self, state: Values) -> Values | None:
        keys = self.call("list_access_keys", UserName=state["user"]).get("AccessKeyMetadata", [])
        for key in keys:
            if key["AccessKeyId"] == state["accessKeyId"]:
                return {"status": key["Status"], "createDate": key["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ")}
        return None

    def delete(self, state: Values, log: Log) -> None:
        account().client("iam").delete_access_key(UserName=state["user"], AccessKeyId=state["accessKeyId"])

    def id_of(self, name: str, properties: Values) -> str:
        return str(properties["accessKeyId"])
