{{/*
Values that the schema can't judge: those of the chart this one follows (one Deployment and one Service per node), and
combinations. Everything wrong is reported at once.
*/}}
{{- define "dt.check" -}}
{{- $wrong := list -}}
{{- $old := merge (dict) (.Values.heartbeat | default dict) (pick .Values "nodes" "deployment" "service") -}}
{{- if hasKey $old "nodes" -}}
{{- $wrong = append $wrong "`nodes` is gone: a DaemonSet runs one agent on every node, however many there are. Choose nodes by `nodeSelector`, `affinity`, `tolerations`" -}}
{{- end -}}
{{- with $old.deployment -}}
{{- $new := dict "repository" "`image.repository` (with an image of this project: the former one runs another program)" "tag" "`image.tag`" "pullPolicy" "`image.pullPolicy`" "replicaCount" "nothing: a DaemonSet runs one agent on every node" "env" "`config` (`config.zookeeper.root` for ROOT_PATH_ZK, `config.zookeeper.heart_beat` for HEART_BEAT_NODE_PATH, `config.zookeeper.session_timeout` for CONN_TIMEOUT, `config.kafka.topic` for KAFKA_TOPIC, `config.kafka.client_id` for KAFKA_PRODUCER_GROUP; SINK_PATH never had an effect), or `extraEnv`, where those names keep their meaning" -}}
{{- range $key, $value := . -}}
{{- $wrong = append $wrong (printf "`deployment.%s` is gone; instead of it: %s" $key (get $new $key | default "see the README of this chart")) -}}
{{- end -}}
{{- end -}}
{{- with $old.service -}}
{{- $new := dict "type" "nothing: agents register their own addresses and are reached without a Service" "port" "`port`" -}}
{{- range $key, $value := . -}}
{{- $wrong = append $wrong (printf "`service.%s` is gone; instead of it: %s" $key (get $new $key | default "see the README of this chart")) -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := (omit (.Values.heartbeat | default dict) "nodes" "deployment" "service" "global") -}}
{{- $wrong = append $wrong (printf "`heartbeat.%s` is gone: the agent is no subchart; its values stand at the top level" $key) -}}
{{- end -}}
{{- if and (not .Values.zookeeper.enabled) (not .Values.zookeeper.servers) -}}
{{- $wrong = append $wrong "`zookeeper.enabled` is false and `zookeeper.servers` is empty; accepted: HOST:PORT,... of the ZooKeeper to use" -}}
{{- end -}}
{{- if and .Values.zookeeper.enabled .Values.zookeeper.servers -}}
{{- $wrong = append $wrong "`zookeeper.servers` is set and `zookeeper.enabled` is true: set one of them" -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- $wrong = append $wrong "`podMonitor.enabled` and `serviceMonitor.enabled` are both true: every agent would be scraped twice" -}}
{{- end -}}
{{- if eq (int .Values.port) (int .Values.httpPort) -}}
{{- $wrong = append $wrong "`port` and `httpPort` are the same" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled .Values.zookeeper.enabled .Values.hostNetwork (not .Values.networkPolicy.nodeCIDRs) -}}
{{- $wrong = append $wrong "`networkPolicy.enabled` needs `networkPolicy.nodeCIDRs` where `hostNetwork` is true: agents come to ZooKeeper from the nodes' addresses" -}}
{{- end -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (add 5 (int .Values.preStop.drainSeconds)) -}}
{{- $wrong = append $wrong (printf "`terminationGracePeriodSeconds` is %d; accepted: more than `preStop.drainSeconds` + 5, the time an agent needs to end" (int .Values.terminationGracePeriodSeconds)) -}}
{{- end -}}
{{- $alerts := list -}}
{{- range (list "files/alerts.yaml" "files/collector-alerts.yaml") }}{{ range ($.Files.Get . | fromYaml).groups }}{{ range .rules }}{{ $alerts = append $alerts .alert }}{{ end }}{{ end }}{{ end -}}
{{- range .Values.prometheusRule.disabled -}}
{{- if not (has . $alerts) -}}
{{- $wrong = append $wrong (printf "`prometheusRule.disabled` names %q; accepted: %s" . (join ", " $alerts)) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n- %s" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}
