"""Anything at all as input of the agent: a clear error or the right thing, never a traceback or half a change."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some

from agent import __main__ as agent
from agent.commands import guard, status, wiring
from agent.commands.arguments import parse as parse_words
from agent.host.files import read_json
from agent.host.units import quote
from agent.media import names
from agent.media.equality import Manifest
from agent.media.synapse_db import media_of
from agent.media.walk import walk
from agent.model.errors import Problem, Problems, StoreError
from agent.model.layout import Layout
from agent.model.phases import Phase
from agent.model.settings import Settings, merge, of_any_format, parse
from agent.state.journal import Journal
from agent.store.bucket import Bucket

JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SECTIONS = some.dictionaries(
    some.sampled_from(["host", "store", "mount", "copy", "migration", "other", ""]),
    some.dictionaries(
        some.sampled_from(["media_store", "bucket", "transfers", "copy_method", "exclude", "program", "x"]), JSON
    ),
)
#: Whatever a Linux file system takes as one name.
NAMES = some.binary(min_size=1, max_size=60).filter(
    lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
)
KEYS = some.text(some.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def here(folder: str) -> contextlib.ExitStack:
    """The agent's verbs find this server in a folder."""
    patches = contextlib.ExitStack()
    for module in (guard, status, wiring):
        patches.enter_context(mock.patch.object(module, "HERE", Layout(Path(folder))))
    return patches


@given(SECTIONS)
def test_settings_of_any_shape_are_settings_or_a_problem_with_a_remedy(document: dict[str, Any]) -> None:
    try:
        assert isinstance(parse(document), Settings)
        assert isinstance(parse(of_any_format(document)), Settings)
    except Problem as problem:
        assert problem.what and problem.fix


@given(some.lists(some.text(max_size=20), max_size=4), some.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_words_and_any_input_end_with_an_exit_status_and_no_change(words: list[str], piped: bytes) -> None:
    """The verbs that change something are not reached by chance: here they would be a finding."""
    with tempfile.TemporaryDirectory() as folder:
        out = io.StringIO()
        stdin = io.TextIOWrapper(io.BytesIO(piped), errors="surrogateescape")
        with (
            here(folder), mock.patch("sys.stdin", stdin),
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()), mock.patch("os.umask"),
        ):  # fmt: skip
            try:
                ended = agent.main(words)
            except SystemExit as end:
                ended = int(end.code or 0)
        assert ended in (0, 1, 2)
        assert os.listdir(folder) == []


@given(some.sampled_from(["guard", "status"]), some.binary(min_size=1, max_size=200), some.text(max_size=40))
@settings(deadline=None)
def test_input_that_is_not_a_document_is_told_in_one_line(verb: str, piped: bytes, given_settings: str) -> None:
    text = piped.decode("utf-8", "surrogateescape")
    with contextlib.suppress(ValueError):
        assume(not isinstance(json.loads(text), dict))
    assume(text.strip())
    out = io.StringIO()
    arguments = [verb] if verb == "guard" else [verb, "--settings", given_settings]
    with tempfile.TemporaryDirectory() as folder, here(folder):
        stdin = io.TextIOWrapper(io.BytesIO(piped), encoding="utf-8", errors="surrogateescape")
        with mock.patch("sys.stdin", stdin), contextlib.redirect_stdout(out), mock.patch("os.umask"):
            try:
                assert agent.main(arguments) == 1
            except SystemExit as end:  # an argument that begins with a hyphen
                assert end.code == 2
                return
    *_, told = out.getvalue().splitlines()
    assert told.startswith("error: ")


