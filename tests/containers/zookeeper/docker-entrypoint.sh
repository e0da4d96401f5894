#!/bin/bash
# The configuration from the same variables as the image that this stands in for; then ZooKeeper, as user 1000.
set -eu
[ "$*" = "zkServer.sh start-foreground" ] || { echo "only the default command is known here, not: $*" >&2; exit 1; }
cat >"$ZOO_CONF_DIR/zoo.cfg" <<EOF
dataDir=$ZOO_DATA_DIR
dataLogDir=$ZOO_DATA_LOG_DIR
tickTime=$ZOO_TICK_TIME
initLimit=$ZOO_INIT_LIMIT
syncLimit=$ZOO_SYNC_LIMIT
autopurge.snapRetainCount=$ZOO_AUTOPURGE_SNAPRETAINCOUNT
autopurge.purgeInterval=$ZOO_AUTOPURGE_PURGEINTERVAL
maxClientCnxns=$ZOO_MAX_CLIENT_CNXNS
standaloneEnabled=$ZOO_STANDALONE_ENABLED
admin.enableServer=$ZOO_ADMINSERVER_ENABLED
server.1=localhost:2888:3888;2181
EOF
chown 1000:1000 "$ZOO_DATA_DIR" "$ZOO_DATA_LOG_DIR"
echo 1 >"$ZOO_DATA_DIR/myid"
exec setpriv --reuid=1000 --regid=1000 --clear-groups \
    java "-Xmx${ZK_SERVER_HEAP:-1000}m" -XX:+UseSerialGC -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-nop.jar \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$ZOO_CONF_DIR/zoo.cfg"
