"""The agent takes zone and rack from its Node, as the chart tells it to: a stand-in for the API server, and a pod's files."""

import http.server
import json
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from charts import env_of, in_a_pod, manifests, one

DT = os.environ["DT"]
LABELS = {"topology.kubernetes.io/zone": "zone-1", "topology.kubernetes.io/region": "region-1", "example.com/shelf": "rack-7"}


class Answers(http.server.BaseHTTPRequestHandler):
    """Unavailable twice, then the Node, to who has the token."""

    asked = []

    def do_GET(self):
        self.asked.append((self.path, self.headers["Authorization"]))
        if len(self.asked) < 3:
            self.answer(503, {"kind": "Status", "message": "etcd is away"})
        else:
            self.answer(200, {"kind": "Node", "metadata": {"name": "node-1", "labels": LABELS}, "status": {}})

    def answer(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class NodeLabels(unittest.TestCase):
    def setUp(self):
        self.assertEqual(os.geteuid(), 0, "needs root, for a mount namespace")
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def openssl(self, *arguments):
        subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", *arguments], cwd=self.folder, check=True, capture_output=True)

    def serve(self):
        """The stand-in's port."""
        pod = self.folder / "pod"
        pod.mkdir()
        (pod / "token").write_text("of-the-pod")
        self.openssl("-keyout", "ca.key", "-out", "pod/ca.crt", "-subj", "/CN=cluster")
        self.openssl(
            "-CA", "pod/ca.crt", "-CAkey", "ca.key", "-keyout", "api.key", "-out", "api.crt", "-subj", "/CN=api",
            "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
        )
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "api.crt", self.folder / "api.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1]

    def agent(self, port):
        """The agent with the chart's variables, as in a pod; here without the services."""
        (container,) = one(manifests("dt-chart", "ensemble"), "DaemonSet")["spec"]["template"]["spec"]["containers"]
        env = env_of(container) | {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port), "PATH": os.environ["PATH"]}
        peers = self.folder / "peers.toml"
        peers.write_text('[[peer]]\nnode = "b"\naddress = "127.0.0.2"\nport = 4000\n')
        flags = ["--membership=file", f"--peers={peers}", f"--sink=file:{self.folder}/records", "--listen=127.0.0.1:0", "--http=off"]
        flags += ["--window=1s", "--interval=100ms"]
        command = in_a_pod(self.folder / "pod", DT, "agent", *flags)
        with open(self.folder / "log", "w") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.send_signal, signal.SIGTERM)
        return process

    def records(self):
        path = self.folder / "records"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def wait(self, agent, what, condition):
        deadline = time.monotonic() + 60
        while not (found := condition()):
            log = (self.folder / "log").read_text()
            self.assertIsNone(agent.poll(), log)
            self.assertLess(time.monotonic(), deadline, f"{what}: {log}")
            time.sleep(0.05)
        return found

    def test_asked_for_until_they_come(self):
        agent = self.agent(self.serve())
        first = self.wait(agent, "records", self.records)[0]
        self.assertEqual((first["src_node"], first["src_zone"], first["src_rack"]), ("node-1", "", ""), "measured before they were known")
        labelled = lambda: [r for r in self.records() if r["src_zone"] == "zone-1" and r["received"] > 0]
        record = self.wait(agent, "records with labels", labelled)[-1]
        self.assertEqual(record["src_rack"], "rack-7", "by the label that config.kubernetes.rack_label names")
        self.assertEqual(Answers.asked, [("/api/v1/nodes/node-1", "Bearer of-the-pod")] * 3, "once it is answered it asks no more")
        log = (self.folder / "log").read_text()
        self.assertEqual(log.count("etcd is away"), 1, log)
        numbers = [r["seq"] for r in self.records()]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        seen = set()
        for r in self.records():
            window = (r["dst_node"], r["probe"], r["window_start_ms"])
            self.assertNotIn(window, seen, "one record for a pair and window, also that in which they came")
            seen.add(window)


if __name__ == "__main__":
    unittest.main()
