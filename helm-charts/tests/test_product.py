"""The charts and the program: what the chart tells the agent is accepted, and what the alerts ask for is exported."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

from charts import CHARTS, HERE, cases, env_of, manifests, one, run

DT = os.environ["DT"]


def agent_of(case):
    (container,) = one(manifests("dt-chart", case), "DaemonSet")["spec"]["template"]["spec"]["containers"]
    return container


def config(command, container):
    """`dt config check|show` with exactly what the chart gives the agent."""
    flags = [argument for argument in container["args"] if argument != "agent"]
    # The image's Kafka client has TLS; that of the build tested here refuses what it lacks.
    flags = [flag.replace("=SASL_SSL", "=SASL_PLAINTEXT") for flag in flags if not flag.startswith("--kafka-options=ssl.")]
    env = env_of(container) | {"PATH": os.environ["PATH"]}
    return run(DT, "config", command, *flags, env=env)


class Configuration(unittest.TestCase):
    def test_accepted_without_a_warning(self):
        for case in cases("dt-chart"):
            with self.subTest(case=case):
                result = config("check", agent_of(case))
                self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_the_drain_command_is_one(self):
        command = agent_of("defaults")["lifecycle"]["preStop"]["exec"]["command"]
        # A process that is none: everything before that was understood.
        result = run(DT, *command[1:], "--pid=4194304")
        self.assertEqual(result.returncode, 1)
        self.assertIn("process 4194304", result.stderr)

    def test_arrives_as_meant(self):
        shown = config("show", agent_of("defaults")).stdout
        for line in (
            r'node = "node-1"', r'listen = "0\.0\.0\.0:4000"', r'advertise = "10\.1\.2\.3:4000"', r'window = "(60s|1m)"',
            r'membership = "zookeeper"', r"kafka\.bootstrap = .*service-kafka\.dt\.svc\.cluster\.local:9092",
        ):
            self.assertRegex(shown, line)
        self.assertIn("[::]:4000", config("show", agent_of("ipv6")).stdout)
        shown = config("show", agent_of("external")).stdout
        for option in ("security.protocol", "sasl.password", "metadata.max.age.ms"):
            self.assertIn(option, shown)

    def test_every_key_can_be_set(self):
        schema = json.loads((CHARTS / "dt-chart/values.schema.json").read_text())["properties"]["config"]["properties"]

        def keys(properties, prefix=""):
            for name, inner in properties.items():
                if "properties" in inner:
                    yield from keys(inner["properties"], f"{prefix}{name}.")
                else:
                    yield prefix + name

        of_the_chart = {
            "node", "listen", "advertise", "membership", "peers", "http", "zookeeper.servers", "kafka.bootstrap",
            "kubernetes.node_labels",
        }
        reference = run(DT, "config", "reference").stdout
        documented = set(re.findall(r"^### `(.*)`$", reference, re.M))
        self.assertGreater(len(documented), 30)
        self.assertEqual(set(keys(schema)), documented - of_the_chart, "values.schema.json, `config`")


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            peers = pathlib.Path(folder, "peers.toml")
            peers.write_text('[[peer]]\nnode = "b"\naddress = "127.0.0.2"\nport = 4000\n')
            command = [
                DT, "agent", "--node=a", "--listen=127.0.0.1:0", "--membership=file", f"--peers={peers}",
                # Nobody listens there: only the metrics of this sink are of interest.
                "--sink=kafka", "--kafka-bootstrap=127.0.0.1:9", f"--http=127.0.0.1:{port}",
            ]
            agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                cls.page = cls.scrape(agent, f"http://127.0.0.1:{port}/metrics", "application/openmetrics-text")
                cls.older_page = cls.scrape(agent, f"http://127.0.0.1:{port}/metrics", "text/plain; version=0.0.4")
            finally:
                agent.send_signal(signal.SIGTERM)
                try:
                    agent.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    agent.kill()
                    raise
        cls.names = set(re.findall(r"^(dt_\w+)[{ ]", cls.page, re.M))
        # A histogram is spoken of without its suffix.
        cls.names |= {name.removesuffix("_bucket") for name in cls.names}

    @staticmethod
    def scrape(agent, url, accept):
        request = urllib.request.Request(url, headers={"Accept": accept})
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.read().decode()
            except OSError:
                if agent.poll() is not None:
                    raise AssertionError(f"the agent ended: {agent.stderr.read()}") from None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def asked(self, texts):
        found = {name for text in texts for name in re.findall(r"\bdt_\w+", text)}
        self.assertGreater(len(found), 10)
        return found

    def test_alerts_ask_for_what_is_exported(self):
        rules = (CHARTS / "dt-chart/files/alerts.yaml").read_text()
        expressions = re.sub(r"^\s*(summary|description):.*$", "", rules, flags=re.M)
        self.assertEqual(self.asked([expressions]) - self.names, set())

    def test_dashboard_asks_for_what_is_exported(self):
        dashboard = json.loads((CHARTS / "dt-chart/files/dashboard.json").read_text())
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        self.assertEqual(self.asked(expressions) - self.names, set())
        places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
        self.assertEqual(len(places), len(set(places)), "panels lie upon one another")

    def test_names_and_types(self):
        result = run("promtool", "check", "metrics", stdin=self.older_page)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_rules(self):
        result = run("promtool", "check", "rules", CHARTS / "dt-chart/files/alerts.yaml")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        result = run("promtool", "test", "rules", HERE / "alerts_test.yaml")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_every_alert_is_tested(self):
        alerts = re.findall(r"alert: (\w+)", (CHARTS / "dt-chart/files/alerts.yaml").read_text())
        fired = re.findall(r'alertname="(\w+)"', (HERE / "alerts_test.yaml").read_text())
        self.assertEqual(sorted(alerts), sorted(fired))


if __name__ == "__main__":
    unittest.main()
