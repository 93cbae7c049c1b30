"""Files vars.yml as people have them, each with the settings that follow by what the playbook says of its variables.

https://github.com/spantaleev/matrix-docker-ansible-deploy: roles/custom/matrix-synapse/defaults/main.yml,
group_vars/matrix_servers, and docs/configuring-playbook-s3-goofys.md say what each variable means.
"""

from __future__ import annotations

from typing import NamedTuple

from .answering import HOST_KEY

HEAD = "matrix_domain: example.com\nmatrix_homeserver_implementation: synapse\n"
KEYS = """\
matrix_s3_media_store_bucket_name: media
matrix_s3_media_store_aws_access_key: "AKID"
matrix_s3_media_store_aws_secret_key: SECRET
"""
AWS = f"{HEAD}{KEYS}matrix_s3_media_store_region: eu-west-1\n"
CUSTOM = f"{HEAD}{KEYS}matrix_s3_media_store_custom_endpoint_enabled: true\n"
PROVIDER = "".join(
    f"matrix_synapse_ext_synapse_s3_storage_provider_{line}\n"
    for line in (
        "enabled: true",
        "config_bucket: provided",
        "config_region_name: eu-central-1",
        "config_endpoint_url: https://s3.eu-central-1.amazonaws.com",
        "config_access_key_id: PAKID",
        "config_secret_access_key: PSECRET",
        "config_storage_class: STANDARD",
    )
)
#: What every sample leads to where it does not say otherwise.
SETTINGS = {
    "phase": "prepare",
    "server.host": "matrix.example.com",
    "server.hostKey": HOST_KEY,
    "store.kind": "existing",
    "store.bucket": "media",
    "host.homeserverUrl": "https://matrix.example.com",
    "host.mediaStore": "/matrix/synapse/storage/media-store",
}
EU_WEST = {"store.preset": "aws", "store.region": "eu-west-1"}
FSN = {"store.endpoint": "https://fsn1.your-objectstorage.com", "store.region": "fsn1"}
PSQL = "bin/cli-non-interactive"


def at(endpoint: str, region: str = "") -> str:
    """A file that names an endpoint, and a region or none."""
    more = f"matrix_s3_media_store_region: {region}\n" if region else ""
    return f"{CUSTOM}matrix_s3_media_store_custom_endpoint: {endpoint}\n{more}"


class Sample(NamedTuple):
    """A file, the settings that follow besides `SETTINGS`, and the one question that is asked, with an answer."""

    text: str
    wanted: dict[str, str]
    asked: str = ""
    answer: str = ""
    keys: tuple[str, str] = ("AKID", "SECRET")


