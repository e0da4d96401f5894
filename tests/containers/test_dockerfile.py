"""The Dockerfile's layers, with a stand-in for cargo that makes something else each time it runs."""

import pathlib
import shutil
import tempfile
import unittest

from bases import PROJECT, TOOLS, shared_docker

CARGO = r"""#!/bin/sh
mkdir -p target/release/.fingerprint/distributed-trace-1 target/release/.fingerprint/other-1
cat /proc/sys/kernel/random/uuid >target/release/dt
"""


class Dockerfile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.docker = shared_docker()
        with tempfile.TemporaryDirectory() as folder:
            context = pathlib.Path(folder)
            (context / "cargo").write_text(CARGO)
            (context / "true").write_text("#!/bin/sh\n")
            (context / "Dockerfile").write_text(f"FROM {TOOLS}\nCOPY --chmod=755 cargo true /usr/local/bin/\nRUN cd /usr/local/bin && ln -s true make && ln -s true c++ && ln -s true perl\n")
            cls.docker("build", "--tag=cargo-stand-in", context)
        cls.context = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        for name in ("Cargo.toml", "Cargo.lock", "Dockerfile", ".dockerignore", "proto", "src", "bench", "tests"):
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
            copy(PROJECT / name, cls.context / name)

    def dependencies(self):
        """The layer of dependencies: another id wherever cargo ran again."""
        return self.docker("build", "--quiet", "--target=dependencies", "--build-arg=RUST_IMAGE=cargo-stand-in", self.context).strip()

    def append(self, name, text):
        with open(self.context / name, "a") as file:
            file.write(text)

    def test_only_manifests_make_the_dependencies_build_again(self):
        first = self.dependencies()
        for name in ("src/cli/main.rs", "src/cli/build.rs", "src/rpc/lib.rs", "proto/message.proto", "src/cli/new.rs", "tests/lab/lib.rs"):
            self.append(name, "// changed\n")
        self.assertEqual(self.dependencies(), first)
        self.append("src/rpc/Cargo.toml", "# changed\n")
        second = self.dependencies()
        self.append("Cargo.lock", "# changed\n")
        self.assertEqual(len({first, second, self.dependencies()}), 3)

    def test_nothing_of_ours_passes_for_built(self):
        layer = self.dependencies()
        left = self.docker("run", "--rm", layer, "sh", "-c", "ls target/release/.fingerprint; cat src/*/*.rs").splitlines()
        self.assertEqual(left[0], "other-1")
        self.assertEqual(set(left[1:]), {"fn main() {}"})


if __name__ == "__main__":
    unittest.main()
