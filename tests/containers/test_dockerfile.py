"""The Dockerfile's layers, with a stand-in for cargo that makes something else each time it runs."""

import json
import pathlib
import shutil
import tempfile
import unittest

from bases import PROJECT, TOOLS, shared_docker
from daemon import run

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
        for name in ("Cargo.toml", "Cargo.lock", "Dockerfile", ".dockerignore", "proto", "src", "bench", "tests", "fuzz/targets"):
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
            copy(PROJECT / name, cls.context / name)

    def stage(self, name):
        """The layer of a stage."""
        return self.docker("build", "--quiet", f"--target={name}", "--build-arg=RUST_IMAGE=cargo-stand-in", self.context).strip()

    def dependencies(self):
        """The layer of dependencies: another id wherever cargo ran again."""
        return self.stage("dependencies")

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

    def test_the_workspace_without_its_code_is_all_that_cargo_needs(self):
        container = self.docker("create", self.stage("manifests"), "true").strip()
        self.addCleanup(self.docker, "rm", container)
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.docker("cp", f"{container}:/empty", folder)
        shutil.copy(PROJECT / "rust-toolchain.toml", folder / "empty")
        metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version=1", cwd=folder / "empty"))
        packages = {package["id"]: package for package in metadata["packages"] if package["source"] is None}
        depends = {node["id"]: node["deps"] for node in metadata["resolve"]["nodes"]}
        # What `cargo build -p distributed-trace` compiles of the workspace.
        todo = [id for id, package in packages.items() if package["name"] == "distributed-trace"]
        wanted = set()
        while todo:
            id = todo.pop()
            if id not in wanted:
                wanted.add(id)
                built = [d["pkg"] for d in depends[id] if any(kind["kind"] != "dev" for kind in d["dep_kinds"])]
                todo += [id for id in built if id in packages]
        targets = [target for id in wanted for target in packages[id]["targets"]]
        files = [target["src_path"] for target in targets if {"lib", "bin", "custom-build"} & set(target["kind"])]
        self.assertGreater(len(files), len(wanted))
        self.assertEqual([file for file in files if not pathlib.Path(file).exists()], [])


if __name__ == "__main__":
    unittest.main()
