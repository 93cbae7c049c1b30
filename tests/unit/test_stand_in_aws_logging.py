"""Access logs of a bucket, as the published AWS plugin sets them and S3 takes them."""

from __future__ import annotations

import json

import pytest

from sandbox.plugins.aws.resources import PROVIDER
from tests.unit.speaking import Refused, Speaker

from .test_stand_in_aws import BUCKET, by_hand, cloud, made, of_bucket, unchanged

__all__ = ["cloud"]
INPUTS = {"bucket": "media", "targetBucket": "our-logs", "targetPrefix": "matrix/"}
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
LETS_WRITE = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": ["s3:PutObject"],
            "Resource": "arn:aws:s3:::our-logs/matrix/*",
        }
    ],
}


def test_logs_are_set_seen_and_taken_away_and_the_other_bucket_must_let_the_service_write(cloud: list[str]) -> None:
    bucket, _, bucket_state = made(BUCKET, {"bucket": "media"})
    logging = Speaker(PROVIDER, of_bucket("BucketLogging"))
    with pytest.raises(Refused, match="target bucket for logging does not exist"):
        logging.create(INPUTS)
    made(BUCKET, {"bucket": "our-logs"})
    with pytest.raises(Refused, match="permissions to the logging service"):
        logging.create(INPUTS)
    by_hand("s3").put_bucket_policy(Bucket="our-logs", Policy=json.dumps(LETS_WRITE))
    number, state = logging.create(INPUTS)
    assert number == "media" and logging.read(state, INPUTS) == unchanged(logging, state, INPUTS)
    by_hand("s3").put_bucket_logging(Bucket="media", BucketLoggingStatus={})
    assert logging.read(state, INPUTS) is None
    state = logging.update(state, INPUTS)
    assert logging.read(state, INPUTS) == unchanged(logging, state, INPUTS)
    logging.delete(state)
    assert "LoggingEnabled" not in by_hand("s3").get_bucket_logging(Bucket="media")
    bucket.delete(bucket_state)
    logging.delete(state)
