"""Rendering the charts, for the tests beside this file. scripts/check-charts runs them and sets the environment."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHARTS = HERE.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "distributed-trace"
HELM = str(CACHE / "bin/helm")
KUBECONFORM = str(CACHE / "bin/kubeconform")
SCHEMAS = CACHE / "kubernetes-schemas-1.37.0"
# The releases' names that the documentation uses.
RELEASES = {"dt-chart": "distributed-trace", "kafka": "service-kafka"}
NAMESPACE = "dt"


def run(*command, env=None, timeout=120, stdin=None):
    """One program's result; it may fail."""
    command = [str(part) for part in command]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env, input=stdin, check=False)


def helm_template(chart, *arguments):
    """`helm template` under the documented release name, hooks and tests included."""
    return run(HELM, "template", RELEASES[chart], CHARTS / chart, "--namespace", NAMESPACE, *arguments)


def install_notes(chart, *arguments):
    """What `helm install` tells the operator. Only that prints NOTES.txt, and it wants a cluster; so a copy of the chart
    has one more template, which includes it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(CHARTS / chart, f"{folder}/{chart}")
        pathlib.Path(copy, "templates/notes.yaml").write_text(f'notes: {{{{ include "{chart}/templates/NOTES.txt" . | toJson }}}}\n')
        at = (RELEASES[chart], copy, "--namespace", NAMESPACE, "--show-only", "templates/notes.yaml")
        result = run(HELM, "template", *at, *arguments)
        assert result.returncode == 0, result.stderr
        return yaml.safe_load(result.stdout)["notes"]


def cases(chart):
    """The values files of the matrix, by name."""
    found = sorted((HERE / "values" / chart).glob("*.yaml"))
    assert len(found) >= (8 if chart == "dt-chart" else 5), f"the matrix of {chart} has shrunk to {len(found)}"
    return {path.stem: path for path in found}


_rendered = {}


def text(chart, case):
    """What one case of the matrix renders to."""
    if (chart, case) not in _rendered:
        result = helm_template(chart, "--values", cases(chart)[case])
        assert result.returncode == 0, f"{chart} with {case}: {result.stderr}"
        _rendered[chart, case] = result.stdout
    return _rendered[chart, case]


def manifests(chart, case):
    """The same as objects."""
    return [document for document in yaml.safe_load_all(text(chart, case)) if document]


def with_values(chart, values):
    """The result of rendering with these values (a mapping)."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return helm_template(chart, "--values", file.name)


def one(documents, kind, name=None):
    """The only document of that kind (and name)."""
    found = [d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of kind {kind} name {name}"
    return found[0]


def pod_of(document):
    """The pod template (or the pod) within a document, else None."""
    if document["kind"] == "Pod":
        return document
    if document["kind"] in ("DaemonSet", "Deployment", "StatefulSet"):
        return document["spec"]["template"]
    return None


def containers(pod):
    """All containers of a pod."""
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def env_of(container):
    """A container's variables; those of the downward API as a value of their kind."""
    stand_ins = {"spec.nodeName": "node-1", "status.hostIP": "10.1.2.3", "status.podIP": "10.244.0.7"}
    env = {}
    for variable in container["env"]:
        assert variable["name"] not in env, f"{variable['name']} is set twice"
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            env[variable["name"]] = stand_ins[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            of_zookeeper = variable["name"] == "DT_ZOOKEEPER_AUTH"
            env[variable["name"]] = "agent:secret" if of_zookeeper else "sasl.username=agent,sasl.password=secret"
        else:
            assert isinstance(variable["value"], str), variable
            env[variable["name"]] = variable["value"]
    return env


def matches(selector, labels):
    """Whether matchLabels pick these labels."""
    return all(labels.get(key) == value for key, value in selector.items())


def in_a_pod(files, *command):
    """The command with a /run of its own, in which these files (a folder) lie where a kubelet puts those of an account."""
    account = "/run/secrets/kubernetes.io/serviceaccount"
    script = f'mount -t tmpfs tmpfs /run && mkdir -p {account} && cp "$0"/* {account} && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, *map(str, (files, *command))]
