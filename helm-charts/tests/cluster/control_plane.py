"""A real etcd, kube-apiserver and kube-controller-manager, for nodes made by hand or real ones.

On loopback there is no scheduler, kubelet or kube-proxy: `kubelet.py` stands in for the first two, and nothing ever runs in
a pod. At an address that nodes reach there is a scheduler too, and `node.py` has kubelets.
"""

import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

TOKEN = "operator"
SERVICES = "10.96.0.0/16"
# What pods call the API server by, the first address of those.
IN_PODS = "10.96.0.1"
LOOPBACK = "127.0.0.1"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class ControlPlane:
    """Starts all of it on entering, ends it on leaving. `folder` takes data, keys and logs. With another address than that of
    loopback, kubelets are expected."""

    def __init__(self, binaries, folder, address=LOOPBACK):
        self.binaries, self.folder = pathlib.Path(binaries), pathlib.Path(folder)
        self.address, self.real_nodes = address, address != LOOPBACK
        self.processes = []
        self.port = free_port()
        self.url = f"https://{address}:{self.port}"
        self.kubeconfig = self.folder / "kubeconfig"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def spawn(self, program, *arguments):
        command = [str(program), *map(str, arguments)]
        with open(self.folder / f"{pathlib.Path(program).name}.log", "w") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder))

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=self.folder, check=True, capture_output=True)

    def certificates(self):
        """An authority, `ca.crt`, which pods are told of; the server's certificate; the key that signs accounts' tokens."""
        self.openssl("genrsa", "-out", "accounts.key", "2048")
        new = ("req", "-x509", "-nodes", "-newkey", "rsa:2048")
        self.openssl(*new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=cluster")
        self.openssl(
            *new, "-CA", "ca.crt", "-CAkey", "ca.key", "-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=kube-apiserver",
            "-addext", f"subjectAltName=IP:{self.address},IP:{IN_PODS}", "-addext", "basicConstraints=critical,CA:FALSE",
        )

    def start(self):
        etcd, peer = (f"http://{LOOPBACK}:{free_port()}" for _ in range(2))
        self.spawn(
            "etcd", "--data-dir=etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )
        self.certificates()
        key = self.folder / "accounts.key"
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},operator,operator,"system:masters"\n')
        self.spawn(
            self.binaries / "kube-apiserver", f"--etcd-servers={etcd}", f"--bind-address={self.address}", f"--secure-port={self.port}",
            "--tls-cert-file=server.crt", "--tls-private-key-file=server.key", "--authorization-mode=RBAC",
            # An address of loopback can't be announced to pods, of which there are none.
            f"--endpoint-reconciler-type={'lease' if self.real_nodes else 'none'}", "--kubelet-preferred-address-types=InternalIP",
            f"--token-auth-file={tokens}", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            f"--service-cluster-ip-range={SERVICES}", "--allow-privileged=true",
        )
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.folder / "ca.crt")}}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }))
        self.wait("the API server", lambda: self.request("GET", "/readyz", raw=True) == b"ok", 120)
        # Nobody renews the leases of nodes made by hand.
        unwanted = [] if self.real_nodes else ["--controllers=*,-node-lifecycle-controller,-nodelifecycle", "--node-monitor-grace-period=1h"]
        self.spawn(
            self.binaries / "kube-controller-manager", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false",
            f"--secure-port={free_port()}", "--bind-address=127.0.0.1", f"--service-account-private-key-file={key}",
            "--root-ca-file=ca.crt", f"--flex-volume-plugin-dir={self.folder}/plugins", *unwanted,
        )
        if self.real_nodes:
            self.spawn(
                self.binaries / "kube-scheduler", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0",
            )
        self.wait("the controllers", lambda: self.request("GET", "/api/v1/namespaces/default/serviceaccounts/default"), 120)

    def wait(self, what, condition, seconds=120):
        """Until `condition()` is true; errors of the API count as not yet."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = condition()
            except (OSError, urllib.error.URLError) as error:
                found, last = None, error
            else:
                last = found
            if found:
                return found
            for process in self.processes:
                if process.poll() is not None:
                    raise AssertionError(f"{process.args[0]} ended; its log: {self.folder}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds} s; last: {last}")
            time.sleep(0.1)

    def request(self, method, path, body=None, kind="application/json", raw=False):
        """One call of the API."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            content = answer.read()
        return content if raw else json.loads(content)

    def node(self, name, labels=(), taints=()):
        """Makes a node by hand: ready, with room for everything."""
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"} | dict(labels)
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}
        self.request("POST", "/api/v1/nodes", node)
        size = {"cpu": "8", "memory": "32Gi", "pods": "110"}
        status = {"status": {"capacity": size, "allocatable": size, "conditions": [{"type": "Ready", "status": "True"}]}}
        self.request("PATCH", f"/api/v1/nodes/{name}/status", status, "application/strategic-merge-patch+json")
        # A new node is tainted until a controller, which isn't run here, has seen it ready.
        self.request("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": list(taints)}}, "application/merge-patch+json")

    def environment(self):
        """For helm and kubectl."""
        home = str(self.folder)
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": os.environ["PATH"], "HOME": home}