SAMPLES = {
    "AWS": Sample(AWS, {**EU_WEST}),
    "AWS, in the playbook's own region": Sample(HEAD + KEYS, {"store.preset": "aws", "store.region": "eu-central-1"}),
    "Hetzner": Sample(at("https://fsn1.your-objectstorage.com"), {**FSN}),
    "Hetzner, with another region": Sample(at("https://fsn1.your-objectstorage.com/", "eu-central-1"), {**FSN}),
    "Hetzner, without https": Sample(at("fsn1.your-objectstorage.com"), {**FSN}),
    "DigitalOcean": Sample(
        at("https://fra1.digitaloceanspaces.com"),
        {"store.endpoint": "https://fra1.digitaloceanspaces.com", "store.region": "fra1"},
    ),
    "DigitalOcean, as its console shows a bucket": Sample(
        at("https://media.fra1.digitaloceanspaces.com"),
        {"store.endpoint": "https://fra1.digitaloceanspaces.com", "store.region": "fra1"},
    ),
    "Wasabi": Sample(
        at("https://s3.eu-central-2.wasabisys.com"),
        {"store.endpoint": "https://s3.eu-central-2.wasabisys.com", "store.region": "eu-central-2"},
    ),
    "Wasabi, without a region": Sample(
        at("https://s3.wasabisys.com"), {"store.endpoint": "https://s3.wasabisys.com", "store.region": "us-east-1"}
    ),
    "Wasabi, where address and region differ": Sample(
        at("https://s3.wasabisys.com", "eu-central-1"),
        {"store.preset": "wasabi", "store.region": "eu-central-1"},
        "Region of the bucket",
        "eu-central-1",
    ),
    "Backblaze": Sample(
        at("https://s3.us-west-002.backblazeb2.com"),
        {"store.endpoint": "https://s3.us-west-002.backblazeb2.com", "store.region": "us-west-002"},
    ),
    "AWS, by its address": Sample(
        at("https://s3.eu-north-1.amazonaws.com"),
        {"store.endpoint": "https://s3.eu-north-1.amazonaws.com", "store.region": "eu-north-1"},
    ),
    "AWS, by the address of all regions": Sample(
        at("https://s3.amazonaws.com"), {"store.endpoint": "https://s3.amazonaws.com", "store.region": "us-east-1"}
    ),
    "Cloudflare": Sample(
        at("https://ab12.r2.cloudflarestorage.com", "eu-central-1"),
        {"store.endpoint": "https://ab12.r2.cloudflarestorage.com", "store.region": "auto"},
    ),
    "Google": Sample(
        at("https://storage.googleapis.com"),
        {"store.endpoint": "https://storage.googleapis.com", "store.region": "auto"},
    ),
    "a store of one's own": Sample(
        at("http://10.0.0.5:9000", "us-east-1"), {"store.endpoint": "http://10.0.0.5:9000", "store.region": "us-east-1"}
    ),
    "a store of one's own, without a region": Sample(
        at("https://minio.example.com"),
        {"store.endpoint": "https://minio.example.com", "store.region": "garage"},
        "Region of the bucket",
        "garage",
    ),
    "an endpoint that is not switched on": Sample(
        at("https://fsn1.your-objectstorage.com").replace("endpoint_enabled: true", 'endpoint_enabled: "false"'),
        {**FSN},
        "Address of the S3 service (for AWS leave it empty)",
        "https://fsn1.your-objectstorage.com",
    ),
    "an endpoint that is not switched on, and not meant": Sample(
        at("https://fsn1.your-objectstorage.com", "eu-west-1").replace("endpoint_enabled: true", "endpoint_enabled: 0"),
        {**EU_WEST},
        "Address of the S3 service (for AWS leave it empty)",
    ),
    "an endpoint that is switched on, and not told": Sample(
        at("https://your-custom-endpoint"),
        {**FSN},
        "Address of the S3 service (for AWS leave it empty)",
        "https://fsn1.your-objectstorage.com",
    ),
    "an endpoint with more than an address": Sample(
        at("https://fsn1.your-objectstorage.com/media"),
        {**FSN},
        "Address of the S3 service (for AWS leave it empty)",
        "https://fsn1.your-objectstorage.com",
    ),
    "a bucket that cannot be one": Sample(
        AWS.replace("name: media", "name: No_Bucket"), {**EU_WEST}, "Name of the bucket", "media"
    ),
    "the sample's bucket": Sample(
        AWS.replace("name: media", "name: your-bucket-name"), {**EU_WEST}, "Name of the bucket", "media"
    ),
    "a bucket like a date": Sample(
        AWS.replace("name: media", "name: 2024-01-31"), {**EU_WEST, "store.bucket": "2024-01-31"}
    ),
    "another name of the server": Sample(
        f"{AWS}matrix_server_fqn_matrix: m.example.com\n",
        {**EU_WEST, "server.host": "m.example.com", "host.homeserverUrl": "https://m.example.com"},
    ),
    "no TLS": Sample(
        f'{AWS}matrix_playbook_ssl_enabled: "no"\n', {**EU_WEST, "host.homeserverUrl": "http://matrix.example.com"}
    ),
    "a port of the homeserver": Sample(
        f"{AWS}matrix_synapse_container_client_api_host_bind_port: '127.0.0.1:8008'\n",
        {**EU_WEST, "host.homeserverUrl": "http://127.0.0.1:8008"},
    ),
    "a port on every address": Sample(
        f"{AWS}matrix_synapse_container_client_api_host_bind_port: 8108\n",
        {**EU_WEST, "host.homeserverUrl": "http://127.0.0.1:8108"},
    ),
    "a port on an address of IPv6": Sample(
        f'{AWS}matrix_synapse_container_client_api_host_bind_port: "[fd00::5]:8008"\n',
        {**EU_WEST, "host.homeserverUrl": "http://[fd00::5]:8008"},
    ),
    "no port": Sample(f"{AWS}matrix_synapse_container_client_api_host_bind_port: ''\n", {**EU_WEST}),
    "a port that is none": Sample(
        f"{AWS}matrix_synapse_container_client_api_host_bind_port: localhost\n",
        {**EU_WEST},
        "Where the homeserver answers, seen from the server",
        "https://matrix.example.com",
    ),
    "workers, and a port of the main process": Sample(
        f"{AWS}matrix_synapse_workers_enabled: yes\nmatrix_synapse_container_client_api_host_bind_port: '8008'\n",
        {**EU_WEST},
    ),
    "workers, and a port of their proxy": Sample(
        f"{AWS}matrix_synapse_workers_enabled: on\n"
        "matrix_synapse_reverse_proxy_companion_container_client_api_host_bind_port: '0.0.0.0:8009'\n",
        {**EU_WEST, "host.homeserverUrl": "http://127.0.0.1:8009"},
    ),
    "workers, and all ports on one interface": Sample(
        f"{AWS}matrix_synapse_workers_enabled: 1\nmatrix_playbook_service_host_bind_interface_prefix: '127.0.0.1:'\n",
        {**EU_WEST, "host.homeserverUrl": "http://127.0.0.1:8008"},
    ),
    "another base": Sample(
        f"{AWS}matrix_base_data_path: /srv/matrix\n",
        {
            **EU_WEST,
            "host.mediaStore": "/srv/matrix/synapse/storage/media-store",
            "host.database": f"/srv/matrix/postgres/{PSQL}",
        },
    ),
    "another base of Synapse": Sample(
        f"{AWS}matrix_synapse_base_path: /srv/synapse\n",
        {**EU_WEST, "host.mediaStore": "/srv/synapse/storage/media-store"},
    ),
    "another storage folder": Sample(
        f"{AWS}matrix_synapse_storage_path: /big/\n", {**EU_WEST, "host.mediaStore": "/big/media-store"}
    ),
    "another name of the folder": Sample(
        f"{AWS}matrix_synapse_media_store_path: /matrix/synapse/storage/media/\n",
        {**EU_WEST, "host.mediaStore": "/matrix/synapse/storage/media"},
    ),
    "a folder where Synapse's container sees nothing": Sample(
        f"{AWS}matrix_synapse_media_store_path: /mnt/media\n",
        {**EU_WEST, "host.mediaStore": "/mnt/media"},
        "Folder of Synapse's media store on the server",
        "/mnt/media",
    ),
    "a folder by a template": Sample(
        f'{AWS}matrix_synapse_media_store_path: "{{{{ matrix_synapse_storage_path }}}}/media"\n',
        {**EU_WEST, "host.mediaStore": "/matrix/synapse/storage/media"},
        "Folder of Synapse's media store on the server",
        "/matrix/synapse/storage/media",
    ),
    "a name that the role works out by itself": Sample(
        f"{AWS}matrix_synapse_media_store_directory_name: other\n", {**EU_WEST}
    ),
    "another base of Postgres": Sample(f"{AWS}postgres_base_path: /db\n", {**EU_WEST, "host.database": f"/db/{PSQL}"}),
    "another base of Postgres, by an earlier name": Sample(
        f"{AWS}devture_postgres_base_path: /db\n", {**EU_WEST, "host.database": f"/db/{PSQL}"}
    ),
    "another base of Postgres, by the first name": Sample(
        f"{AWS}matrix_postgres_base_path: /db\nmatrix_base_data_path: /matrix\n",
        {**EU_WEST, "host.database": f"/db/{PSQL}"},
    ),
    "the playbook's own Postgres, by name": Sample(
        f"{AWS}matrix_synapse_database_host: matrix-postgres\nmatrix_synapse_database_database: synapse\n", {**EU_WEST}
    ),
    "a database that a template names": Sample(
        f'{AWS}matrix_synapse_database_host: "{{{{ postgres_connection_hostname }}}}"\n',
        {**EU_WEST, "host.database": "auto"},
        "psql-like program on the server that asks Synapse's database",
        "auto",
    ),
    "a domain that a template makes": Sample(
        f'{AWS}matrix_domain: "{{{{ domain }}}}"\nmatrix_synapse_container_client_api_host_bind_port: "8008"\n',
        {**EU_WEST, "host.homeserverUrl": "http://127.0.0.1:8008"},
        "Name or address of the server",
        "matrix.example.com",
    ),
    "a list where a text is due": Sample(
        f"{AWS}matrix_s3_media_store_bucket_name: [media]\n", {**EU_WEST}, "Name of the bucket", "media"
    ),
    "the mount elsewhere": Sample(
        f'{AWS}matrix_s3_media_store_enabled: "true"\nmatrix_s3_media_store_path: /matrix/s3-media-store\n', {**EU_WEST}
    ),
    "the mount over the media store": Sample(
        f"{AWS}matrix_s3_media_store_enabled: true\n", {**EU_WEST, "phase": "clean", "host.adoptMount": "true"}
    ),
    "the mount switched off": Sample(f"{AWS}matrix_s3_media_store_enabled: 'False'\n", {**EU_WEST}),
    "both ways to a bucket": Sample(AWS + PROVIDER, {**EU_WEST}),
    "the provider alone": Sample(
        HEAD + PROVIDER,
        {
            "store.endpoint": "https://s3.eu-central-1.amazonaws.com",
            "store.region": "eu-central-1",
            "host.storageProvider": "from",
            "store.bucket": "provided",
        },
        "Shall the media go into the provider's bucket, provided?",
        "yes",
        ("PAKID", "PSECRET"),
    ),
    "a template's key": Sample(
        AWS.replace('"AKID"', "\"{{ lookup('env', 'KEY') }}\""), {**EU_WEST}, "Access key id", "AKID"
    ),
    "a vault's key": Sample(
        AWS.replace("SECRET", "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3132"),
        {**EU_WEST},
        "Secret access key",
        "SECRET",
    ),
    "a key of digits": Sample(AWS.replace('"AKID"', "0012340"), {**EU_WEST}, keys=("0012340", "SECRET")),
    "a key that looks like a template": Sample(
        AWS.replace("SECRET", '!unsafe "a{{b"'), {**EU_WEST}, keys=("AKID", "a{{b")
    ),
}
