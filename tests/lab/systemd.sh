#!/bin/sh
# Boots systemd inside namespaces of its own, so that it finds none of the host's units and leaves nothing on the host's
# file system. Run as the first process of a PID namespace by tests/lab/systemd.rs.
#
#   systemd.sh CONSOLE UNITS DT CONFIG     a terminal, folders of units and of /etc/distributed-trace, the binary
set -eu
console=$1 units=$2 dt=$3 config=$4

mount --make-rprivate /
# Whatever systemd and its units write: in memory. What they need of the host's is put there first.
room=/mnt
mount -t tmpfs tmpfs $room
mkdir $room/dev $room/etc $room/lib $room/bin $room/units
cp -a /etc/. $room/etc
mkdir -p $room/etc/distributed-trace
cp -r "$config/." $room/etc/distributed-trace
cp -r "$units/." $room/units
touch $room/bin/dt
mount --bind "$dt" $room/bin/dt

while read -r device major minor; do
    mknod -m 666 "$room/dev/$device" c "$major" "$minor"
done <<'DEVICES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
DEVICES
mkdir $room/dev/shm $room/dev/pts
mount -t devpts -o newinstance,ptmxmode=0666 devpts $room/dev/pts
ln -s pts/ptmx $room/dev/ptmx
ln -s /proc/self/fd $room/dev/fd
touch $room/dev/console
mount --bind "$console" $room/dev/console

mount --rbind $room/dev /dev
mount --bind $room/etc /etc
mount --bind $room/lib /var/lib
mount --rbind $room/bin /usr/local/bin
for folder in /run /tmp /var/tmp /var/log; do
    mount -t tmpfs -o mode=1777 tmpfs $folder
done
chmod 755 /run
mkdir /run/units
mount --bind $room/units /run/units
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# "container" keeps it from what is the kernel's business.
exec env -i PATH="$PATH" container=lab SYSTEMD_UNIT_PATH=/run/units \
    /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=no
