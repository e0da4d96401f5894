"""What scripts/measure-size runs inside of its network namespace."""

import ipaddress
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

DT, KAFKA = os.environ["DT"], os.environ["KAFKA"]
HTTP = "127.0.0.1:9464"
TICKS = os.sysconf("SC_CLK_TCK")
# name: peers, kinds, interval of ICMP and TCP, interval of gRPC, window; seconds. Then further flags
ROWS = {
    "0": (0, "icmp,tcp,grpc", 1, 10, 10),
    "50": (50, "icmp,tcp,grpc", 1, 10, 10),
    "250": (250, "icmp,tcp,grpc", 1, 10, 10),
    "250-60s": (250, "icmp,tcp,grpc", 1, 10, 60),
    "250-60s-nogrpc": (250, "icmp,tcp", 1, None, 60),
    "1000": (1000, "icmp,tcp", 1, None, 10),
    "1000-60s": (1000, "icmp,tcp", 1, None, 60),
    "2500": (2500, "icmp,tcp", 10, None, 10),
    "2500-60s": (2500, "icmp,tcp", 10, None, 60),
    "10000": (10000, "icmp,tcp", 10, None, 60),
    "10000-icmp": (10000, "icmp", 10, None, 10),
    "250-60s-json": (250, "icmp,tcp,grpc", 1, 10, 60, "--kafka-buckets=false"),
    "250-60s-protobuf": (250, "icmp,tcp,grpc", 1, 10, 60, "--kafka-encoding=protobuf"),
    "250-60s-lean": (250, "icmp,tcp,grpc", 1, 10, 60, "--kafka-encoding=protobuf", "--kafka-buckets=false", "--kafka-trace-reports=false"),
}


def kafka(folder):
    """A broker, and where it keeps its topics."""
    config = folder / "server.properties"
    config.write_text(f"""
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=PLAINTEXT://127.0.0.1:9092
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:9093
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
""")
    java = ["java", "-Xmx512m", "-cp", f"{KAFKA}/*"]
    format = [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(config)]
    subprocess.run(format, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return subprocess.Popen([*java, "kafka.Kafka", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def bytes_of(folder, topic):
    return sum(path.stat().st_size for path in folder.glob(f"logs/{topic}-[0-9]*/*.log"))


def metrics():
    with urllib.request.urlopen(f"http://{HTTP}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    values = {}
    for line in lines:
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
            family = name.split("{")[0]
            if family != name:
                values[family] = values.get(family, 0) + float(value)
    return values


def processor(pid):
    """Processor seconds of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid, name):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(f"{name}:"))


def measure(folder, name):
    peers, kinds, interval, grpc, window, *flags = ROWS[name]
    first = ipaddress.ip_address("127.1.0.1")
    listed = (f'[[peer]]\nnode = "node-{n}.example"\naddress = "{first + n}"\nport = 4000\nzone = "zone-{n % 3}"\n' for n in range(peers))
    (folder / "peers.toml").write_text("".join(listed))
    command = [
        DT, "agent", "--node=node.example", "--listen=0.0.0.0:4000", "--advertise=127.0.0.1:4000", f"--http={HTTP}", f"--peers={folder}/peers.toml",
        f"--probe={kinds}", f"--interval={interval}s", f"--window={window}s", "--max-rate=100000", "--kafka-bootstrap=127.0.0.1:9092", "--zone=zone-0",
    ]
    command += flags
    if grpc:
        command.append(f"--grpc-interval={grpc}s")
    agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(folder / f"{name}.log", "w"))
    try:
        # Until all pairs are probed and Kafka is connected. Where in a window it begins is the same: a node publishes once in each.
        settled = time.monotonic() + 0.7 * window + 8
        time.sleep(2)
        while time.monotonic() < settled or metrics().get("dt_sink_connected", 0) < 1:
            assert agent.poll() is None, (folder / f"{name}.log").read_text()
            time.sleep(0.2)
        began, before, used = time.monotonic(), metrics(), processor(agent.pid)
        summaries, traces = bytes_of(folder, "distributedTrace.summaries"), bytes_of(folder, "distributedTrace")
        # Whole windows.
        time.sleep(max(window, 30))
        spent, after, used = time.monotonic() - began, metrics(), processor(agent.pid) - used
        summaries = bytes_of(folder, "distributedTrace.summaries") - summaries
        traces = bytes_of(folder, "distributedTrace") - traces
        rose = lambda metric: after.get(metric, 0) - before.get(metric, 0)
        records, pings = rose("dt_sink_records_total"), rose("dt_sink_trace_reports_total")
        lost = rose("dt_probes_total") - sum(rose(f'dt_probes_total{{probe="{kind}",fate="received"}}') for kind in ("icmp", "tcp", "grpc"))
        return {
            "name": name, "peers": peers, "kinds": kinds, "interval": interval, "window": window,
            "probes_per_s": rose("dt_probes_total") / spent, "records_per_s": records / spent, "cpu_percent": 100 * used / spent,
            "rss_mb": memory(agent.pid, "VmRSS"), "peak_mb": memory(agent.pid, "VmHWM"),
            "record_bytes": summaries / records if records else 0, "trace_bytes": traces / pings if pings else 0,
            "kafka_bytes_per_s": (summaries + traces) / spent, "unanswered": lost, "skipped": rose("dt_probes_skipped_total"),
        }
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(30)


def main():
    names = sys.argv[1:] or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        sys.exit(f"measure-size: unknown row {unknown[0]!r}; accepted: {', '.join(ROWS)}")
    with tempfile.TemporaryDirectory(prefix="dt-measure-size-") as folder:
        folder = pathlib.Path(folder)
        broker = kafka(folder)
        try:
            print("| row | peers | kinds | interval | window | probes/s | records/s | CPU | memory (peak) | bytes a record | bytes a TraceReport | Kafka bytes/s |")
            print("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
            for name in names:
                row = measure(folder, name)
                print(
                    "| {name} | {peers} | {kinds} | {interval} s | {window} s | {probes_per_s:.0f} | {records_per_s:.1f} | {cpu_percent:.2f} % | "
                    "{rss_mb:.0f} MB ({peak_mb:.0f}) | {record_bytes:.0f} | {trace_bytes:.0f} | {kafka_bytes_per_s:.0f} |".format(**row),
                    flush=True,
                )
                if row["unanswered"] or row["skipped"]:
                    print(f"{name}: unanswered {row['unanswered']:.0f}, skipped {row['skipped']:.0f}: {json.dumps(row)}", file=sys.stderr)
        finally:
            broker.terminate()
            broker.wait(60)


if __name__ == "__main__":
    main()
