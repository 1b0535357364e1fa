"""Request info, media types, options and continue tokens: the pure parts of the pipeline."""

from __future__ import annotations

from functools import partial

import pytest

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request
from pilothouse.apiserver import negotiation, requestinfo
from pilothouse.apiserver.handlers import lists, options


def info(method: str, path: str, *query: tuple[str, str]) -> requestinfo.RequestInfo:
    return requestinfo.parse(Request(method, path, list(query)))


@pytest.mark.parametrize(
    ("method", "path", "want"),
    [
        ("GET", "/api/v1/pods", ("list", "", "", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/x", ("get", "", "a", "pods", "x", "")),
        ("GET", "/api/v1/namespaces/a/pods/x/log", ("get", "", "a", "pods", "x", "log")),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", ("create", "apps", "a", "deployments", "", "")),
        ("DELETE", "/api/v1/namespaces/a/pods", ("deletecollection", "", "a", "pods", "", "")),
        ("DELETE", "/api/v1/namespaces/a", ("delete", "", "a", "namespaces", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "a", "namespaces", "a", "finalize")),
        ("GET", "/api/v1/namespaces", ("list", "", "", "namespaces", "", "")),
        ("GET", "/api/v1/watch/namespaces/a/pods/x", ("watch", "", "a", "pods", "x", "")),
        ("PATCH", "/apis/g.io/v1/things/x/status", ("patch", "g.io", "", "things", "x", "status")),
        ("OPTIONS", "/api/v1/pods", ("", "", "", "pods", "", "")),
    ],
)
def test_resource_paths(method: str, path: str, want: tuple[str, ...]) -> None:
    found = info(method, path)
    assert found.resource_request
    assert (found.verb, found.group, found.namespace, found.resource, found.name, found.subresource) == want


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/version"]
)
def test_other_paths(path: str) -> None:
    found = info("GET", path)
    assert not found.resource_request
    assert found.verb == "get"


def test_watch_in_the_query() -> None:
    assert info("GET", "/api/v1/pods", ("watch", "true")).verb == "watch"
    assert info("GET", "/api/v1/pods", ("watch", "")).verb == "watch"
    assert info("GET", "/api/v1/pods", ("watch", "0")).verb == "list"
    assert info("GET", "/api/v1/namespaces/a/pods/x", ("watch", "true")).verb == "get"


def test_a_field_selector_names_the_object() -> None:
    found = info("GET", "/api/v1/pods", ("fieldSelector", "metadata.name=x,spec.nodeName=y"))
    assert (found.name, found.path_name) == ("x", False)
    assert info("GET", "/api/v1/pods", ("fieldSelector", "metadata.name=a/b")).name == ""
    with pytest.raises(requestinfo.BadPath):
        info("GET", "/api/v1/watch")


output = partial(negotiation.output, forms=negotiation.USUAL)


def test_output() -> None:
    assert output("") == negotiation.Output()
    assert output("application/yaml").media_type == negotiation.YAML
    assert output("text/html,*/*").media_type == negotiation.JSON
    table = output("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert (table.transform, table.version) == ("Table", "v1")
    plain = output("application/json;as=Nothing;v=v1;g=meta.k8s.io, application/json")
    assert plain == negotiation.Output()
    binary = output("application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    assert (binary.media_type, binary.transform) == (negotiation.PROTOBUF, "PartialObjectMetadataList")
    # Tables have no protobuf: the next clause is taken.
    accept = (
        "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1"
    )
    assert output(accept)[:2] == (negotiation.JSON, "Table")


def test_what_cannot_be_given() -> None:
    with pytest.raises(StatusError) as refused:
        output("application/json;as=Nothing;v=v1;g=meta.k8s.io")
    assert refused.value.code == 406
    assert refused.value.message == (
        "only the following media types are accepted: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf"
    )
    with pytest.raises(StatusError) as refused:
        negotiation.route_accepts("application/*", negotiation.USUAL)
    assert refused.value.message.startswith("406: Not Acceptable\n\nAvailable representations: application/json,")
    with pytest.raises(StatusError) as refused:
        negotiation.input_type("text/plain", negotiation.USUAL, custom=False)
    assert refused.value.code == 415
    assert negotiation.input_type("application/json; charset=utf-8", negotiation.USUAL, custom=True) == negotiation.JSON


def test_list_options() -> None:
    found = options.list_options([("limit", "5"), ("resourceVersion", "7"), ("labelSelector", "a=b")])
    assert (found.limit, found.resource_version, found.label_selector) == (5, "7", "a=b")
    with pytest.raises(StatusError) as refused:
        options.list_options([("limit", "x")])
    assert refused.value.message == 'strconv.ParseInt: parsing "x": invalid syntax'
    with pytest.raises(StatusError) as refused:
        options.list_options([("limit", "9" * 40)])
    assert "value out of range" in refused.value.message
    with pytest.raises(StatusError) as refused:
        options.list_options([("resourceVersionMatch", "Exact")])
    assert refused.value.code == 422
    assert options.list_options([], watch=True).send_initial_events is True
    assert options.list_options([("resourceVersion", "5")], watch=True).send_initial_events is None


def test_write_options() -> None:
    found = options.write_options(
        [("dryRun", "All"), ("fieldManager", "me"), ("fieldValidation", "Strict")], "CreateOptions"
    )
    assert (found.dry_run, found.field_manager, found.validation) == (True, "me", "Strict")
    for query in (
        [("dryRun", "x")],
        [("fieldManager", "a" * 129)],
        [("fieldManager", "a\x00")],
        [("fieldValidation", "x")],
    ):
        with pytest.raises(StatusError) as refused:
            options.write_options(query, "CreateOptions")
        assert refused.value.code == 422
    with pytest.raises(StatusError) as refused:
        options.write_options([], "PatchOptions", patch=True, apply=True)
    assert refused.value.message == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    assert options.manager_or_user_agent("", "kubectl/v1.37 (linux)") == "kubectl"


def test_continue_tokens() -> None:
    token = lists.Token(7, "a/b\0")
    assert lists.decode_token(lists.encode_token(token)) == token
    for bad in (
        "abc",
        "!!",
        "e30",
        lists.encode_token(lists.Token(0, "x")),
        lists.encode_token(lists.Token(3, "../../x")),
    ):
        with pytest.raises(StatusError) as refused:
            lists.decode_token(bad)
        assert refused.value.code == 400
        assert refused.value.message.startswith("invalid continue token: continue key is not valid")
