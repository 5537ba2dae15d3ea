"""A JSON list read value by value gives what a parser of the whole gives, and damage is named."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flan_t5x.data.sources import json_list as module
from flan_t5x.data.sources.json_list import json_list

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@pytest.fixture(params=[1, 7], autouse=True, scope="module")
def block(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", request.param)
        yield


@settings(deadline=None, max_examples=30)
@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]))
def test_any_list(values, indent):
    assert list(json_list(io.StringIO(json.dumps(values, indent=indent) + " \n"))) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin with"),
        ('{"a": 1}', "does not begin with"),
        ("[", "Expecting value"),
        ("[1", "not 'the end'"),
        ("[1 2]", "not '2'"),
        ('["a', "Unterminated string"),
        ("[1,]", "Expecting value"),
        ("[1] 2", "something follows"),
    ],
)
def test_what_is_no_list(text, message):
    with pytest.raises(ValueError, match=message):
        list(json_list(io.StringIO(text)))
