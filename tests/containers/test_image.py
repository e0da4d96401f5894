"""The image: what it is made of, and what an agent in it can do with which rights."""

import json
import pathlib
import struct
import tarfile
import tempfile
import tomllib
import unittest

from bases import IMAGE, NETWORK, PROJECT, built_image
from daemon import wait_for
from records import answered, objects

NET_RAW = ("--cap-drop=ALL", "--cap-add=NET_RAW", "--read-only")
NO_RIGHT = ("--cap-drop=ALL", "--read-only")
MOST_BYTES = 60_000_000
# CAP_NET_RAW [linux/capability.h].
NET_RAW_BIT = 13


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.docker, cls.commit = built_image()
        cls.image = cls.docker.inspect(IMAGE)
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.folder.chmod(0o755)
        (cls.folder / "peers.toml").write_text('[[peer]]\nnode = "target"\naddress = "target"\nport = 4000\n')
        # The node that is probed: answers, and probes nobody.
        (cls.folder / "nobody.toml").write_text("")
        cls.agent("target", NET_RAW, "nobody.toml")
        cls.addClassCleanup(cls.docker, "rm", "--force", "target")
        cls.docker.wait_for_health("target")

    @classmethod
    def agent(cls, name, options, peers, *arguments):
        mounted = f"--volume={cls.folder / peers}:/peers.toml:ro"
        return cls.docker.start_container(
            IMAGE, "agent", f"--node={name}", "--listen=0.0.0.0:4000", "--peers=/peers.toml", "--sink=stdout", "--window=1s", *arguments,
            options=(f"--name={name}", f"--network={NETWORK}", mounted, *options),
        )

    def ping(self, options, *arguments):
        """`dt ping --json` of the target: the exit code, its object, and standard error."""
        result = self.docker(
            "run", "--rm", f"--network={NETWORK}", *options, IMAGE, "ping", "--json", "-c", "5", "-i", "50ms", *arguments, "target", check=False
        )
        return result.returncode, next(iter(objects(result.stdout)), None), result.stderr

    def records(self, name, options, wanted):
        """The answered kinds of an agent that probes the target, once `wanted` are among them."""
        self.agent(name, options, "peers.toml")
        self.addCleanup(self.docker, "rm", "--force", name)
        self.docker.wait_for_health(name)
        found = self.wait_for_kinds(name, wanted)
        self.assertEqual({kind[:2] for kind in found}, {(name, "target")})
        return {kind[2:] for kind in found}

    def wait_for_kinds(self, name, wanted):
        def kinds():
            found = answered(objects(self.docker.logs(name)[0]))
            return found if wanted <= {kind[2:] for kind in found} else None

        return wait_for(f"records {wanted} of {name}", kinds)

    def test_it_is_small(self):
        self.assertLess(self.image["Size"], MOST_BYTES, "base included")
        print(f"image: {self.image['Size'] / 1e6:.1f} MB, base included")

    def test_what_it_says_of_itself(self):
        config = self.image["Config"]
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual((config["Entrypoint"], config["Cmd"]), (["/usr/local/bin/dt"], ["agent"]))
        self.assertEqual(set(config["ExposedPorts"]), {"4000/tcp", "9464/tcp"})
        self.assertEqual(config["Healthcheck"]["Test"], ["CMD", "/usr/local/bin/dt", "health"])
        package = tomllib.loads((PROJECT / "Cargo.toml").read_text())["workspace"]["package"]
        labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
        self.assertEqual(labels["version"], package["version"])
        self.assertEqual(labels["licenses"], package["license"])
        self.assertEqual(labels["source"], package["repository"])
        self.assertEqual(labels["revision"], self.commit)
        self.assertEqual(labels["title"], "distributed-trace")
        self.assertTrue(labels["description"] and labels["documentation"] and labels["base.name"])
        self.assertEqual(self.docker("run", "--rm", IMAGE, "--version").strip(), f"dt {package['version']} ({self.commit})")

    def test_the_compiler_is_the_projects(self):
        channel = tomllib.loads((PROJECT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
        default = next(line for line in (PROJECT / "Dockerfile").read_text().splitlines() if line.startswith("ARG RUST_IMAGE="))
        self.assertTrue(channel.startswith(default.split("rust:")[1].split("-")[0]), (channel, default))

    def test_the_capability_is_permitted_and_not_effective(self):
        # In the layer as a registry would get it.
        archive = self.folder / "image.tar"
        self.docker("save", f"--output={archive}", IMAGE)
        with tarfile.open(archive) as image:
            (manifest,) = json.load(image.extractfile("manifest.json"))
            with tarfile.open(fileobj=image.extractfile(manifest["Layers"][-1])) as layer:
                member = layer.getmember("usr/local/bin/dt")
        attribute = member.pax_headers["SCHILY.xattr.security.capability"].encode(errors="surrogateescape")
        version_and_flags, permitted, inheritable = struct.unpack_from("<III", attribute)
        # VFS_CAP_REVISION_2 without VFS_CAP_FLAGS_EFFECTIVE [linux/capability.h].
        self.assertEqual((version_and_flags, permitted, inheritable), (0x02000000, 1 << NET_RAW_BIT, 0))
        self.assertEqual((member.uid, member.mode & 0o7777), (0, 0o755))

    def test_health_fails_where_it_should(self):
        # At an address that the health check isn't told of.
        often = ("--health-interval=1s", "--health-retries=1", "--health-start-period=0s")
        self.agent("elsewhere", often, "nobody.toml", "--http=127.0.0.1:9999")
        self.addCleanup(self.docker, "rm", "--force", "elsewhere")
        self.docker.wait_for_health("elsewhere", "unhealthy")
        said = self.docker.inspect("elsewhere")["State"]["Health"]["Log"][-1]
        self.assertEqual(said["ExitCode"], 1)
        self.assertIn("http://127.0.0.1:9464/livez", said["Output"])

    def test_net_raw_measures_with_kernel_stamps(self):
        kernel = {"tx": "kernel", "rx": "kernel", "fallbacks": 0}
        # The second as for those who forbid new privileges: root, with nothing but this capability.
        for options in (NET_RAW, (*NET_RAW, "--user=0", "--security-opt=no-new-privileges")):
            for arguments in ((), ("--proto=tcp", "--method=syn", "--port=4000")):
                with self.subTest(options=options, arguments=arguments):
                    code, target, said = self.ping(options, *arguments)
                    self.assertEqual((code, said), (0, ""))
                    self.assertEqual((target["received"], target["timestamps"]), (5, kernel))

    def test_without_the_right_it_starts_and_connects(self):
        for options in (NO_RIGHT, (*NET_RAW, "--security-opt=no-new-privileges")):
            with self.subTest(options=options):
                code, _, said = self.ping(options, "--proto=tcp", "--method=syn", "--port=4000")
                self.assertEqual(code, 1)
                self.assertIn("CAP_NET_RAW", said)
                code, target, _ = self.ping(options, "--proto=tcp", "--port=4000")
                self.assertEqual((code, target["received"]), (0, 5))

    def test_records_of_an_agent(self):
        wanted = {("icmp", "echo"), ("tcp", "syn")}
        self.assertLessEqual(self.records("agent", NET_RAW, wanted), wanted | {("grpc", "ping_node")})

    def test_records_of_an_agent_without_the_right(self):
        # Docker permits ping sockets to everybody in a container.
        wanted = {("icmp", "echo"), ("tcp", "connect")}
        self.assertLessEqual(self.records("agent-without", NO_RIGHT, wanted), wanted | {("grpc", "ping_node")})


if __name__ == "__main__":
    unittest.main()
