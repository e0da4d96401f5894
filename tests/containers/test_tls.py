"""TLS of the Kafka client in the image: it publishes to a broker whose certificate it can check, and to no other."""

import pathlib
import tempfile
import unittest

from bases import IMAGE, KAFKA, NETWORK, build_kafka, built_image
from daemon import run, wait_for
from records import answered, consume

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
BROKER = {
    "KAFKA_NODE_ID": "1", "KAFKA_PROCESS_ROLES": "broker,controller", "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_LISTENERS": "HOST://:9092,SAFE://:9094,CONTROLLER://localhost:9093",
    "KAFKA_ADVERTISED_LISTENERS": "HOST://localhost:9092,SAFE://kafka:9094",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "HOST:PLAINTEXT,SAFE:SSL,CONTROLLER:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "HOST", "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LOG_DIRS": "/var/lib/kafka/data", "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_SSL_KEYSTORE_TYPE": "PEM", "KAFKA_SSL_KEYSTORE_LOCATION": "/broker.pem", "KAFKA_HEAP_OPTS": "-Xmx256m",
}


def openssl(folder, *arguments):
    run("openssl", *arguments, cwd=folder)


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.docker, _ = built_image()
        build_kafka()
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.folder.chmod(0o755)
        openssl(cls.folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests")
        openssl(cls.folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=kafka")
        (cls.folder / "names").write_text("subjectAltName=DNS:kafka\n")
        openssl(
            cls.folder, "x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-extfile", "names", "-out", "certificate.pem",
        )
        keystore = (cls.folder / "key.pem").read_text() + (cls.folder / "certificate.pem").read_text()
        (cls.folder / "broker.pem").write_text(keystore)
        (cls.folder / "peers.toml").write_text('[[peer]]\nnode = "here"\naddress = "127.0.0.1"\nport = 4000\n')
        variables = [f"--env={name}={value}" for name, value in BROKER.items()]
        cls.docker.start_container(
            KAFKA,
            options=(
                "--name=kafka", f"--network={NETWORK}", "--publish=127.0.0.1:9092:9092", f"--volume={cls.folder}/broker.pem:/broker.pem:ro",
                "--health-cmd=bash -c 'exec 3<>/dev/tcp/127.0.0.1/9094'", "--health-interval=1s", *variables,
            ),
        )
        cls.addClassCleanup(cls.docker, "rm", "--force", "--volumes", "kafka")
        cls.docker.wait_for_health("kafka")

    def agent(self, name, *options):
        self.docker.start_container(
            IMAGE, "agent", f"--node={name}", "--listen=127.0.0.1:4001", "--peers=/peers.toml", "--window=1s", "--kafka-bootstrap=kafka:9094",
            "--kafka-options=security.protocol=ssl", "--kafka-options=compression.type=zstd",
            options=(
                f"--name={name}", f"--network={NETWORK}", "--cap-drop=ALL", "--cap-add=NET_RAW", f"--volume={self.folder}/peers.toml:/peers.toml:ro",
                *options,
            ),
        )
        self.addCleanup(self.docker, "rm", "--force", name)

    def test_only_a_broker_that_can_be_checked(self):
        self.agent("stranger")
        wait_for("a refusal", lambda: "certificate verify failed" in self.docker.logs("stranger")[1])
        # Where the system's own certificates lie: found without being told.
        self.agent("friend", f"--volume={self.folder}/ca.pem:{BUNDLE}:ro")
        found = consume(self.docker, "localhost:9092", lambda records: bool(records))
        self.assertEqual({record["src_node"] for record in found}, {"friend"})
        self.assertEqual({kind[0] for kind in answered(found)} - {"friend"}, set())


if __name__ == "__main__":
    unittest.main()
