"""Alerts and dashboards ask for what the program exports, and the alerts fire for what they are about."""

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

from charts import CHARTS, HERE, run

DT = os.environ["DT"]
FILES = CHARTS / "dt-chart/files"


class Monitoring:
    """Of one command; below for each."""

    @classmethod
    def setUpClass(cls):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            address = "127.0.0.1:%d" % taken.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            command = [DT, *cls.command(pathlib.Path(folder)), f"--http={address}"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                page = cls.scrape(process, f"http://{address}/metrics", "application/openmetrics-text")
                cls.older_page = cls.scrape(process, f"http://{address}/metrics", "text/plain; version=0.0.4")
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
        suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["", "_bucket", "_sum", "_count"]}
        families = re.findall(r"^# TYPE (dt_\w+) (\w+)$", page, re.M)
        cls.names = {name + suffix for name, kind in families for suffix in suffixes[kind]}

    @staticmethod
    def scrape(process, url, accept):
        request = urllib.request.Request(url, headers={"Accept": accept})
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.read().decode()
            except OSError:
                if process.poll() is not None:
                    raise AssertionError(f"it ended: {process.stderr.read()}") from None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def asked(self, texts):
        found = {name for text in texts for name in re.findall(r"\bdt_\w+", text)}
        self.assertGreater(len(found), 10)
        return found

    def test_alerts_ask_for_what_is_exported(self):
        rules = (FILES / self.alerts).read_text()
        expressions = re.sub(r"^ *(#|summary:|description:).*$", "", rules, flags=re.M)
        self.assertEqual(self.asked([expressions]) - self.names, set())

    def test_dashboard_asks_for_what_is_exported(self):
        dashboard = json.loads((FILES / self.dashboard).read_text())
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        expressions += [one["expr"] for one in dashboard["annotations"]["list"]]
        expressions += [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
        self.assertEqual(self.asked(expressions) - self.names, set())
        places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
        self.assertEqual(len(places), len(set(places)), "panels lie upon one another")

    def test_alerts_and_dashboard_are_of_its_job(self):
        for file in (self.alerts, self.dashboard):
            jobs = set(re.findall(r'job=\\?"([^"\\]*)', (FILES / file).read_text()))
            self.assertEqual(jobs, {self.job}, file)

    def test_names_and_types(self):
        result = run("promtool", "check", "metrics", stdin=self.older_page)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_rules(self):
        result = run("promtool", "check", "rules", FILES / self.alerts)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        result = run("promtool", "test", "rules", HERE / self.alerts_test)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_every_alert_is_tested(self):
        alerts = re.findall(r"alert: (\w+)", (FILES / self.alerts).read_text())
        fired = re.findall(r'alertname="(\w+)"', (HERE / self.alerts_test).read_text())
        self.assertEqual(sorted(alerts), sorted(fired))


class Agent(Monitoring, unittest.TestCase):
    job, alerts, alerts_test, dashboard = "dt-agent", "alerts.yaml", "alerts_test.yaml", "dashboard.json"

    @staticmethod
    def command(folder):
        peers = folder / "peers.toml"
        peers.write_text('[[peer]]\nnode = "b"\naddress = "127.0.0.2"\nport = 4000\n')
        # Nobody listens there: only the metrics of this sink are of interest.
        sink = ["--sink=kafka", "--kafka-bootstrap=127.0.0.1:9"]
        return ["agent", "--node=a", "--listen=127.0.0.1:0", "--membership=file", f"--peers={peers}", *sink]


class Collector(Monitoring, unittest.TestCase):
    job, alerts, alerts_test, dashboard = (
        "dt-collect", "collector-alerts.yaml", "collector_alerts_test.yaml", "collector-dashboard.json",
    )

    @staticmethod
    def command(folder):
        # Families are named before there is a record.
        return ["collect", "--bootstrap=127.0.0.1:9"]


if __name__ == "__main__":
    unittest.main()
