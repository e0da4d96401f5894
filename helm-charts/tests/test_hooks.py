"""`helm test` of dt-chart: what its pod would run, run here against real services. It passes, and fails for each that is away."""

import os
import unittest

import yaml

from charts import env_of, one, run, with_values
from services import DEADLINE, WithServices, free_ports

DT = os.environ["DT"]
# Paths in ZooKeeper that the hook finds only if it is told them, one by each of the two ways.
VALUES = {"config": {"zookeeper": {"root": "a/b"}}, "extraEnv": [{"name": "HEART_BEAT_NODE_PATH", "value": "c"}]}
KAFKA, ZOOKEEPER, AGENT = "service-kafka.dt.svc.cluster.local:9092", "service-zookeeper.dt.svc.cluster.local:2181", "4000"


class Hooks(WithServices):
    def setUp(self):
        super().setUp()
        result = with_values("dt-chart", VALUES)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.documents = [document for document in yaml.safe_load_all(result.stdout) if document]
        # Nobody listens there.
        self.away = free_ports(1)[0]

    def hook(self, zookeeper, kafka, agent):
        """What failed of the pod's containers, and all that they said. Kubernetes runs them one after the other."""
        spec = one(self.documents, "Pod")["spec"]
        said = []
        for container in spec["initContainers"] + spec["containers"]:
            env = env_of(container) if "env" in container else {}
            self.assertEqual(env.get("SERVERS_ZK", ZOOKEEPER), ZOOKEEPER)
            env |= {"SERVERS_ZK": f"127.0.0.1:{zookeeper}", "PATH": os.environ["PATH"]}
            places = {KAFKA: f"127.0.0.1:{kafka}", f"--port={AGENT}": f"--port={agent}", "$(HOST_IP)": "127.0.0.1"}
            arguments = [places.get(argument, argument) for argument in container["args"]]
            result = run(DT, *arguments, env=env, timeout=DEADLINE)
            said += [result.stdout, result.stderr]
            if result.returncode:
                return container["name"], "".join(said)
        return None, "".join(said)

    def test_passes_where_all_is_there(self):
        (zookeeper,) = self.zookeeper("defaults")
        (port,) = free_ports(1)
        (container,) = one(self.documents, "DaemonSet")["spec"]["template"]["spec"]["containers"]
        env = env_of(container) | {
            "SERVERS_ZK": f"127.0.0.1:{zookeeper}", "REGISTER_PUBLIC_DNS": "127.0.0.1", "REGISTER_LISTENER_DNS": "127.0.0.1",
            "REGISTER_PUBLIC_PORT": str(port), "REGISTER_LISTENER_PORT": str(port), "DT_KUBERNETES_NODE_LABELS": "false",
            "DT_HTTP": f"127.0.0.1:{free_ports(1)[0]}", "DT_SINK": "stdout",
        }
        agent = self.spawn("agent", [DT, *container["args"]], env)
        ready = lambda: run(DT, "health", "--ready", env=env, timeout=DEADLINE).returncode == 0
        self.wait(agent, "agent", ready)
        # A broker is asked for no more than its port, which the agent has as well.
        failed, said = self.hook(zookeeper, kafka=port, agent=port)
        self.assertIsNone(failed, said)
        self.assertIn("node-1", said, "the agent is found in the membership")
        for what in ("kafka", "agent"):
            with self.subTest(away=what):
                self.assertEqual(self.hook(zookeeper, **{"kafka": port, "agent": port, what: self.away})[0], what)

        failed, said = self.hook(self.away, kafka=port, agent=port)
        self.assertEqual(failed, "membership", said)


if __name__ == "__main__":
    unittest.main()
