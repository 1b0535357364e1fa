"""The bytes that a document opens with if it is no JSON. They tell which codec to load."""

from __future__ import annotations

from typing import Final

PROTOBUF: Final = b"k8s\0"
CBOR: Final = b"\xd9\xd9\xf7"
