"""docker-compose.yml as it stands, on stand-ins for the images that can't be pulled."""

import json
import time
import unittest

from bases import IMAGE, KAFKA, PROJECT, ZOOKEEPER, build_kafka, build_zookeeper, built_image
from daemon import run, wait_for
from records import answered, consume, identity

VARIABLES = {"DT_IMAGE": IMAGE, "ZOOKEEPER_IMAGE": ZOOKEEPER, "KAFKA_IMAGE": KAFKA}
HOST_SIDE = "localhost:9092"
PAIRS = {
    (source, destination, probe, method)
    for source, destination in (("agent-1", "agent-2"), ("agent-2", "agent-1"))
    for probe, method in (("icmp", "echo"), ("tcp", "syn"), ("grpc", "ping_node"))
}


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.docker, _ = built_image()
        build_zookeeper()
        build_kafka()
        cls.addClassCleanup(cls.compose, "down", "--volumes")
        cls.started = int(time.time())
        cls.compose("up", "--detach", "--no-build")

    @classmethod
    def compose(cls, *arguments):
        return cls.docker.compose(
            f"--file={PROJECT / 'docker-compose.yml'}", "--project-name=dt", *arguments, variables=VARIABLES, timeout=300
        )

    def container(self, service):
        return self.docker.inspect(self.compose("ps", "--quiet", service).strip())

    def read(self, enough):
        return consume(self.docker, HOST_SIDE, enough)

    def test_agents_start_once_the_services_are_well(self):
        def first(service, event):
            lines = self.docker("events", f"--since={self.started}", f"--until={time.time():.0f}", "--filter=type=container", f"--filter=event={event}",
                                f"--filter=label=com.docker.compose.service={service}", "--format={{json .}}")
            return min(json.loads(line)["timeNano"] for line in lines.splitlines())

        well = max(first(service, "health_status") for service in ("zookeeper", "kafka"))
        self.assertGreater(min(first(agent, "start") for agent in ("agent-1", "agent-2")), well)

    def test_agents_become_healthy_and_have_no_more_rights_than_they_need(self):
        for agent in ("agent-1", "agent-2"):
            container = self.container(agent)
            self.docker.wait_for_health(container["Id"])
            host = container["HostConfig"]
            self.assertEqual((host["CapAdd"], host["CapDrop"], host["ReadonlyRootfs"]), (["NET_RAW"], ["ALL"], True))
            self.assertEqual((host["Privileged"], container["Config"]["User"]), (False, "65532:65532"))

    def test_both_pairs_are_read_from_the_host(self):
        found = answered(self.read(lambda records: answered(records) >= PAIRS))
        self.assertEqual(found, PAIRS)

    def test_the_page_shows_both_pairs(self):
        container = self.container("collect")
        self.docker.wait_for_health(container["Id"])
        self.assertEqual((container["HostConfig"]["CapAdd"], container["HostConfig"]["CapDrop"]), (None, ["ALL"]))

        def shown():
            url = "http://127.0.0.1:8080/api/v1/pairs"
            answer = run(*self.docker.inside(), "curl", "--silent", "--show-error", "--max-time", "10", url, check=False)
            pairs = json.loads(answer.stdout) if answer.returncode == 0 else []
            found = {(pair["src_node"], pair["dst_node"], pair["probe"], pair["method"]) for pair in pairs if pair["received"]}
            return found >= PAIRS

        wait_for("both pairs on the page", shown)

    def test_records_survive_a_restart_and_a_new_container_of_kafka(self):
        before = {identity(record) for record in self.read(lambda records: answered(records) >= PAIRS)}
        old = self.container("kafka")["Id"]
        for commands in ([("restart", "kafka")], [("rm", "--stop", "--force", "kafka"), ("up", "--detach", "--no-build", "kafka")]):
            for command in commands:
                self.compose(*command)
            self.docker.wait_for_health(self.container("kafka")["Id"])
            # All of the old ones, and new ones after them.
            after = self.read(lambda records: before < {identity(record) for record in records})
            before = {identity(record) for record in after}
        self.assertNotEqual(self.container("kafka")["Id"], old)


if __name__ == "__main__":
    unittest.main()
