"""This module makes docs/configuration.md: every setting, from its own description.

`python -m operations.reference` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from components.settings import Settings
from components.settings.stores import STORES

from .workspace import ROOT

PAGE = ROOT / "docs" / "configuration.md"
HEAD = """\
# Configuration

Every setting of a stack, as `stacks/Pulumi.<name>.yaml` holds it under `matrix-media-store:`. Set one with
`pulumi config set --path store.bucket my-bucket`, a secret one with `pulumi config set --secret --path …`, which reads
the value from standard input. Everything is checked before the first resource, and all mistakes are told at once.

What all stacks of a project share stands once under `shared`, see 'Settings for all stacks' in [docs/ci.md](ci.md).

This page is made of the settings' own descriptions by `make docs`.
"""
#: What stands before the settings of several stores.
MOVES = (
    "A stack may have several stores, and the media lie in one of them: see 'Another store' in the "
    "[runbook](runbook.md). Most have one, which needs no name."
)
TABLE = ["| setting | default | what it is | what to give |", "| --- | --- | --- | --- |"]


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined or value is ...:
        return "**required**"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value in ("", [], {}):
        return ""
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _row(key: str, field: FieldInfo) -> str:
    extra = field.json_schema_extra
    fix = str(extra["fix"]) if isinstance(extra, dict) else ""
    cells = (f"`{key}`", _default(field), f"{field.description}.", fix)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rows(model: type[BaseModel], section: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield _row(f"{section}.{field.alias or to_camel(name)}", field)


def _table(model: type[BaseModel], section: str) -> list[str]:
    return [*TABLE, *_rows(model, section), ""]


def page() -> str:
    """Return the text of the whole page. It is pure."""
    phase = Settings.model_fields["phase"]
    lines = [
        HEAD,
        f"`phase` is what should be true: {_default(phase)} where it is left out. See the [README](../README.md).",
        "",
    ]
    for name, field in Settings.model_fields.items():
        section = field.alias or name
        if section == "stores":
            several = ((each, Settings.model_fields[each]) for each in ("stores", "serve"))
            lines += ["## stores and serve", "", MOVES, "", *TABLE, *(_row(each, of) for each, of in several), ""]
        if section == "store":
            for kind, model in STORES.items():
                lines += [f"## store, with `store.kind: {kind}`", "", str(model.__doc__), "", *_table(model, section)]
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            lines += [f"## {section}", "", str(field.annotation.__doc__), "", *_table(field.annotation, section)]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
