"""The hash of a pod template against what upstream's own code gives (k8s.io/api 0.37.2, after a round trip in protobuf)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.controllers.templatehash import template_hash

CASES = json.loads(Path(__file__).with_name("templatehashes.json").read_text())


@pytest.mark.parametrize(("template", "expected"), CASES, ids=range(len(CASES)))
def test_it_is_upstreams(template, expected):
    assert template_hash(template) == expected


@given(st.dictionaries(st.text(), st.text()))
def test_the_order_of_labels_does_not_matter(labels):
    backwards = dict(reversed(labels.items()))
    assert template_hash({"metadata": {"labels": labels}}) == template_hash({"metadata": {"labels": backwards}})


def test_a_collision_gives_another():
    template = CASES[0][0]
    assert len({template_hash(template, n) for n in (None, 0, 1, 2)}) == 4
