"""Both charts on real nodes: kubelets start the pods, and agents measure the way from node to node.

Run by scripts/test-nodes, in namespaces of its own. The tests are steps of one life of a cluster and run in the order of
their names.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import unittest

import yaml

from charts import CHARTS, HELM, RELEASES, cases, run
from cluster.control_plane import ControlPlane
from cluster.dns import Dns
from cluster.node import HERE_ADDRESS, Node, bridge

ZONE = "topology.kubernetes.io/zone"
AGENTS = "app.kubernetes.io/component=agent"
# How each kind is measured where NET_RAW is given, and where it isn't.
RAW = {("icmp", "echo"), ("tcp", "syn"), ("grpc", "ping_node")}
UNPRIVILEGED = {("icmp", "echo"), ("tcp", "connect"), ("grpc", "ping_node")}
NODES = ("node-1", "node-2")
DIRECTIONS = {NODES, NODES[::-1]}
FATES = ("lost", "refused", "unreachable", "send_error")
KAFKA = {"kafkaHeapOptions": "-Xmx512m"}
AGENT = {
    # Windows short enough to wait for. A machine of two cores that starts all this may answer late: that is no loss.
    "config": {"window": "5s", "timeout": "3s", "cluster": "nodes"},
    "terminationGracePeriodSeconds": 14, "livenessProbe": {"periodSeconds": 2}, "collector": {"enabled": True},
}


def measured(records):
    """(source, destination, kind, method) of all that had an answer."""
    return {(r["src_node"], r["dst_node"], r["probe"], r["method"]) for r in records if r["received"]}


def ways(methods):
    return {(*direction, *method) for direction in DIRECTIONS for method in methods}


def identity(record):
    return record["boot_id"], record["seq"]


def gapless(records):
    """Whether each agent's numbers are there from the first to its last."""
    numbers = {}
    for boot, number in map(identity, records):
        numbers.setdefault(boot, set()).add(number)
    return all(found == set(range(1, max(found) + 1)) for found in numbers.values())


class OnNodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(os.environ["FOLDER"])
        bridge()
        binaries = pathlib.Path(os.environ["KUBERNETES"])
        cls.kubectl_path = binaries / "kubectl"
        cls.plane = cls.enterClassContext(ControlPlane(binaries, cls.folder, HERE_ADDRESS))
        dns = Dns(cls.plane, HERE_ADDRESS)
        cls.addClassCleanup(dns.stop)
        cls.nodes = [Node(cls.plane, n, os.environ["IMAGES"], f"{ZONE}=zone-{n}") for n in (1, 2)]
        for node in cls.nodes:
            cls.addClassCleanup(node.stop)
            node.start()
        for node in cls.nodes:
            for other in cls.nodes:
                if other is not node:
                    node.route_to(other)

    def tearDown(self):
        for node in self.nodes:
            node.alive()

    def good(self, *command, timeout=400):
        result = run(*command, env=self.plane.environment(), timeout=timeout)
        self.assertEqual(result.returncode, 0, f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}{self.events()}")
        return result.stdout

    def events(self):
        return run(self.kubectl_path, "get", "events,pods", "-A", "-o", "wide", env=self.plane.environment()).stdout[-6000:]

    def values(self, *parts):
        """A file of values: of several mappings, one level deep, the later ones win."""
        merged = {}
        for part in parts:
            for name, value in part.items():
                merged[name] = merged.get(name, {}) | value if isinstance(value, dict) else value
        path = self.folder / "values.yaml"
        path.write_text(yaml.safe_dump(merged))
        return path

    def agents(self, verb, *parts):
        """The release of the agents, installed or upgraded with these values."""
        self.helm(
            verb, "distributed-trace", CHARTS / "dt-chart", "-n", "dt", "--values", self.values(AGENT, *parts), "--wait", "--timeout=5m",
        )

    def kubectl(self, *arguments):
        return self.good(self.kubectl_path, *arguments)

    def helm(self, *arguments):
        return self.good(HELM, *arguments)

    def wait(self, what, condition, seconds=240):
        for node in self.nodes:
            node.alive()
        try:
            return self.plane.wait(what, condition, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.events()}") from None

    def pods(self, namespace="dt", labels=AGENTS):
        return json.loads(self.kubectl("get", "pods", "-n", namespace, "-l", labels, "-o", "json"))["items"]

    def read(self, what, enough, cluster="nodes"):
        """All records of a cluster from the first on, once they are enough: by the line that the notes of the chart say."""
        found, said = [], []
        command = [str(self.kubectl_path), *self.consumer, "--from-beginning"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.plane.environment()
        ) as consumer:

            def take():
                # Nothing but records on standard output.
                for line in consumer.stdout:
                    record = json.loads(line)
                    if record["cluster"] == cluster:
                        found.append(record)

            readers = [threading.Thread(target=take), threading.Thread(target=said.extend, args=(consumer.stderr,))]
            for reader in readers:
                reader.start()

            def look():
                self.assertIsNone(consumer.poll(), f"the consumer ended: {''.join(said)[-3000:]}")
                so_far = list(found)
                return (so_far,) if enough(so_far) else None

            try:
                (records,) = self.wait(what, look)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{len(found)} records: {sorted(measured(found))}") from None
            finally:
                consumer.terminate()
                # Nobody tells it, in its pod, that kubectl has gone.
                for process in processes("ConsoleConsumer"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                for reader in readers:
                    reader.join()
        return records

    def test_01_nodes_join(self):
        def ready():
            nodes = self.plane.request("GET", "/api/v1/nodes")["items"]
            return sorted(
                node["metadata"]["name"] for node in nodes
                if not node["spec"].get("taints") and any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
            ) == list(NODES)

        self.wait("nodes", ready)
        # Nobody makes volumes here: one for ZooKeeper, and three larger ones for Kafka.
        for number, (node, size) in enumerate(((1, "2Gi"), (1, "8Gi"), (2, "8Gi"), (2, "8Gi"))):
            path = self.folder / f"volume-{number}"
            path.mkdir()
            place = {"key": "kubernetes.io/hostname", "operator": "In", "values": [f"node-{node}"]}
            volume = {
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": path.name},
                "spec": {
                    "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "local": {"path": str(path)},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [place]}]}},
                },
            }
            self.plane.request("POST", "/api/v1/persistentvolumes", volume)
        self.kubectl("create", "namespace", "dt")

    def test_02_install(self):
        said = self.helm(
            "install", "service-kafka", CHARTS / "kafka", "-n", "dt", "--values", self.values(KAFKA), "--wait", "--timeout=5m"
        )
        (line,) = re.findall(r"kubectl (-n dt exec -it service-kafka-0 .* --topic distributedTrace\.summaries)", said)
        type(self).consumer = line.replace(" -it", "").split()
        # Ready is who registered and measured: /readyz.
        self.agents("install")
        self.assertEqual(sorted(pod["spec"]["nodeName"] for pod in self.pods()), list(NODES))

    def test_03_both_directions_are_measured(self):
        records = self.read("both directions", lambda found: measured(found) >= ways(RAW))
        self.assertEqual(measured(records), ways(RAW))
        labelled = self.read("labels", lambda found: any(r["src_zone"] and r["dst_zone"] for r in found))
        for record in labelled:
            number = record["src_node"][-1]
            self.assertEqual(record["src_ip"], f"10.77.0.1{number}", "the node's address")
            self.assertIn(record["src_zone"], ("", f"zone-{number}"))
            if record["received"] and record["probe"] != "grpc":
                self.assertEqual((record["timestamp_tx"], record["timestamp_rx"]), ("kernel", "kernel"))

    def test_04_the_collector_shows_both_directions(self):
        service = self.plane.request("GET", "/api/v1/namespaces/dt/services/distributed-trace-collector")["spec"]
        at = f"http://{service['clusterIP']}:{service['ports'][0]['port']}/api/v1/pairs"

        def shown():
            # From a node's network, where the Service is.
            result = run("ip", "netns", "exec", "node-1", "curl", "--silent", "--show-error", "--fail", "--max-time", "10", at)
            if result.returncode:
                return False
            pairs = json.loads(result.stdout)
            return {(pair["src_node"], pair["dst_node"], pair["probe"]) for pair in pairs} >= {way[:3] for way in ways(RAW)}

        self.wait("both directions on the page", shown)

    def test_05_tests_of_the_charts(self):
        for release in RELEASES.values():
            self.assertIn("Succeeded", self.helm("test", release, "-n", "dt", "--timeout=3m"))

    def test_06_an_update_is_nobodys_loss(self):
        before = self.read("records", lambda found: measured(found) >= ways(RAW))
        boots = {record["boot_id"] for record in before}
        self.agents("upgrade", {"podAnnotations": {"update": "one"}})
        new = lambda found: [record for record in found if record["boot_id"] not in boots]
        records = self.read("records of new agents", lambda found: measured(new(found)) >= ways(RAW))
        # Both of them, over their first and last windows too.
        self.assertEqual(len({record["boot_id"] for record in new(records)}), 2)
        seen = {identity(record) for record in before}
        failed = [r for r in records if identity(r) not in seen and any(r[fate] for fate in FATES)]
        self.assertEqual(failed, [])

    def test_07_kafkas_pod_may_go(self):
        before = {identity(record) for record in self.read("records", bool)}
        brokers = lambda: {pod["metadata"]["name"]: pod for pod in self.pods(labels="app.kubernetes.io/name=kafka")}
        old = brokers()
        self.assertEqual(len(old), 3)
        # All at once: what replication can't make up for.
        self.kubectl("delete", "pod", "-n", "dt", "-l", "app.kubernetes.io/name=kafka")

        def back():
            new = brokers()
            return old.keys() == new.keys() and all(
                pod["metadata"]["uid"] != old[name]["metadata"]["uid"] and pod["status"].get("containerStatuses", [{}])[0].get("ready")
                for name, pod in new.items()
            )

        self.wait("new pods", back)
        # What was measured meanwhile has come too.
        after = lambda found: before < {identity(record) for record in found} and gapless(found)
        self.read("old records, and new ones without a gap", after)

    def test_08_a_stuck_agent_is_restarted(self):
        (pod,) = [pod for pod in self.pods() if pod["spec"]["nodeName"] == "node-1"]
        (stuck,) = processes("/dt", pod)
        os.kill(stuck, signal.SIGSTOP)
        counts = lambda: [
            status["restartCount"] for each in self.pods() if each["metadata"]["uid"] == pod["metadata"]["uid"]
            for status in each["status"]["containerStatuses"]
        ]
        self.wait("a restart", lambda: counts() == [1])
        self.kubectl("rollout", "status", "daemonset/distributed-trace-agent", "-n", "dt", "--timeout=3m")

    def test_09_other_ways_to_the_right(self):
        # uid 0 with nothing but NET_RAW and without escalation; and for those who know nothing finer.
        for security in ({"runAs": "root"}, {"privileged": True}):
            with self.subTest(security=security):
                boots = {record["boot_id"] for record in self.read("records", bool)}
                self.agents("upgrade", {"security": security})
                new = lambda found, old=boots: [record for record in found if record["boot_id"] not in old]
                records = self.read("records", lambda found, new=new: measured(new(found)) >= ways(RAW))
                self.assertEqual({r["timestamp_tx"] for r in new(records) if r["probe"] == "tcp" and r["received"]}, {"kernel"})

    def test_10_restricted_in_the_pod_network(self):
        self.kubectl("create", "namespace", "restricted")
        self.kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
        restricted = yaml.safe_load(cases("dt-chart")["restricted"].read_text())
        own = {
            "config": {"cluster": "restricted"}, "kafka": {"bootstrapServers": "service-kafka.dt.svc.cluster.local:9092"},
            "zookeeper": {"replicaCount": 3, "persistence": {"enabled": False}}, "collector": {"enabled": False},
        }
        self.helm(
            "install", "distributed-trace", CHARTS / "dt-chart", "-n", "restricted", "--values", self.values(AGENT, restricted, own),
            "--wait", "--timeout=5m",
        )
        records = self.read("both directions", lambda found: measured(found) >= ways(UNPRIVILEGED), "restricted")
        self.assertEqual(measured(records), ways(UNPRIVILEGED))
        for record in records:
            self.assertTrue(record["src_ip"].startswith("10.244."), record["src_ip"])
        self.assertIn("Succeeded", self.helm("test", "distributed-trace", "-n", "restricted", "--timeout=3m"))
        self.helm("uninstall", "distributed-trace", "-n", "restricted", "--wait", "--timeout=3m")

    def test_11_uninstall(self):
        for release in RELEASES.values():
            self.helm("uninstall", release, "-n", "dt", "--wait", "--timeout=3m")
        self.wait("no pods", lambda: not self.pods(labels="app.kubernetes.io/instance"))


def processes(program, pod=None):
    """Those of these nodes (there are no others in this namespace) whose command has this word; of a pod, by its control group."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            inside = pod is None or pod["metadata"]["uid"] in (folder / "cgroup").read_text()
        except OSError:
            continue
        if inside and any(word.endswith(program) for word in words):
            found.append(int(folder.name))
    return found


if __name__ == "__main__":
    unittest.main(failfast=True, verbosity=2)
