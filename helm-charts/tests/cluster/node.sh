#!/bin/bash
# One node: containerd, kubelet and kube-proxy, in network, mount and process namespaces of its own, which end with it.
# Started by node.py, with the node's FOLDER, in which everything is configured, and the folder of Kubernetes' BINARIES.
set -eu
folder=$1 binaries=$2
cd "$folder"
# Where these programs write whatever they are told: here it goes with the node.
for place in /run /var/lib /var/log; do mount -t tmpfs tmpfs $place; done
mkdir /var/lib/kubelet /var/lib/cni /var/lib/containerd
mount --bind containerd /var/lib/containerd
# A kubelet sets these for the whole machine where they aren't as it wants them. This is what it sees.
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    echo "${setting#*=}" >"${setting##*/}"
    mount --bind "${setting##*/}" "/proc/sys/${setting%=*}"
done

containerd --config=containerd.toml >containerd.log 2>&1 &
socket=/run/containerd.sock
for _ in $(seq 300); do
    if ctr --address=$socket version >/dev/null 2>&1; then break; fi
    sleep 0.1
done
ctr --address=$socket --namespace=k8s.io images import images.tar >import.log 2>&1
"$binaries/kube-proxy" --config=proxy.json >kube-proxy.log 2>&1 &
"$binaries/kubelet" --config=kubelet.json --kubeconfig=kubeconfig --hostname-override="$(cat name)" --node-ip="$(cat address)" \
    --node-labels="$(cat labels)" >kubelet.log 2>&1 &
# The first process of its namespace: it takes what others leave, and none of the three may end.
wait -n || true
exit 1
