"""The images that the charts name, for nodes that pull none: `dt` by the Dockerfile, and the stand-ins of tests/containers.

`images.py FILE` writes them all to one archive.
"""

import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent.parent / "tests/containers")]

import bases  # noqa: E402
from charts import containers, manifests, pod_of  # noqa: E402
from daemon import run  # noqa: E402

# What keeps a pod's namespaces while its containers come and go.
PAUSE = "pause:tests"
PAUSE_C = """
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, NULL, WNOHANG) > 0); }
int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
"""


def named(chart):
    """The images in a chart's manifests."""
    pods = [pod_of(document) for document in manifests(chart, "defaults")]
    return {container["image"] for pod in pods if pod for container in containers(pod)}


def build_pause(docker):
    with tempfile.TemporaryDirectory() as folder:
        context = pathlib.Path(folder)
        (context / "pause.c").write_text(PAUSE_C)
        run("cc", "-static", "-Os", "-o", context / "pause", context / "pause.c")
        (context / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n')
        docker("build", f"--tag={PAUSE}", context)


def main(archive):
    docker, _ = bases.built_image()
    bases.build_zookeeper()
    bases.build_kafka()
    build_pause(docker)
    made = {"distributed-trace": bases.IMAGE, "zookeeper": bases.ZOOKEEPER, "apache/kafka": bases.KAFKA}
    wanted = sorted(named("dt-chart") | named("kafka"))
    for name in wanted:
        docker("tag", made[name.split(":")[0]], name)
    docker("save", f"--output={archive}", PAUSE, *wanted, timeout=600)


if __name__ == "__main__":
    main(sys.argv[1])
