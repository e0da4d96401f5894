"""Both charts on a real API server with real controllers: installed, tested, upgraded, rolled back, uninstalled.

Run by scripts/test-kubernetes. The tests are steps of one life of a cluster and run in the order of their names.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from charts import CHARTS, HELM, HERE, RELEASES, SCHEMAS, cases, in_a_pod, run
from cluster.control_plane import ControlPlane
from cluster.kubelet import Kubelet

ZONE = "topology.kubernetes.io/zone"
CONTROL_PLANE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
AGENTS = "app.kubernetes.io/component=agent"


class OnCluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        binaries = pathlib.Path(os.environ["KUBERNETES"])
        cls.kubectl_path = binaries / "kubectl"
        cls.plane = cls.enterClassContext(ControlPlane(binaries, cls.folder.name))
        cls.kubelet = Kubelet(cls.plane)
        for number in (1, 2, 3):
            cls.plane.node(f"node-{number}", {ZONE: f"zone-{number}"})
        cls.plane.node("control", taints=[CONTROL_PLANE])
        cls.kubelet.start()
        cls.addClassCleanup(cls.kubelet.stop)

    def tearDown(self):
        self.assertIsNone(self.kubelet.failure)

    def good(self, *command):
        result = run(*command, env=self.plane.environment(), timeout=300)
        self.assertEqual(result.returncode, 0, f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
        return result.stdout

    def kubectl(self, *arguments):
        return self.good(self.kubectl_path, *arguments)

    def helm(self, *arguments):
        return self.good(HELM, *arguments)

    def pods(self, namespace="dt", labels=AGENTS):
        return json.loads(self.kubectl("get", "pods", "-n", namespace, "-l", labels, "-o", "json"))["items"]

    def agents_on(self, namespace="dt"):
        return sorted(pod["spec"]["nodeName"] for pod in self.pods(namespace) if pod["spec"].get("nodeName"))

    def windows(self):
        found = set()
        for pod in self.pods():
            found |= {e.get("value") for e in pod["spec"]["containers"][0]["env"] if e["name"] == "DT_WINDOW"}
        return found

    def test_01_definitions(self):
        self.kubectl("apply", "--server-side", "-f", SCHEMAS / "crds")
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        self.kubectl("create", "namespace", "dt")

    def test_02_every_manifest_is_accepted_strictly(self):
        for chart in RELEASES:
            for case in cases(chart):
                with self.subTest(chart=chart, case=case):
                    golden = HERE / "golden" / chart / f"{case}.yaml"
                    said = self.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", golden)
                    self.assertGreaterEqual(said.count("(server dry run)"), 4)

    def test_03_install(self):
        said = self.helm("install", "service-kafka", CHARTS / "kafka", "-n", "dt", "--wait", "--timeout", "4m")
        self.assertIn("kafka-console-consumer.sh", said)
        said = self.helm("install", "distributed-trace", CHARTS / "dt-chart", "-n", "dt", "--wait", "--timeout", "4m")
        self.assertIn("kafka-console-consumer.sh", said)
        self.assertEqual(self.agents_on(), ["node-1", "node-2", "node-3"], "not on the control plane")
        self.kubectl("get", "service", "service-kafka", "service-zookeeper", "-n", "dt")

    def test_04_a_new_node_gets_an_agent(self):
        self.plane.node("node-4")
        self.plane.wait("an agent on node-4", lambda: "node-4" in self.agents_on())
        self.kubectl("delete", "node", "node-4")
        self.plane.wait("no agent on node-4", lambda: "node-4" not in self.agents_on(), 300)

    def test_05_rights(self):
        account = "--as=system:serviceaccount:dt:distributed-trace-agent"

        def may(*what):
            return run(self.kubectl_path, "auth", "can-i", *what, account, env=self.plane.environment()).stdout.strip()

        self.assertEqual(may("get", "nodes/node-1"), "yes")
        for what in (("list", "nodes"), ("patch", "nodes/node-1"), ("get", "pods", "-n", "dt"), ("get", "secrets", "-n", "dt")):
            self.assertEqual(may(*what), "no", what)
        # The agent itself, with what its pod would have, asks the server by TLS.
        folder = pathlib.Path(self.folder.name)
        pod = folder / "pod"
        pod.mkdir()
        (pod / "token").write_text(self.kubectl("create", "token", "distributed-trace-agent", "-n", "dt"))
        shutil.copy(folder / "ca.crt", pod / "ca.crt")
        (folder / "peers.toml").write_text('[[peer]]\nnode = "b"\naddress = "127.0.0.2"\nport = 4000\n')
        flags = [f"--peers={folder}/peers.toml", f"--sink=file:{folder}/records", "--listen=127.0.0.1:0", "--http=off", "--window=1s"]
        env = {
            "DT_NODE": "node-2", "DT_KUBERNETES_NODE_LABELS": "true", "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.plane.port), "PATH": os.environ["PATH"],
        }
        with open(folder / "agent.log", "w") as log:
            agent = subprocess.Popen(in_a_pod(pod, os.environ["DT"], "agent", *flags), env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            records = folder / "records"
            self.plane.wait("records", lambda: records.exists() and records.read_text().count("\n"), 60)
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(30)
        zones = {json.loads(line)["src_zone"] for line in records.read_text().splitlines()}
        self.assertEqual(zones, {"zone-2"}, (folder / "agent.log").read_text())

    def test_06_tests_of_the_charts(self):
        # The hooks are made, waited for and removed; what they run would need a kubelet.
        for release in RELEASES.values():
            self.assertIn("Succeeded", self.helm("test", release, "-n", "dt", "--timeout", "2m"))

    def test_07_upgrade(self):
        self.helm(
            "upgrade", "distributed-trace", CHARTS / "dt-chart", "-n", "dt", "--wait", "--timeout", "4m",
            "--values", cases("dt-chart")["monitoring"], "--set", "controlPlane=true,config.window=30s,zookeeper.replicaCount=3",
        )
        self.assertEqual(self.agents_on(), ["control", "node-1", "node-2", "node-3"])
        self.assertEqual(self.windows(), {"30s"})
        made = ("podmonitor/distributed-trace-agent", "prometheusrule/distributed-trace-agent", "configmap/distributed-trace-dashboard")
        self.kubectl("get", *made, "-n", "dt")
        self.helm(
            "upgrade", "service-kafka", CHARTS / "kafka", "-n", "dt", "--wait", "--timeout", "4m",
            "--set", "replicas=5,configurationOverrides.log\\.retention\\.hours=24",
        )
        self.assertEqual(len(self.pods(labels="app.kubernetes.io/name=kafka")), 5)

    def test_08_what_can_not_be_upgraded_changes_nothing(self):
        result = run(
            HELM, "upgrade", "distributed-trace", CHARTS / "dt-chart", "-n", "dt", "--set", "nodes=4", env=self.plane.environment()
        )
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("`nodes` is gone", result.stderr)
        self.assertEqual(self.windows(), {"30s"})

    def test_09_roll_back(self):
        for release in RELEASES.values():
            self.helm("rollback", release, "1", "-n", "dt", "--wait", "--timeout", "4m")
        self.plane.wait("agents on three nodes", lambda: self.agents_on() == ["node-1", "node-2", "node-3"])
        self.plane.wait("windows as before", lambda: self.windows() == {"60s"})
        self.plane.wait("three brokers", lambda: len(self.pods(labels="app.kubernetes.io/name=kafka")) == 3)

    def test_10_uninstall(self):
        for release in RELEASES.values():
            self.helm("uninstall", release, "-n", "dt", "--wait", "--timeout", "2m")
        self.plane.wait("no pods", lambda: not self.pods(labels="app.kubernetes.io/instance"))
        left = self.kubectl(
            "get", "all,configmap,serviceaccount,networkpolicy,poddisruptionbudget,clusterrole,clusterrolebinding,priorityclass",
            "-A", "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name",
        )
        self.assertEqual(left, "")
        # Records outlive the release; whoever wants them gone deletes the claims.
        claims = self.kubectl("get", "pvc", "-n", "dt", "-o", "name")
        self.assertIn("persistentvolumeclaim/data-service-kafka-0", claims)

    def test_11_pod_security(self):
        for level, values, starts in (
            ("restricted", "restricted", True),
            ("baseline", "defaults", False),
            ("baseline", "pod-network", False),
            ("privileged", "root", True),
        ):
            with self.subTest(level=level, values=values):
                space = f"{level}-{values}"
                self.kubectl("create", "namespace", space)
                self.kubectl("label", "namespace", space, f"pod-security.kubernetes.io/enforce={level}")
                self.helm("install", "distributed-trace", CHARTS / "dt-chart", "-n", space, "--values", cases("dt-chart")[values])
                if starts:
                    self.plane.wait("agents", lambda s=space: len(self.agents_on(s)) == 3)
                    self.plane.wait("ZooKeeper", lambda s=space: self.pods(s, "app.kubernetes.io/name=zookeeper"))
                else:
                    at = f"/api/v1/namespaces/{space}/events?fieldSelector=reason=FailedCreate"
                    events = self.plane.wait("a refusal", lambda a=at: self.plane.request("GET", a)["items"])
                    self.assertIn("violates PodSecurity", events[0]["message"])
                    self.assertIn("NET_RAW", events[0]["message"])
                    self.assertEqual(self.pods(space), [])
                self.helm("uninstall", "distributed-trace", "-n", space)


if __name__ == "__main__":
    unittest.main(failfast=True, verbosity=2)
