"""Real nodes: each a kubelet, containerd and kube-proxy in namespaces of its own, joined by a bridge of this one.

This process has to be in a network namespace that may be changed, in which the control plane is too. `node.sh` is what runs
in a node.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess

from charts import run

HERE = pathlib.Path(__file__).resolve().parent
BRIDGE, HERE_ADDRESS = "nodes", "10.77.0.1"
SOCKET = "unix:///run/containerd.sock"


def ip(*arguments):
    result = run("ip", *arguments)
    assert result.returncode == 0, f"ip {' '.join(arguments)}: {result.stderr}"


def bridge():
    """This namespace's end of the nodes' network."""
    ip("link", "set", "lo", "up")
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("address", "add", f"{HERE_ADDRESS}/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")
    # The API server won't start without a default route.
    ip("route", "add", "default", "dev", BRIDGE)


class Node:
    """Runs from `start()` to `stop()`, with its data in a folder. The number, from 1 on, makes name and addresses."""

    def __init__(self, plane, number, images, labels):
        self.plane, self.number, self.images, self.labels = plane, number, images, labels
        self.name, self.address = f"node-{number}", f"10.77.0.{10 + number}"
        self.pods = f"10.244.{number}.0/24"
        self.folder = plane.folder / self.name
        self.cgroup = f"{plane.folder.name}/{self.name}"
        self.process = None

    def start(self):
        for folder in (self.folder, self.folder / "containerd", self.folder / "cni"):
            folder.mkdir()
        self.network()
        self.configure()
        for root in self.cgroup_roots():
            (root / self.cgroup).mkdir(parents=True)
        # Their end is the end of all that runs within.
        command = [
            "nsenter", f"--net=/run/netns/{self.name}", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
            HERE / "node.sh", self.folder, self.plane.binaries,
        ]
        with open(self.folder / "node.log", "w") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT)

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def alive(self):
        """Fails with what the node's programs said last, where they have ended."""
        if self.process.poll() is not None:
            logs = [f"{path.name}:\n{path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log"))]
            raise AssertionError("\n".join([f"{self.name} ended", *logs]))

    def network(self):
        """Its namespace, and a way to and from its pods."""
        ip("netns", "add", self.name)
        ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", self.name, "master", BRIDGE, "up")
        within = ("-n", self.name)
        ip(*within, "link", "set", "lo", "up")
        ip(*within, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip(*within, "link", "set", "eth0", "up")
        ip(*within, "route", "add", "default", "via", HERE_ADDRESS)
        ip("route", "add", self.pods, "via", self.address)

    def route_to(self, other):
        ip("-n", self.name, "route", "add", other.pods, "via", other.address)

    def configure(self):
        shutil.copy(self.plane.kubeconfig, self.folder / "kubeconfig")
        os.link(self.images, self.folder / "images.tar")
        (self.folder / "resolv.conf").touch()
        for name, text in (("name", self.name), ("address", self.address), ("labels", self.labels)):
            (self.folder / name).write_text(text)
        (self.folder / "containerd.toml").write_text(f"""
version = 2
[grpc]
  address = "{SOCKET.removeprefix('unix://')}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:tests"
  # Where the machine withholds CAP_SYS_RESOURCE, the kernel refuses lower scores than its own.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{self.folder}/cni"
""")
        bridge = {
            # Without hairpin mode, as minikube's.
            "type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": False,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": self.pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
        }
        self.write("cni/pods.conflist", {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]})
        self.write("kubelet.json", {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{self.cgroup}", "failSwapOn": False, "failCgroupV1": False,
            "containerRuntimeEndpoint": SOCKET, "resolvConf": str(self.folder / "resolv.conf"),
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}}, "authorization": {"mode": "AlwaysAllow"},
            # Passes over what needs CAP_SYS_RESOURCE.
            "featureGates": {"KubeletInUserNamespace": True},
            "clusterDNS": [HERE_ADDRESS], "clusterDomain": "cluster.local",
            # How full the machine's disk is, is nobody's business here.
            "localStorageCapacityIsolation": False, "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
        })
        self.write("proxy.json", {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
            "hostnameOverride": self.name, "clientConnection": {"kubeconfig": "kubeconfig"},
            # A limit that is the machine's, not the namespace's: left as it is.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        })

    def write(self, name, content):
        (self.folder / name).write_text(json.dumps(content))

    @staticmethod
    def cgroup_roots():
        """The one hierarchy, or each of the older kind that may be written."""
        mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
        return [pathlib.Path(at) for _, at, kind, options, *_ in mounts if kind in ("cgroup", "cgroup2") and options.startswith("rw")]
