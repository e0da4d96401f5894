"""Records of agents: out of a container's standard output, and out of Kafka by its console consumer."""

import json
import subprocess
import threading
import time

from bases import jars
from daemon import PATIENCE

TOPIC = "distributedTrace.summaries"


def objects(text):
    """The JSON objects among its lines."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def answered(records):
    """(source, destination, probe, method) of all that had an answer."""
    return {(r["src_node"], r["dst_node"], r["probe"], r["method"]) for r in records if r["received"]}


def identity(record):
    return record["boot_id"], record["seq"]


def consume(docker, bootstrap, enough, *options):
    """What the console consumer, run outside the containers, reads from the topic's beginning until it is enough."""
    command = [
        *docker.inside(), "java", "-Xmx128m", "-cp", f"{jars()}/*", "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "--bootstrap-server", bootstrap, "--topic", TOPIC, "--from-beginning", *options,
    ]
    lines, said = [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as consumer:
        readers = [
            threading.Thread(target=to.extend, args=(stream,)) for stream, to in ((consumer.stdout, lines), (consumer.stderr, said))
        ]
        for reader in readers:
            reader.start()
        deadline = time.monotonic() + PATIENCE
        try:
            while not enough(found := objects("".join(lines))):
                if consumer.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"not enough records: {len(found)}: {answered(found)}\n{''.join(said)[-2000:]}")
                time.sleep(0.2)
        finally:
            consumer.terminate()
            for reader in readers:
                reader.join()
    return found
