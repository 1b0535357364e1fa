"""Where a cluster's state is: what was asked for, and what is remembered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pilothouse.bootstrap import stores
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.clock import RealClock

ETCD = {"etcd_servers": "http://a:1,http://b:1"}


def test_what_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert stores.chosen({}, {}) == {}
    assert stores.chosen(ETCD, {}) == ETCD
    assert stores.chosen({}, ETCD) == ETCD
    assert stores.chosen({"etcd_servers": ""}, ETCD) == {}
    with_files = stores.chosen({"etcd_cafile": "ca.crt", "etcd_prefix": "/x"}, ETCD)
    assert with_files == {**ETCD, "etcd_cafile": str(tmp_path / "ca.crt"), "etcd_prefix": "/x"}
    assert stores.chosen({"etcd_prefix": ""}, with_files) == {**ETCD, "etcd_cafile": str(tmp_path / "ca.crt")}
    with pytest.raises(ClusterError, match="--etcd-certfile: --etcd-servers must be specified"):
        stores.chosen({"etcd_certfile": "x"}, {})


def test_overrides() -> None:
    assert stores.overrides("") == {}
    assert stores.overrides("/pods#http://a:1;http://b:1,/events#http://c:1,apps/deployments#http://a:1") == {
        ("", "pods"): ("http://a:1", "http://b:1"),
        ("", "events"): ("http://c:1",),
        ("apps", "deployments"): ("http://a:1",),
    }
    for text in ("events#http://a:1", "/events", "/events#", "a/b/c#http://a:1", "/events#http://a:1#http://b:1"):
        with pytest.raises(
            ClusterError, match="--etcd-servers-overrides invalid, must be of format: group/resource#servers"
        ):
            stores.overrides(text)


@pytest.mark.parametrize(
    ("etcd", "text"),
    [
        ({"etcd_servers": "ftp://a:1"}, '"ftp://a:1" is no address of an etcd server'),
        ({"etcd_servers": ","}, "--etcd-servers must be specified"),
        ({"etcd_servers": "https://a:1", "etcd_cafile": "/none"}, "open /none: no such file"),
    ],
)
def test_bad_options_are_one_sentence(tmp_path: Path, etcd: dict[str, str], text: str) -> None:
    with pytest.raises(ClusterError, match=text):
        asyncio.run(stores.open_store(ClusterDirectory("c", tmp_path), etcd, RealClock()))
