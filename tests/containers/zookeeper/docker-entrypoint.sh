#!/bin/bash
# Does what that of the image does that this stands in for: as root it hands over to user 1000; then it makes, where they are
# missing, the configuration from variables and the server's number, and starts ZooKeeper.
set -eu
[ "$*" = "zkServer.sh start-foreground" ] || { echo "only the default command is known here, not: $*" >&2; exit 1; }
if [ "$(id -u)" = 0 ]; then
    chown -R 1000:1000 "$ZOO_DATA_DIR" "$ZOO_DATA_LOG_DIR" "$ZOO_LOG_DIR"
    exec setpriv --reuid=1000 --regid=1000 --clear-groups "$0" "$@"
fi
[ -f "$ZOO_CONF_DIR/zoo.cfg" ] || cat >"$ZOO_CONF_DIR/zoo.cfg" <<EOF
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
[ -f "$ZOO_DATA_DIR/myid" ] || echo "${ZOO_MY_ID:-1}" >"$ZOO_DATA_DIR/myid"
read -ra flags <<<"-Xmx${ZK_SERVER_HEAP:-1000}m ${SERVER_JVMFLAGS:-}"
exec java -XX:+UseSerialGC "${flags[@]}" -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-nop.jar \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$ZOO_CONF_DIR/zoo.cfg"
