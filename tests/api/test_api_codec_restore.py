from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api.codec.decode import DecodeError
from pilothouse.api.codec.restore import restore
from pilothouse.api.gotext import go_value
from pilothouse.api.types import type_named

DEPLOYMENT = type_named("#apps/v1.Deployment")
SECRET = type_named("#core/v1.Secret")


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"replicas": "x"}, "unrecognized type: int32"),
        ({"replicas": 1.5}, "cannot convert float64 to int32"),
        ({"paused": 1}, "unrecognized type: bool"),
        ({"selector": "x"}, "cannot restore struct from: string"),
        ({"selector": {"matchLabels": [1]}}, "cannot restore map from slice"),
        ({"selector": {"matchExpressions": {}}}, "cannot restore slice from map"),
        ({"strategy": {"type": 1}}, "cannot convert int64 to v1.DeploymentStrategyType"),
    ],
)
def test_values_of_the_wrong_type_are_refused(spec: dict[str, Any], wanted: str) -> None:
    with pytest.raises(DecodeError) as caught:
        restore(DEPLOYMENT, {"spec": spec})
    assert str(caught.value) == wanted


def test_bytes_are_told_apart() -> None:
    with pytest.raises(DecodeError, match="error decoding from json: illegal base64 data at input byte 0"):
        restore(SECRET, {"data": {"a": "!"}})


def test_numbers_are_put_into_their_size() -> None:
    assert restore(DEPLOYMENT, {"spec": {"replicas": 1 << 31, "minReadySeconds": 2.0}})["spec"] == {
        "replicas": -(1 << 31),
        "minReadySeconds": 2,
    }


@pytest.mark.parametrize(
    ("value", "wanted"),
    [({"b": [1, None, True], "a": "x"}, "map[a:x b:[1 <nil> true]]"), (1.5, "1.5"), (1e6, "1e+06"), (0.00001, "1e-05"),
     (123456.5, "123456.5"), (1234567.5, "1.2345675e+06"), (-1e100, "-1e+100")],
)  # fmt: skip
def test_values_as_go_shows_them(value: Any, wanted: str) -> None:
    assert go_value(value) == wanted
