"""Real ZooKeeper and Kafka started with what the charts write for them; only addresses, ports and folders are changed."""

import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from charts import CACHE, manifests, one, run

ZOOKEEPER = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-nop.jar"
# Plentiful: two cores may be busy with other tests.
DEADLINE = 120
# The jars of the tests have no scripts; these do what theirs do with the variables the chart sets.
SCRIPTS = {
    "kafka-storage.sh": "kafka.tools.StorageTool", "kafka-server-start.sh": "kafka.Kafka",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand", "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
}


# Ports that were given out: their servers may not listen yet.
given = set()


def free_ports(count):
    """Below those that the kernel gives to callers: one that calls a server which isn't up yet could get its very port
    and be connected to itself, and another program could be given it before the server is."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    taken = []
    for port in random.sample(sorted(set(range(10_000, lowest)) - given), 1000):
        each = socket.socket()
        try:
            each.bind(("127.0.0.1", port))
        except OSError:
            each.close()
            continue
        taken.append(each)
        if len(taken) == count:
            break
    ports = [each.getsockname()[1] for each in taken]
    given.update(ports)
    for each in taken:
        each.close()
    return ports


class WithServices(unittest.TestCase):
    """Tests with a folder of their own, in which programs run that end with them."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def spawn(self, name, command, env):
        with open(self.folder / f"{name}.log", "a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | env, cwd=self.folder)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait(self, process, name, condition):
        deadline = time.monotonic() + DEADLINE
        while not (found := condition()):
            log = (self.folder / f"{name}.log").read_text()
            self.assertIsNone(process.poll(), f"{name} ended: {log[-3000:]}")
            self.assertLess(time.monotonic(), deadline, f"{name} is not there: {log[-3000:]}")
            time.sleep(0.2)
        return found

    def zookeeper(self, case):
        """Starts all servers of a case and waits for what the readiness probe waits for; their ports and modes."""
        documents = manifests("dt-chart", case)
        stateful = one(documents, "StatefulSet")["spec"]
        (container,) = stateful["template"]["spec"]["containers"]
        flags = next(e["value"] for e in container["env"] if e["name"] == "SERVER_JVMFLAGS")
        config = one(documents, "ConfigMap")["data"]["zoo.cfg"]
        count = stateful["replicas"]
        servers = [free_ports(3) for _ in range(count)]
        for number, (_, peer, election) in enumerate(servers, 1):
            config = re.sub(rf"(?m)^(server\.{number}=).*$", rf"\g<1>127.0.0.1:{peer}:{election}", config)
        config = config.replace("quorumListenOnAllIPs=true", "")
        running = []
        for number, (client, _, _) in enumerate(servers, 1):
            data = self.folder / f"data-{number}"
            data.mkdir()
            (data / "myid").write_text(str(number))
            own = config.replace("dataDir=/data", f"dataDir={data}").replace("dataLogDir=/data/log", f"dataLogDir={data}/log")
            own = own.replace("clientPort=2181", f"clientPort={client}\nclientPortAddress=127.0.0.1")
            path = self.folder / f"zoo-{number}.cfg"
            path.write_text(own)
            command = ["java", *flags.split(), "-cp", ZOOKEEPER, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(path)]
            running.append(self.spawn(f"zookeeper-{number}", command, {}))
        modes = {}
        for number, (client, _, _) in enumerate(servers, 1):
            ready = [part.replace("/2181", f"/{client}") for part in container["readinessProbe"]["exec"]["command"]]
            self.wait(running[number - 1], f"zookeeper-{number}", lambda r=ready: run(*r).returncode == 0)
            with socket.create_connection(("127.0.0.1", client), timeout=10) as connection:
                connection.sendall(b"srvr")
                answer = connection.makefile().read()
            modes[client] = re.search(r"Mode: (\w+)", answer)[1]
        return modes

    def kafka(self):
        """Prepares the one broker of a case. A function that starts it, and its address."""
        documents = manifests("kafka", "one-broker")
        (container,) = one(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"]
        env = {e["name"]: e["value"] for e in container["env"]}
        broker, controller = free_ports(2)
        (self.folder / "bin").mkdir()
        for program, main in SCRIPTS.items():
            script = f'#!/bin/bash\nexec java -Xmx256m $KAFKA_LOG4J_OPTS -cp "{CACHE}/kafka-4.1.2/lib/*" {main} "$@"\n'
            path = self.folder / "bin" / program
            path.write_text(script)
            path.chmod(0o755)
        name = "service-kafka-0.service-kafka-headless.dt.svc.cluster.local"
        for file, text in one(documents, "ConfigMap")["data"].items():
            for old, new in (
                ("/opt/kafka/bin", f"{self.folder}/bin"), ("/var/lib/kafka/data", f"{self.folder}/data"),
                ("/tmp/server.properties", f"{self.folder}/all.properties"),
                ("$HOSTNAME.service-kafka-headless.dt.svc.cluster.local:9092", f"127.0.0.1:{broker}"),
                (f"{name}:9093", f"127.0.0.1:{controller}"), ("://:9092", f"://127.0.0.1:{broker}"),
                ("://:9093", f"://127.0.0.1:{controller}"),
            ):
                text = text.replace(old, new)
            (self.folder / file).write_text(text)
        env["HOSTNAME"] = "service-kafka-0"
        return lambda: self.spawn("kafka", ["/bin/bash", str(self.folder / "start.sh")], env), f"127.0.0.1:{broker}"
