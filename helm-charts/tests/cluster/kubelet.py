"""Stands in for scheduler and kubelets: binds pods to nodes and says of each that it runs. It runs nothing."""

import itertools
import threading
import time
import urllib.error


class Kubelet(threading.Thread):
    """Goes on until `stop()`. Pods that are to end by themselves succeed at once."""

    def __init__(self, plane):
        super().__init__(daemon=True)
        self.plane = plane
        self.ended = threading.Event()
        self.failure = None

    def stop(self):
        self.ended.set()
        self.join(30)

    def run(self):
        turns = itertools.count()
        while not self.ended.wait(0.1):
            try:
                for pod in self.plane.request("GET", "/api/v1/pods")["items"]:
                    self.serve(pod, next(turns))
            except urllib.error.HTTPError as error:
                # Somebody else was faster: the pod is gone, or has changed.
                if error.code not in (404, 409):
                    self.failure = f"{error.url}: {error.code} {error.read()[:500]}"
            except OSError as error:
                self.failure = str(error)
                time.sleep(0.5)

    def serve(self, pod, turn):
        meta, spec = pod["metadata"], pod["spec"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if "deletionTimestamp" in meta:
            self.plane.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        elif "nodeName" not in spec:
            binding = {
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": self.choose(spec, turn)},
            }
            self.plane.request("POST", f"{path}/binding", binding)
        elif pod["status"]["phase"] == "Pending":
            self.plane.request("PATCH", f"{path}/status", {"status": self.running(spec)}, "application/strategic-merge-patch+json")

    def choose(self, spec, turn):
        affinity = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
        for term in affinity.get("nodeSelectorTerms", []):
            for field in term.get("matchFields", []):
                # A DaemonSet's controller names the node.
                return field["values"][0]
        nodes = [node for node in self.plane.request("GET", "/api/v1/nodes")["items"] if not node["spec"].get("taints")]
        return nodes[turn % len(nodes)]["metadata"]["name"]

    @staticmethod
    def running(spec):
        ends = spec["restartPolicy"] == "Never"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        state = {"terminated": {"exitCode": 0, "finishedAt": now}} if ends else {"running": {"startedAt": now}}
        statuses = [
            {
                "name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0, "ready": not ends,
                "started": True, "state": state,
            }
            for container in spec["containers"]
        ]
        conditions = [
            {"type": kind, "status": "False" if ends else "True", "lastTransitionTime": now}
            for kind in ("Initialized", "ContainersReady", "Ready")
        ]
        return {"phase": "Succeeded" if ends else "Running", "conditions": conditions, "containerStatuses": statuses, "startTime": now}
