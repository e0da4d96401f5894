"""What holds for every case of the matrix: valid, as reviewed, and careful with the cluster."""

import os
import unittest

import readme
from charts import (
    CHARTS, HELM, HERE, KUBECONFORM, NAMESPACE, RELEASES, SCHEMAS, cases, containers, manifests, matches, pod_of, run, text,
)

UPDATE = os.environ.get("CHARTS_UPDATE") == "1"
MATRIX = [(chart, case) for chart in RELEASES for case in cases(chart)]
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "PriorityClass"}


class Rendered(unittest.TestCase):
    maxDiff = None

    def test_lint(self):
        for chart, case in MATRIX:
            with self.subTest(chart=chart, case=case):
                result = run(HELM, "lint", "--strict", CHARTS / chart, "--values", cases(chart)[case])
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_schemas_of_kubernetes(self):
        versions = sorted(path.name.removeprefix("v").removesuffix("-standalone-strict") for path in SCHEMAS.glob("v*"))
        self.assertGreaterEqual(len(versions), 3, f"no schemas in {SCHEMAS}: run scripts/fetch-chart-tools")
        for version in versions:
            with self.subTest(version=version):
                fit = [HERE / "golden" / chart / f"{case}.yaml" for chart, case in MATRIX]
                # -strict refuses unknown fields; a kind without a schema is an error too.
                result = run(KUBECONFORM, "-strict", "-kubernetes-version", version, "-schema-location", SCHEMAS, *fit)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    # Named so that it runs before test_schemas_of_kubernetes, which reads these files.
    def test_golden(self):
        expected = set()
        for chart, case in MATRIX:
            with self.subTest(chart=chart, case=case):
                golden = HERE / "golden" / chart / f"{case}.yaml"
                expected.add(golden)
                if UPDATE:
                    golden.parent.mkdir(parents=True, exist_ok=True)
                    golden.write_text(text(chart, case))
                self.assertTrue(golden.exists(), f"{golden} is missing: scripts/check-charts --update")
                self.assertEqual(golden.read_text(), text(chart, case), "if this is meant: scripts/check-charts --update")
        self.assertEqual(set((HERE / "golden").glob("*/*.yaml")), expected, "golden files of cases that are gone")

    def test_readme(self):
        for chart in RELEASES:
            path = CHARTS / chart / "README.md"
            if UPDATE:
                path.write_text(readme.readme(chart))
            self.assertEqual(path.read_text(), readme.readme(chart), "run scripts/check-charts --update")

    def test_names_and_namespaces(self):
        for chart, case in MATRIX:
            with self.subTest(chart=chart, case=case):
                names = set()
                for document in manifests(chart, case):
                    meta = document["metadata"]
                    self.assertLessEqual(len(meta["name"]), 63)
                    self.assertEqual(meta.get("namespace"), None if document["kind"] in CLUSTER_WIDE else NAMESPACE)
                    self.assertEqual(meta["labels"]["app.kubernetes.io/instance"], RELEASES[chart])
                    key = (document["kind"], meta["name"])
                    self.assertNotIn(key, names)
                    names.add(key)

    def test_every_selector_picks_a_pod(self):
        for chart, case in MATRIX:
            with self.subTest(chart=chart, case=case):
                documents = manifests(chart, case)
                labels = [pod["metadata"]["labels"] for pod in map(pod_of, documents) if pod]
                for document in documents:
                    kind, spec = document["kind"], document.get("spec", {})
                    if kind in ("DaemonSet", "Deployment", "StatefulSet"):
                        own = pod_of(document)["metadata"]["labels"]
                        self.assertTrue(matches(spec["selector"]["matchLabels"], own))
                    if kind == "StatefulSet":
                        headless = [d for d in documents if d["kind"] == "Service" and d["metadata"]["name"] == spec["serviceName"]]
                        self.assertEqual(headless[0]["spec"]["clusterIP"], "None")
                        self.assertTrue(headless[0]["spec"]["publishNotReadyAddresses"])
                    picks = spec.get("podSelector") or spec.get("selector")
                    if kind == "Service":
                        picks = {"matchLabels": picks}
                    if kind in ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
                        picked = [own for own in labels if matches(picks["matchLabels"], own)]
                        self.assertEqual(len(picked), 1, f"{kind} {document['metadata']['name']} picks {picked}")

    def test_ports_that_are_named_exist(self):
        for chart, case in MATRIX:
            with self.subTest(chart=chart, case=case):
                documents = manifests(chart, case)
                for document in documents:
                    pod = pod_of(document)
                    for container in containers(pod) if pod else []:
                        ports = {port["name"] for port in container.get("ports", [])}
                        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                            for how in ("httpGet", "tcpSocket"):
                                if how in container.get(probe, {}):
                                    self.assertIn(container[probe][how]["port"], ports)
                    if document["kind"] == "Service":
                        pods = [pod_of(d) for d in documents if pod_of(d)]
                        pods = [p for p in pods if matches(document["spec"]["selector"], p["metadata"]["labels"])]
                        ports = {port["name"] for p in pods for c in containers(p) for port in c.get("ports", [])}
                        for port in document["spec"]["ports"]:
                            self.assertIn(port["targetPort"], ports)

    def test_pods_are_careful(self):
        for chart, case in MATRIX:
            with self.subTest(chart=chart, case=case):
                for document in manifests(chart, case):
                    pod = pod_of(document)
                    if pod is None:
                        continue
                    spec = pod["spec"]
                    self.assertFalse(spec["enableServiceLinks"])
                    self.assertIn("automountServiceAccountToken", spec)
                    self.assertIn(spec["securityContext"]["seccompProfile"]["type"], ("RuntimeDefault", "Localhost"))
                    for container in containers(pod):
                        context = container["securityContext"]
                        self.assertTrue(context["readOnlyRootFilesystem"])
                        self.assertEqual(context["capabilities"]["drop"], ["ALL"])
                        self.assertFalse(context.get("privileged", False) and case != "privileged")
                        self.assertFalse(container["image"].endswith(":latest") or ":" not in container["image"])
                        resources = container["resources"]
                        self.assertIn("cpu", resources["requests"])
                        self.assertIn("memory", resources["requests"])
                        self.assertIn("memory", resources["limits"])
                        self.assertNotIn("cpu", resources["limits"], "throttling shows as delay")


if __name__ == "__main__":
    unittest.main()
