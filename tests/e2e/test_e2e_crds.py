"""A CustomResourceDefinition with two versions, and its objects, as kubectl's users meet them."""

from __future__ import annotations

from collections.abc import Callable

from e2e_tools import Kubectl

K = Callable[..., str]

SCHEMA = """
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, maximum: 9}
              colour: {type: string, default: red}
              replicas: {type: integer}
          status:
            type: object
            properties: {replicas: {type: integer}}
"""
COLUMNS = """
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Colour, type: string, jsonPath: .spec.colour}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
"""
DEFINITION = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: boats.sea.example.com}}
spec:
  group: sea.example.com
  scope: Namespaced
  names: {{plural: boats, singular: boat, kind: Boat, shortNames: [bt], categories: [all]}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:{SCHEMA}{COLUMNS}
  - name: v1beta1
    served: true
    storage: false
    schema:{SCHEMA}
"""
BOAT = """
apiVersion: sea.example.com/v1
kind: Boat
metadata: {name: ark}
spec: {size: 3, replicas: 2, unknown: dropped}
"""


def test_custom_resources(k: K, kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "-f", "-", stdin=DEFINITION)
    kubectl("wait", "--for=condition=Established", "crd/boats.sea.example.com", "--timeout=10s")
    assert "boats" in kubectl("api-resources", "--api-group=sea.example.com")
    error = kubectl.fails(
        "-n", namespace, "apply", "--validate=false", "-f", "-", stdin=BOAT.replace("size: 3", "size: 30")
    )
    assert "spec.size in body should be less than or equal to 9" in error
    error = kubectl.fails("-n", namespace, "apply", "--validate=false", "-f", "-", stdin=BOAT.replace("size: 3, ", ""))
    assert "spec.size: Required value" in error
    k("apply", "--validate=false", "-f", "-", stdin=BOAT)
    boat = kubectl.json("-n", namespace, "get", "boats", "ark")
    assert boat["spec"] == {"size": 3, "replicas": 2, "colour": "red"}
    assert boat["metadata"]["generation"] == 1
    header, row = k("get", "bt").strip().splitlines()
    assert header.split() == ["NAME", "SIZE", "COLOUR", "AGE"]
    assert row.split()[:3] == ["ark", "3", "red"]
    assert (
        kubectl.json("-n", namespace, "get", "boats.v1beta1.sea.example.com", "ark")["apiVersion"]
        == "sea.example.com/v1beta1"
    )
    with kubectl.watching("-n", namespace, "get", "boats", "-w", "--no-headers") as lines:
        assert next(lines).split()[:3] == ["ark", "3", "red"]
        k("patch", "boat", "ark", "--type=merge", "-p", '{"spec":{"colour":"green"}}')
        assert next(lines).split()[:3] == ["ark", "3", "green"]
    k("scale", "boat", "ark", "--replicas=5")
    k("patch", "boat", "ark", "--type=merge", "-p", '{"spec":{"colour":"blue"}}')
    assert k("get", "boat", "ark", "-o", "jsonpath={.spec.replicas} {.spec.colour}") == "5 blue"
    k("patch", "boat", "ark", "--type=merge", "--subresource=status", "-p", '{"status":{"replicas":5}}')
    assert k("get", "boat", "ark", "-o", "jsonpath={.status.replicas}") == "5"
    server_side = ("apply", "--server-side", "--validate=false", "-f", "-")
    assert ".spec.unknown: field not declared in schema" in kubectl.fails("-n", namespace, *server_side, stdin=BOAT)
    k(
        "apply",
        "--server-side",
        "--field-manager=captain",
        "--validate=false",
        "-f",
        "-",
        stdin=BOAT.replace("ark", "raft").replace(", unknown: dropped", ""),
    )
    assert k("get", "all", "-o", "name").split() == ["boat.sea.example.com/ark", "boat.sea.example.com/raft"]
    assert "size" in kubectl("explain", "boat.spec")
    kubectl("delete", "crd", "boats.sea.example.com", "--timeout=20s")
    assert "could not find the requested resource" in kubectl.fails("get", "--raw", "/apis/sea.example.com/v1/boats")
    assert "boats" not in kubectl("api-resources", "--api-group=sea.example.com")
