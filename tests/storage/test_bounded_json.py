"""Untrusted JSON is parsed to plain, finite, bounded data, or refused with a message."""

import json
import os
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from napari_fcn.storage import JsonError, parse_json, read_json

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@hypothesis.given(PLAIN)
def test_valid_json_is_parsed(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@hypothesis.given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\0123456789eE+-.truefalsn', max_size=60))
def test_any_input_is_parsed_or_refused(text: bytes | str) -> None:
    try:
        value = parse_json(text)
    except JsonError:
        return
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested more than 64 levels"),
        ("[" * 100_000 + "]" * 100_000, "nested more than 64 levels"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested more than 64 levels"),
        ('["[[", ' * 65 + "1" + "]" * 65, "nested more than 64 levels"),
        ('{"a": 1e999}', "1e999 is too large"),
        ('{"a": -1e999}', "-1e999 is too large"),
        ("NaN", "NaN is not a JSON number"),
        ("[Infinity]", "Infinity is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ("9" * 20, "is too large"),
        (str(2**63), "is too large"),
        ("9" * 100_000, "is too large"),
        ('"\\ud800"', "not JSON"),
        ('{"\\uDFFF": 1}', "not JSON"),
        (b'"\xff"', "not JSON"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "a name twice"),
        (b"", "not JSON"),
        ('"' + "a" * 100 + '"', "larger than 64 bytes"),
    ],
)
def test_malicious_json_is_refused_with_a_short_message(text: bytes | str, reason: str) -> None:
    with pytest.raises(JsonError, match=reason) as refused:
        parse_json(text, max_bytes=64 if "larger" in reason else 2**20)
    assert len(str(refused.value)) < 200


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    text = json.dumps(["[{" * 1000, {'"\\[': ["\\", "[" * 99]}])
    assert parse_json(text) == json.loads(text)
    assert parse_json("[" * 64 + "]" * 64)


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"


def test_a_byte_order_mark_is_accepted() -> None:
    assert parse_json(b"\xef\xbb\xbf{}") == {}


def test_at_most_the_allowed_bytes_of_a_file_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"a": 1}')
    assert read_json(file) == {"a": 1}
    with file.open("wb") as large:
        large.truncate(2**40)
    with pytest.raises(JsonError, match="larger than 1024 bytes"):
        read_json(file, max_bytes=1024)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(JsonError, match="not a file"):
        read_json(tmp_path / "a.json")
