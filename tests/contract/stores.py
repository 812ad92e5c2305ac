"""An object store in this process, with the objects that a test gives it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer

REGION = "eu-north-1"


@contextmanager
def running_store(
    monkeypatch: pytest.MonkeyPatch, bucket: str, objects: Mapping[str, bytes]
) -> Iterator[None]:
    """Serve a bucket with these objects by key, and have the environment name the server."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_DEFAULT_REGION", REGION),
    ):
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    for key, body in objects.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    yield
    server.stop()
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # it keeps the server that was
