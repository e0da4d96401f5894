"""The security contexts of the chart suffice: `dt` measures with exactly the rights that each gives, in a network namespace."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from charts import manifests, one

DT = os.environ["DT"]
# Each with the way of TCP probes it is there for.
CASES = {"defaults": "syn", "root": "syn", "restricted": "connect"}


def context_of(case):
    pod = one(manifests("dt-chart", case), "DaemonSet")["spec"]["template"]["spec"]
    return pod, pod["containers"][0]["securityContext"]


class Rights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        assert os.geteuid() == 0, "needs root, for network namespaces and capabilities"
        folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        # As in the image.
        cls.dt = shutil.copy(DT, folder)
        subprocess.run(["setcap", "cap_net_raw=p", cls.dt], check=True)

    def ping(self, case, *how):
        """`dt ping` of loopback as a container with this case's security context would start it."""
        pod, context = context_of(case)
        added = [name.lower() for name in context["capabilities"].get("add", [])]
        user = str(context["runAsUser"])
        bounding = ",".join(["-all", *(f"+{name}" for name in added)])
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all", f"--bounding-set={bounding}"]
        if not context["allowPrivilegeEscalation"]:
            command.append("--no-new-privs")
        command += [self.dt, "ping", "--json", "-c", "3", "-i", "20ms", *how, "127.0.0.1"]
        sysctls = [f"sysctl -qw '{each['name']}={each['value']}'" for each in pod["securityContext"].get("sysctls", [])]
        script = " && ".join(["ip link set lo up", *sysctls, 'exec "$@"'])
        result = subprocess.run(
            ["unshare", "--net", "sh", "-c", script, "sh", *command], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertTrue(result.stdout, result.stderr)
        return json.loads(result.stdout.splitlines()[0])

    def test_icmp(self):
        for case in CASES:
            with self.subTest(case=case):
                found = self.ping(case, "--proto=icmp")
                self.assertEqual((found["received"], found["lost"]), (3, 0))
                self.assertEqual((found["timestamps"]["tx"], found["timestamps"]["rx"]), ("kernel", "kernel"))

    def test_tcp(self):
        # Nobody listens: a RST is an answer.
        for case, method in CASES.items():
            with self.subTest(case=case):
                self.assertEqual(self.ping(case, "--proto=tcp", f"--method={method}", "--port=4000")["refused"], 3)


if __name__ == "__main__":
    unittest.main()
