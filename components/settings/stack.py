"""This module is a stack's whole configuration, and what is wrong with one."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from .fields import Section, setting
from .host import Copy, Cutover, Host, Migration, Mount, provider_clashes
from .names import ALONE, StoreName, known, needed, place_of
from .server import Server
from .stores import (
    STORES,
    AnyStore,
    AwsStore,
    B2Store,
    ExistingStore,
    customer_key_of,
    kind_of,
    store_clashes,
)

Phase = Literal["prepare", "mirror", "live", "clean"]


class ConfigurationError(Exception):
    """This error has everything that is wrong with a stack's configuration, a line each."""


class Settings(Section):
    """These settings are a stack's whole configuration."""

    phase: Phase = setting("prepare", "What should be true", "use prepare, mirror, live or clean")
    server: Server = setting(..., "How to reach the server", "see stacks/Pulumi.example-existing.yaml")
    stores: dict[StoreName, AnyStore] = setting(
        {},
        "Stores by names of your own, where media move from one to another; settings of each are those of `store`",
        "give each a name of small letters, digits and hyphens, but not store",
    )
    only_store: Annotated[AnyStore | None, AfterValidator(needed)] = setting(
        None, "Where the media go", "see the examples in stacks/", alias="store", validate_default=True
    )
    serve: Annotated[str, AfterValidator(known)] = setting(
        "",
        "Which of the stores the media lie in: one of `stores` by its name, or store. Another one has them move there",
        "name one of the stack's stores, or leave it out where there is only one",
        validate_default=True,
    )
    host: Host = setting(Host(), "The homeserver", "see stacks/Pulumi.example-existing.yaml")
    mount: Mount = setting(Mount(), "The mount", "see stacks/Pulumi.example-existing.yaml")
    copying: Copy = setting(Copy(), "Copying", "see stacks/Pulumi.example-existing.yaml", alias="copy")
    migration: Migration = setting(Migration(), "Limits", "see stacks/Pulumi.example-existing.yaml")
    cutover: Cutover = setting(Cutover(), "The cutover", "see stacks/Pulumi.example-existing.yaml")

    @property
    def all_stores(self) -> dict[str, ExistingStore | AwsStore | B2Store]:
        """Return all stores by their names; the one that has none stands under an empty text."""
        return {**({"": self.only_store} if self.only_store else {}), **self.stores}

    @property
    def store_name(self) -> str:
        """Return the name of the store that the media lie in, or are to; it is empty for the one without a name."""
        return "" if self.serve == ALONE else self.serve

    @property
    def store(self) -> ExistingStore | AwsStore | B2Store:
        """Return the store that the media lie in, or are to."""
        return self.all_stores[self.store_name]

    @property
    def customer_key(self) -> str:
        """Return the customer's key for SSE-C; it is empty without one."""
        return customer_key_of(self.store)

    @property
    def mount_program(self) -> Literal["goofys", "rclone"]:
        """Return which program mounts the bucket.

        That is goofys where the stack does not say, but rclone with a cache, with a customer's key, which goofys shows
        to every local user, and on stores where goofys breaks.
        """
        if self.mount.program != "auto":
            return self.mount.program
        return "rclone" if self.customer_key or self._goofys_breaks or self.mount.cache else "goofys"

    @property
    def warnings(self) -> list[str]:
        """Return a line for each thing that the stack chose and should know the price of."""
        if self.customer_key and self.mount_program == "goofys":
            return [
                "mount.program is goofys, which takes store.sseCustomerKey on its command line: every user of the "
                "server can read the key while it runs (ps, /proc); leave mount.program out and rclone mounts the "
                "bucket, whose key nobody sees"
            ]
        return []

    @property
    def _goofys_breaks(self) -> str:
        return self.store.known.goofys_breaks if isinstance(self.store, ExistingStore) else ""

    def _clashes(self) -> list[str]:
        """Return a line with its remedy for each thing that is right by itself and wrong together with another."""
        store, clashes = self.store, []
        where = place_of(self.store_name)
        at_b2 = isinstance(store, B2Store) or (isinstance(store, ExistingStore) and "backblazeb2.com" in store.endpoint)
        if self.copying.method == "b2" and not at_b2:
            clashes.append("copy.method: b2 copies to Backblaze B2 only -- use rclone")
        if self.copying.method == "b2" and self.copying.bandwidth:
            clashes.append("copy.bandwidth: the b2 command line knows no limit -- use rclone, or leave it out")
        if self.mount.program == "goofys" and self._goofys_breaks:
            clashes.append(f"mount.program: {self._goofys_breaks} -- use rclone, or leave it out")
        clashes += self.mount.clashes()
        if self.mount.managed_by == "playbook" and self.host.adopt_mount:
            clashes.append("host.adoptMount: the playbook's mount stays with mount.managedBy: playbook -- use stack")
        if self.mount.managed_by == "playbook" and store.prefix:
            clashes.append(f"mount.managedBy: the playbook's mount knows no {where}.prefix -- use stack")
        if self.mount.managed_by == "playbook" and self.customer_key:
            clashes.append(f"mount.managedBy: the playbook's mount knows no {where}.sseCustomerKey -- use stack")
        elif self.mount.managed_by == "playbook" and self.mount_program != "goofys":
            clashes.append("mount.managedBy: the playbook mounts with goofys, and this stack with rclone -- use stack")
        clashes += provider_clashes(self.host, where, store.on_destroy)
        for name, each in self.all_stores.items():
            clashes += store_clashes(place_of(name), each)
        return clashes


