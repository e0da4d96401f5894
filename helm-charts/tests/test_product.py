"""The charts and the program: what the chart tells the agent is accepted."""

import json
import os
import re
import tempfile
import unittest

from charts import CHARTS, cases, env_of, manifests, one, run

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
    with tempfile.NamedTemporaryFile("w", suffix=".options") as secret:
        if "DT_KAFKA_OPTIONS_FILE" in env:
            secret.write("sasl.password=hush\n")
            secret.flush()
            env["DT_KAFKA_OPTIONS_FILE"] = secret.name
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
        for option in ("security.protocol", "sasl.password", "metadata.max.age.ms", 'zookeeper.auth = "***"', 'zookeeper.acl = "read"'):
            self.assertIn(option, shown)
        shown = config("show", agent_of("mounted-secret")).stdout
        self.assertIn('"sasl.password" = "***"  # kafka.options_file', shown)
        self.assertIn('kafka.spool = "/var/lib/distributed-trace"', shown)

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
            "kubernetes.node_labels", "zookeeper.auth", "kafka.options_file", "kafka.spool",
        }
        reference = run(DT, "config", "reference").stdout
        documented = set(re.findall(r"^### `(.*)`$", reference, re.M))
        self.assertGreater(len(documented), 30)
        self.assertEqual(set(keys(schema)), documented - of_the_chart, "values.schema.json, `config`")


if __name__ == "__main__":
    unittest.main()
