"""The manifests of deploy/kubernetes, by the schemas of Kubernetes, Ray Serve and KubeRay.

kubernetes-validate has the schemas of Kubernetes' own kinds. No package has that of a RayService:
its pod templates and its Serve configuration are checked by the schemas of those, and the rest by
the operator's own definition where KUBERAY_CRD names its file, ray.io_rayservices.yaml.
"""

import copy
import os
import re
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

import kronos
from kronos.serving.cluster import deployment
from tests.source_tree import ROOT
from tests.test_project import pins

FOLDER = ROOT / "deploy" / "kubernetes"
DOCUMENTS = [
    document for file in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text())
]  # fmt: skip
CORE = [each for each in DOCUMENTS if each["kind"] != "RayService"]
(RAY,) = [each for each in DOCUMENTS if each["kind"] == "RayService"]
CLUSTER = RAY["spec"]["rayClusterConfig"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]


def name_of(document):
    return f"{document['kind']} {document['metadata']['name']}"


def check(document):
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def found(document, key):
    """All values of a key, at any depth."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == key:
                yield value
            yield from found(value, key)
    elif isinstance(document, list):
        for each in document:
            yield from found(each, key)


@pytest.mark.parametrize("document", CORE, ids=name_of)
def test_a_manifest_satisfies_its_schema(document):
    check(document)
    wrong = copy.deepcopy(document)
    wrong["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        check(wrong)


@pytest.mark.parametrize("group", GROUPS, ids=["head", "worker"])
def test_a_pod_of_the_cluster_satisfies_its_schema(group):
    pod = {"apiVersion": "v1", "kind": "PodTemplate", "template": group["template"]}
    check(pod)
    container = {"name": "ray", "resources": CLUSTER["autoscalerOptions"]["resources"]}
    check(
        {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "template": {"spec": {"containers": [container]}},
        }
    )
    wrong = copy.deepcopy(pod)
    wrong["template"]["spec"]["containers"][0]["images"] = "one"
    with pytest.raises(kubernetes_validate.ValidationError, match="images"):
        check(wrong)


def test_the_cluster_deploys_what_the_command_deploys():
    config = yaml.safe_load(RAY["spec"]["serveConfigV2"])
    assert config == deployment.configuration(deployment.Plan(replicas=2, most=8))


@pytest.mark.slow
def test_the_configuration_satisfies_the_schema_of_serve():
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(RAY["spec"]["serveConfigV2"])
    (found,) = ServeDeploySchema.model_validate(config).applications
    assert (found.name, found.route_prefix) == ("kronos-bundled", None)


@pytest.mark.skipif("KUBERAY_CRD" not in os.environ, reason="KUBERAY_CRD names no definition")
def test_the_cluster_satisfies_the_definition_of_the_operator():
    definition = yaml.safe_load(Path(os.environ["KUBERAY_CRD"]).read_text())
    (version,) = [each for each in definition["spec"]["versions"] if each["storage"]]
    assert RAY["apiVersion"] == f"{definition['spec']['group']}/{version['name']}"
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.Draft202012Validator(schema).validate(RAY)
    wrong = copy.deepcopy(RAY)
    wrong["spec"]["rayClusterConfig"]["headGroupSpec"]["startParams"] = {}
    with pytest.raises(jsonschema.ValidationError, match="startParams"):
        jsonschema.Draft202012Validator(schema).validate(wrong)


def closed(schema):
    """A schema of Kubernetes as it is applied: what it does not name is refused."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def test_versions_are_those_of_this_program():
    assert CLUSTER["rayVersion"] == pins()["ray"]
    images = {image for image in found(DOCUMENTS, "image") if "kronos-fan" in image}
    assert images == {f"registry.example.org/kronos-fan:{kronos.__version__}"}


def test_manifests_name_one_another_rightly():
    services = {each["metadata"]["name"] for each in CORE if each["kind"] == "Service"}
    services.add(f"{RAY['metadata']['name']}-head-svc")  # which the operator makes
    hosts = re.findall(r"(?:address=|redis://)([\w-]+):6379", yaml.safe_dump_all(DOCUMENTS))
    assert set(hosts) == {"kronos-head-svc", "kronos-redis"} <= services
    claims = {each["metadata"]["name"] for each in CORE if "Claim" in each["kind"]}
    assert set(found(DOCUMENTS, "claimName")) <= claims
    text = (ROOT / "docs" / "cluster.md").read_text()
    made = dict(re.findall(r"create secret generic ([\w-]+) .*?--from-literal=(\w+)=", text))
    asked = [*found(DOCUMENTS, "secretKeyRef"),
             {"name": CLUSTER["authOptions"]["secretName"], "key": "auth_token"}]  # fmt: skip
    assert {each["name"]: each["key"] for each in asked} == made


def test_no_pod_runs_as_root():
    pods = [each["spec"] for each in found(DOCUMENTS, "template")]
    assert len(pods) == 4
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