@given(some.binary(max_size=200))
def test_a_damaged_journal_or_settings_file_is_told_and_left_alone(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        layout.journal.parent.mkdir(parents=True)
        layout.journal.write_bytes(content)
        try:
            journal = Journal.load(layout)
        except Problem as problem:
            assert str(layout.journal) in problem.what and problem.fix
        else:
            assert journal.phase in list(Phase)
        with contextlib.suppress(Problem):
            read_json(layout.journal)
        assert layout.journal.read_bytes() == content


@given(some.dictionaries(NAMES, some.binary(max_size=20), max_size=5))
def test_files_of_any_name_are_walked_kept_and_found_again_or_named_in_a_problem(files: dict[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "store")
        root.mkdir()
        for name, body in files.items():
            with open(os.path.join(os.fsencode(root), name), "wb") as file:
                file.write(body)
        try:
            entries = list(walk(root, []))
        except Problem as problem:
            assert "file name" in problem.what
            bad = [n for n in files if not _utf8(n) or {0x0A, 0x0D} & set(n) or "\u201b".encode() in n]
            assert bad, "a name was refused that a bucket can hold"
            return
        assert {os.fsencode(entry.path): entry.size for entry in entries} == {n: len(b) for n, b in files.items()}
        with Manifest(Path(folder, "m.sqlite")) as manifest:
            manifest.load_local(entries)
            assert set(manifest.all_local()) == set(entries)


def _utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(some.dictionaries(KEYS, some.integers(0, 1 << 40), max_size=5), some.booleans())
def test_a_listing_with_any_names_is_read_back_and_what_could_leave_the_store_is_no_file_name(
    objects: dict[str, int], ends: bool
) -> None:
    import urllib.parse
    from xml.sax.saxutils import escape

    rows = "".join(
        f"<Contents><Key>{escape(urllib.parse.quote(key))}</Key><Size>{size}</Size><ETag>&quot;x&quot;</ETag></Contents>"
        for key, size in objects.items()
    )
    text = (
        f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
    )
    bucket = Bucket(Settings().store)
    with mock.patch.object(Bucket, "open", lambda self, *a, **o: io.BytesIO(text.encode())):
        found = {item.key: item.size for item in bucket.list()}
    assert found == objects
    for key in found:
        if not names.trouble(key):
            assert Path("/store", key).resolve().is_relative_to("/store") and not key.startswith("/")


@given(some.binary(max_size=300))
def test_an_answer_that_is_no_listing_is_an_error_with_a_name(answer: bytes) -> None:
    bucket = Bucket(Settings().store)
    with (
        mock.patch.object(Bucket, "open", lambda self, *a, **o: io.BytesIO(answer)),
        pytest.raises((StoreError, Problem, Problems)),
    ):
        list(bucket.list())


@given(some.text(some.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_an_argument_for_systemd_is_one_word_again_when_read_as_systemd_reads_it(argument: str) -> None:
    quoted = quote(argument)
    words = shlex.split(quoted.replace("$$", "$"), comments=False) if quoted.startswith('"') else [quoted]
    assert words == [argument]


@given(some.text(max_size=60))
def test_a_path_is_a_media_file_only_by_an_id_that_can_stand_in_a_query(path: str) -> None:
    media = media_of(path)
    assert media is None or re.fullmatch(r"[A-Za-z0-9_-]+", media.id)


@given(SECTIONS, SECTIONS)
def test_documents_laid_over_each_other_keep_what_the_newer_does_not_name(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    merged = merge(old, new)
    for name, values in old.items():
        for key, value in values.items():
            if key not in new.get(name, {}):
                assert merged[name][key] is value


def test_a_command_of_an_earlier_version_is_understood_as_the_settings_on_disk_are() -> None:
    """A `pulumi destroy` runs what the last update left in the state."""
    told = json.dumps({"migration": {"access_token": "syt_token"}})
    settings_then = json.dumps({"migration": {"copy_method": "rsync", "window_seconds": 60}})
    command = parse_words(["converge", "--phase", "local", "--settings", settings_then], told)
    found = parse(command.document)
    assert (found.copy.method, found.migration.window_seconds, found.host.access_token) == ("rsync", 60, "syt_token")
