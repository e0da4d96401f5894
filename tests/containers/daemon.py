"""A Docker daemon for one run of tests: its own network namespace, data, socket and end.

In the namespace of the machine it would rewrite the packet filter for all that runs there.
"""

import atexit
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# Far beyond what anything here takes: a deadline only ends what has hung.
PATIENCE = 180


def run(*command, timeout=PATIENCE, check=True, **more):
    """Runs a command to its end and returns what it printed; fails with all that it said."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout, check=False, **more)
    if check and result.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout if check else result


def wait_for(what, condition, seconds=PATIENCE):
    """Until `condition()` gives something, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.2)


def client():
    """A docker command that can use BuildKit: it brings that itself (before 23) or has buildx."""
    for name in ("docker", "/usr/bin/docker"):
        path = shutil.which(name)
        if not path:
            continue
        version = re.search(r"version (\d+)", run(path, "--version"))
        if (version and int(version[1]) < 23) or run(path, "buildx", "version", check=False).returncode == 0:
            return path
    sys.exit("no docker command that can use BuildKit: install docker-buildx")


class Docker:
    """`with_network`: in the machine's own network namespace, with no bridge and no filter, for builds that fetch."""

    def __init__(self, with_network=False):
        self.client = client()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dt-containers-"))
        self.namespace = None if with_network else f"dt-containers-{os.getpid()}"
        self.process = None
        atexit.register(self.stop)
        # So that a time-out from outside ends in order too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        self.environment = {
            **os.environ, "DOCKER_HOST": f"unix://{self.folder}/socket", "DOCKER_CONFIG": str(self.folder / "config"),
            "DOCKER_BUILDKIT": "1", "COMPOSE_DOCKER_CLI_BUILD": "1", "BUILDKIT_PROGRESS": "plain",
        }
        self.start()

    def start(self):
        arguments = [
            f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid",
            f"--host=unix://{self.folder}/socket",
        ]
        if self.namespace:
            run("ip", "netns", "add", self.namespace)
            run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        else:
            arguments += ["--bridge=none", "--iptables=false", "--ip-forward=false"]
        # Ends with this process, however that ends.
        command = ["setpriv", "--pdeathsig=TERM", *self.inside(), "dockerd", *arguments]
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"dockerd ended:\n{(self.folder / 'log').read_text()[-2000:]}")
            return self("info", check=False).returncode == 0

        wait_for("dockerd", answers, 60)

    def stop(self):
        if not self.process:
            return
        process, self.process = self.process, None
        containers = self("ps", "--all", "--quiet", check=False).stdout.split()
        if containers:
            self("rm", "--force", "--volumes", *containers, check=False)
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self.namespace:
            run("ip", "netns", "delete", self.namespace, check=False)
        shutil.rmtree(self.folder)

    def inside(self):
        """What to put before a command that is to run where the published ports are."""
        # `ip netns exec` would hide the cgroups from dockerd.
        return ["nsenter", f"--net=/run/netns/{self.namespace}"] if self.namespace else []

    def __call__(self, *arguments, **more):
        return run(self.client, *arguments, env=self.environment, **more)

    def compose(self, *arguments, variables, **more):
        """`docker compose`, or what there is of it."""
        environment = {**self.environment, **variables}
        plugin = run(self.client, "compose", "version", check=False, env=environment).returncode == 0
        command = [self.client, "compose"] if plugin else ["docker-compose"]
        return run(*command, *arguments, env=environment, **more)

    def inspect(self, name):
        return json.loads(self("inspect", name))[0]

    def start_container(self, image, *arguments, options=()):
        """A container in the background; its id."""
        return self("run", "--detach", *options, image, *arguments).strip()

    def logs(self, container):
        """Standard output and standard error."""
        result = self("logs", container, check=False)
        return result.stdout, result.stderr

    def wait_for_health(self, container, wanted="healthy"):
        def healthy():
            state = self.inspect(container)["State"]
            if not state["Running"]:
                raise AssertionError(f"{container} ended: {state}\n{''.join(self.logs(container))[-3000:]}")
            return state["Health"]["Status"] == wanted

        wait_for(f"{container} to be {wanted}", healthy)
