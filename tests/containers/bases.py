"""The images that no registry is asked for: bases made of Debian's packages, and stand-ins for ZooKeeper's and Kafka's."""

import functools
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from daemon import Docker, run

HERE = pathlib.Path(__file__).parent
PROJECT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "distributed-trace"

SUITE = "bookworm"
# Tools, the programs of the stand-ins, and what distroless/cc is made of besides what every Debian has.
PACKAGES = ["ca-certificates", "libcap2-bin", "openjdk-17-jre-headless", "zookeeper", "libgomp1", "libssl3", "netbase"]
DISTROLESS = ["base-files", "netbase", "tzdata", "libc6", "libssl3", "libgcc-s1", "gcc-12-base", "libgomp1", "libstdc++6"]

# Of what the package zookeeper brings along, and of Debian's own.
UNUSED = [
    "var/cache/apt/*", "var/lib/apt/lists/*", "usr/share/doc/*", "usr/share/locale/*", "usr/share/man/*", "usr/share/icons",
    "usr/lib/*/dri", "usr/lib/*/libLLVM*", "usr/lib/*/libz3*",
]

TOOLS = "debian:bookworm-slim"
RUNTIME = "distroless-stand-in"
RUST = "rust-stand-in"
ZOOKEEPER = "zookeeper-stand-in"
KAFKA = "kafka-stand-in"
IMAGE = "distributed-trace"
NETWORK = "nodes"
BUILD = ("build", f"--tag={IMAGE}", f"--file={PROJECT / 'Dockerfile'}", f"--build-arg=RUNTIME_IMAGE={RUNTIME}")

PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def file_systems():
    """Two tar files, made once: a Debian with PACKAGES, and what stands in for distroless/cc."""
    home = CACHE / f"containers-{SUITE}-1"
    debian, distroless = home / "debian.tar", home / "distroless.tar"
    if (home / "complete").exists():
        return debian, distroless
    home.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="dt-bases-"))
    try:
        root, small = work / "debian", work / "distroless"
        run("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root, timeout=900)
        archives = root / "var/cache/apt/archives"
        # Before the packages, which would make links of them the other way round.
        for folder in ("etc/ssl/certs", "tmp", "home/nonroot"):
            (small / folder).mkdir(parents=True)
        (small / "tmp").chmod(0o1777)
        for name in DISTROLESS:
            (package,) = archives.glob(f"{name}_*.deb")
            run("dpkg-deb", "--extract", package, small)
        shutil.rmtree(small / "usr/share/doc")
        shutil.copy(root / "etc/ssl/certs/ca-certificates.crt", small / "etc/ssl/certs")
        (small / "etc/passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")
        (small / "etc/group").write_text("root:x:0:\nnonroot:x:65532:\n")
        exclude = [f"--exclude=./{path}" for path in UNUSED]
        run("tar", "--create", f"--file={debian}", f"--directory={root}", *exclude, ".")
        run("tar", "--create", f"--file={distroless}", f"--directory={small}", ".")
        (home / "complete").touch()
    finally:
        shutil.rmtree(work)
    return debian, distroless


def import_bases(docker):
    debian, distroless = file_systems()
    docker("import", "--change", PATH, debian, TOOLS)
    docker("import", distroless, RUNTIME)


@functools.cache
def shared_docker():
    """One daemon for all tests of this process, with the bases and a network that containers know one another's names in."""
    docker = Docker()
    import_bases(docker)
    docker("network", "create", NETWORK)
    return docker


def binary():
    """`dt` as the image has it: of the variable DT, else built by what the Dockerfile says."""
    if "DT" in os.environ:
        return pathlib.Path(os.environ["DT"]).resolve()
    command = ["cargo", "build", "--release", "--locked", "-p", "distributed-trace", "--features", "image"]
    subprocess.run(command, cwd=PROJECT, check=True, timeout=3000)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or PROJECT / "target").resolve() / "release/dt"


@functools.cache
def built_image():
    """The daemon, with the image in it; and the commit that the image is of."""
    docker = shared_docker()
    if os.environ.get("FROM_SOURCE"):
        commit = run("git", "rev-parse", "--short=12", "HEAD", cwd=PROJECT).strip()
        build_from_source(docker, commit)
    else:
        dt = binary()
        commit = run(dt, "--version").split("(")[1].split(")")[0]
        with tempfile.TemporaryDirectory() as context:
            shutil.copy(dt, pathlib.Path(context) / "dt")
            docker(*BUILD, f"--build-arg=GIT_COMMIT={commit}", "--target=prebuilt", context, timeout=600)
    return docker, commit


def build_from_source(docker, commit):
    """All stages of the Dockerfile, by a daemon that reaches the network; then it is handed over to the other."""
    builder = Docker(with_network=True)
    try:
        import_bases(builder)
        with tempfile.TemporaryDirectory() as folder:
            context = pathlib.Path(folder)
            # rust:slim is Debian with a C compiler and a toolchain; this machine's certificates, since it may sit behind a proxy.
            shutil.copytree(run("rustc", "--print", "sysroot", cwd=PROJECT).strip(), context / "rust", symlinks=True, ignore=shutil.ignore_patterns("share"))
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", context)
            (context / "Dockerfile").write_text(
                f"FROM {TOOLS}\n"
                "RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev\n"
                "COPY ca-certificates.crt /etc/ssl/certs/\n"
                "COPY rust /usr/local\n"
            )
            builder("build", "--network=host", f"--tag={RUST}", context, timeout=900)
            started = time.monotonic()
            builder(*BUILD, "--network=host", f"--build-arg=RUST_IMAGE={RUST}", f"--build-arg=GIT_COMMIT={commit}", PROJECT, timeout=5000)
            print(f"the whole build: {time.monotonic() - started:.0f} s")
            builder("save", f"--output={context / 'image.tar'}", IMAGE)
            docker("load", f"--input={context / 'image.tar'}")
    finally:
        builder.stop()


@functools.cache
def jars():
    """Kafka's, fetched once."""
    return pathlib.Path(run(PROJECT / "scripts/fetch-kafka", timeout=900).strip())


@functools.cache
def build_zookeeper():
    """What behaves like zookeeper:3.9, as far as docker-compose.yml uses it."""
    shared_docker()("build", f"--tag={ZOOKEEPER}", HERE / "zookeeper", timeout=600)


@functools.cache
def build_kafka():
    """What behaves like apache/kafka:4.1, as far as docker-compose.yml uses it."""
    with tempfile.TemporaryDirectory() as context:
        shutil.copytree(HERE / "kafka", context, dirs_exist_ok=True)
        shutil.copytree(jars(), pathlib.Path(context) / "libs")
        shared_docker()("build", f"--tag={KAFKA}", context, timeout=600)