#: Settings that are a word, not a section.
WORDS = ("phase", "serve")
#: Settings of the providers that say nothing secret; all others of theirs are taken for credentials.
_OPEN_PROVIDER_SETTINGS = ("aws:region", "b2:endpoint")


def is_secret(path: str) -> bool:
    """Return whether a setting's value, by its path in the stack's file, must never be shown; it is so in doubt."""
    section, _, rest = path.removeprefix("shared.").partition(".")
    if section == "stores":  # one by its name
        section, rest = ALONE, rest.partition(".")[2]
    if section in WORDS or path in _OPEN_PROVIDER_SETTINGS:
        return False
    field = next((f for n, f in Settings.model_fields.items() if (f.alias or n) == section), None)
    if field is None:
        return True
    name = rest.partition("[")[0].partition(".")[0]
    for model in STORES.values() if section == ALONE else [field.annotation]:
        for inner, field in getattr(model, "model_fields", {}).items():
            if to_camel(inner) == name:
                return SecretStr in (field.annotation, *get_args(field.annotation))
    return True


def _place(loc: tuple[str | int, ...], problem: str) -> tuple[str | int, ...]:
    """Return where in the stack's file a problem is: without the union's branch, and defaults under their alias."""
    if problem == "setting":
        loc = tuple(to_camel(part) if isinstance(part, str) else part for part in loc)
    if loc[0] == "only_store":  # a default stands under the field's own name
        return (ALONE,)
    if problem == "kind":
        return (*loc, "kind")
    tag = {"store": 1, "stores": 2}.get(str(loc[0]))
    return (*loc[:tag], *loc[tag + 1 :]) if tag and len(loc) > tag and loc[tag] in STORES else loc


def _kind_at(values: dict[str, Any], path: tuple[str | int, ...]) -> str:
    """Return the kind of the store that a path in the stack's file leads to."""
    if path[0] == "stores":
        stores = values.get("stores")
        return kind_of(stores.get(path[1])) if isinstance(stores, dict) and len(path) > 1 else ""
    return kind_of(values.get(ALONE))


def _fix(model: type[BaseModel], path: tuple[str | int, ...], kind: str) -> str:
    """Return the remedy of the field at `path`, or of the nearest one above it."""
    fix = ""
    if path[:1] == ("stores",) and len(path) > 2:  # one by its name
        path = (ALONE, *path[2:])
    for part in path:
        field = next((f for n, f in model.model_fields.items() if (f.alias or to_camel(n)) == part), None)
        if field is None:
            names = ", ".join(f.alias or to_camel(n) for n, f in model.model_fields.items())
            return fix if isinstance(part, int) or fix and not model.model_fields else f"use one of {names}"
        extra = field.json_schema_extra
        fix = str(extra.get("fix", "")) if isinstance(extra, dict) else fix
        if part == ALONE:
            model = STORES.get(kind, ExistingStore)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
        else:
            break  # a list or a dictionary: its remedy is the field's
    return fix


def parse(values: dict[str, Any]) -> Settings:
    """Return the settings of configuration values by key. Raises ConfigurationError with a line for each problem."""
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            path = _place(problem["loc"], problem["type"])
            kind = _kind_at(values, path)
            text = {"missing": "is missing", "extra_forbidden": "is not a setting"}.get(problem["type"], problem["msg"])
            name = "".join(char if char.isprintable() else "?" for char in ".".join(map(str, path)))
            lines.append(f"{name}: {text} -- {_fix(Settings, path, kind)}")
        raise ConfigurationError("\n".join(lines)) from None
    if clashes := settings._clashes():
        raise ConfigurationError("\n".join(clashes))
    return settings
