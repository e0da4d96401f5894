"""ZooKeeper and Kafka do with the charts' configuration what is expected of them."""

import subprocess
import unittest

from charts import manifests, one, run
from services import DEADLINE, WithServices


class Services(WithServices):
    def test_zookeeper_alone(self):
        self.assertEqual(list(self.zookeeper("defaults").values()), ["standalone"])

    def test_zookeeper_ensemble(self):
        self.assertEqual(sorted(self.zookeeper("ensemble").values()), ["follower", "follower", "leader"])

    def test_kafka_keeps_records_over_a_restart(self):
        start, address = self.kafka()
        kcat = ["kcat", "-q", "-b", address, "-t", "pairs", "-p", "0"]
        for life in (1, 2):
            process = start()
            record = f"record of life {life}\n"

            def produced(record=record):
                sent = subprocess.run([*kcat, "-P"], input=record, text=True, capture_output=True, timeout=DEADLINE, check=False)
                return sent.returncode == 0

            self.wait(process, "kafka", produced)
            read = run(*kcat, "-C", "-e", "-o", "beginning", timeout=DEADLINE)
            self.assertIn("record of life 1\n", read.stdout, read.stderr)
            self.assertIn(record, read.stdout)
            if life == 2:
                self.the_hook_of_the_chart(address)
            self.end(process)
            self.assertEqual(process.returncode, 143, "ended by SIGTERM, in order")
        log = (self.folder / "kafka.log").read_text()
        self.assertRegex(log, r"(?m)^\[[-0-9]+ [:,0-9]+\] INFO ", "the chart's layout, on standard output")
        self.assertTrue((self.folder / "data/logs/pairs-0").is_dir())

    def the_hook_of_the_chart(self, address):
        """`helm test` of the chart finds a broker that takes records and gives them back, and leaves no topic behind."""
        (container,) = one(manifests("kafka", "one-broker"), "Pod")["spec"]["containers"]
        *shell, script = container["command"]
        script = script.replace("/opt/kafka/bin", f"{self.folder}/bin")
        inside = "service-kafka.dt.svc.cluster.local:9092"
        self.assertIn(inside, script)
        good = run(*shell, script.replace(inside, address), timeout=DEADLINE)
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        self.assertRegex(good.stdout, r"(?m)^record of helm-test-")
        left = run(self.folder / "bin/kafka-topics.sh", "--bootstrap-server", address, "--list", timeout=DEADLINE)
        self.assertIn("pairs", left.stdout.split(), left.stderr)
        self.assertNotIn("helm-test-", left.stdout)


if __name__ == "__main__":
    unittest.main()
