"""What the Kafka chart says to the brokers."""

import base64
import unittest

from charts import HELM, RELEASES, CHARTS, manifests, one, run, with_values


def properties(case):
    """server.properties as a mapping; of a key given twice the last counts, as for Kafka."""
    text = one(manifests("kafka", case), "ConfigMap")["data"]["server.properties"]
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def start(case):
    return one(manifests("kafka", case), "ConfigMap")["data"]["start.sh"]


class Kafka(unittest.TestCase):
    def test_records_survive(self):
        stateful = one(manifests("kafka", "defaults"), "StatefulSet")["spec"]
        (claim,) = stateful["volumeClaimTemplates"]
        (container,) = stateful["template"]["spec"]["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        self.assertTrue(properties("defaults")["log.dirs"].startswith(mounted[claim["metadata"]["name"]] + "/"))
        self.assertEqual(properties("defaults")["default.replication.factor"], "3")
        self.assertEqual(properties("defaults")["min.insync.replicas"], "2")

    def test_quorum(self):
        voters = lambda case: [v.split("@")[0] for v in properties(case)["controller.quorum.voters"].split(",")]
        self.assertEqual(voters("defaults"), ["0", "1", "2"])
        self.assertEqual(voters("one-broker"), ["0"])
        self.assertEqual(voters("no-persistence"), ["0"], "two brokers: an even quorum is worse than one")
        self.assertEqual(voters("five-brokers"), ["0", "1", "2"])
        self.assertIn('[ "$ordinal" -lt 3 ]', start("five-brokers"))

    def test_factors_fit_the_brokers(self):
        self.assertEqual(properties("one-broker")["offsets.topic.replication.factor"], "1")
        self.assertEqual(properties("no-persistence")["default.replication.factor"], "2")
        self.assertEqual(properties("no-persistence")["min.insync.replicas"], "1")

    def test_cluster_id(self):
        words = start("defaults").split()
        identity = words[words.index("--cluster-id") + 1]
        self.assertEqual(len(base64.urlsafe_b64decode(identity + "==")), 16)
        self.assertIn(identity, start("one-broker"), "an upgrade with other values must not change it")
        self.assertIn("MkU3OEVBNTcwNTJENDM2Qg", start("five-brokers"))
        other = run(HELM, "template", "other-kafka", CHARTS / "kafka", "--namespace", "dt").stdout
        self.assertNotIn(identity, other)

    def test_overrides(self):
        self.assertEqual(properties("five-brokers")["log.retention.hours"], "72")
        self.assertEqual(properties("five-brokers")["log.retention.bytes"], "107374182400")
        self.assertEqual(properties("five-brokers")["auto.create.topics.enable"], "false")
        self.assertNotEqual(with_values("kafka", {"configurationOverrides": {"listeners": "x"}}).returncode, 0)

    def test_what_is_run_beside_the_broker_has_none_of_its_options(self):
        # `kubectl exec ... kafka-console-consumer.sh` of the notes: records alone on its standard output, and a small heap.
        (container,) = one(manifests("kafka", "defaults"), "StatefulSet")["spec"]["template"]["spec"]["containers"]
        self.assertEqual([variable["name"] for variable in container["env"]], ["LOG_DIR"])
        self.assertIn("export KAFKA_HEAP_OPTS='-Xmx1G -Xms1G'\n", start("defaults"))
        # The storage is formatted by a tool too.
        self.assertLess(start("defaults").index("kafka-storage.sh"), start("defaults").index("export KAFKA_HEAP_OPTS"))

    def test_a_changed_configuration_restarts_the_brokers(self):
        checksum = lambda case: one(manifests("kafka", case), "StatefulSet")["spec"]["template"]["metadata"]["annotations"][
            "checksum/config"
        ]
        self.assertNotEqual(checksum("defaults"), checksum("five-brokers"))

    def test_names(self):
        self.assertEqual(RELEASES["kafka"], "service-kafka")
        names = {d["metadata"]["name"] for d in manifests("kafka", "defaults") if d["kind"] == "Service"}
        self.assertEqual(names, {"service-kafka", "service-kafka-headless"})


if __name__ == "__main__":
    unittest.main()
