{{- define "kafka.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default "kafka" .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "kafka.selector" -}}
app.kubernetes.io/name: kafka
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: broker
{{- end -}}

{{- define "kafka.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "kafka.selector" . }}
{{- end -}}

{{/* Checks first: a template that needs the image may be the first to be rendered. */}}
{{- define "kafka.image" -}}
{{- include "kafka.check" . -}}
{{- printf "%s:%s" .Values.image.repository .Values.image.tag -}}
{{- end -}}

{{- define "kafka.bootstrap" -}}
{{- printf "%s.%s.svc.%s:%d" (include "kafka.fullname" .) .Release.Namespace .Values.clusterDomain (int .Values.service.port) -}}
{{- end -}}

{{- define "kafka.controllers" -}}
{{- if .Values.controllers -}}
{{- int .Values.controllers -}}
{{- else -}}
{{- ternary 3 1 (ge (int .Values.replicas) 3) -}}
{{- end -}}
{{- end -}}

{{/* A UUID is 16 bytes: here the first 16 characters of a digest, the same whenever the chart is rendered. */}}
{{- define "kafka.clusterId" -}}
{{- if .Values.clusterId -}}
{{- .Values.clusterId -}}
{{- else -}}
{{- printf "%s/%s" .Release.Namespace .Release.Name | sha256sum | trunc 16 | b64enc | trimSuffix "==" -}}
{{- end -}}
{{- end -}}

{{/* server.properties, but for what differs from broker to broker, which start.sh adds. */}}
{{- define "kafka.config" -}}
{{- $factor := min 3 (int .Values.replicas) -}}
{{- $in_sync := ternary 2 1 (ge (int .Values.replicas) 3) -}}
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=
{{- range $i := until (int (include "kafka.controllers" .)) -}}
{{- if $i }},{{ end }}{{ $i }}@{{ include "kafka.fullname" $ }}-{{ $i }}.{{ include "kafka.fullname" $ }}-headless.{{ $.Release.Namespace }}.svc.{{ $.Values.clusterDomain }}:9093
{{- end }}
log.dirs=/var/lib/kafka/data/logs
default.replication.factor={{ $factor }}
min.insync.replicas={{ $in_sync }}
offsets.topic.replication.factor={{ $factor }}
transaction.state.log.replication.factor={{ $factor }}
transaction.state.log.min.isr={{ $in_sync }}
share.coordinator.state.topic.replication.factor={{ $factor }}
share.coordinator.state.topic.min.isr={{ $in_sync }}
log.retention.hours=168
{{- range $key, $value := .Values.configurationOverrides }}
{{ $key }}={{ if and (kindIs "float64" $value) (eq (float64 (int64 $value)) $value) }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end -}}

{{/* Values of the chart this one follows, and what a schema can't judge. Everything wrong is reported at once. */}}
{{- define "kafka.check" -}}
{{- $wrong := list -}}
{{- $new := dict
  "imageTag" "`image.tag`"
  "imagePullPolicy" "`image.pullPolicy`"
  "securityContext" "nothing: pods run as user 1000 with no capability and a read-only root"
  "updateStrategy" "nothing: brokers are updated one after the other"
  "podManagementPolicy" "nothing: brokers start together, since a quorum has to"
  "logSubPath" "nothing: records lie in `logs` on the volume"
  "headless" "nothing: the headless Service always has port 9092"
  "external" "nothing: brokers announce names of the cluster only. For clients outside run Kafka by an operator and set `kafka.bootstrapServers` of dt-chart"
  "envOverrides" "`configurationOverrides`"
  "additionalPorts" "nothing"
  "jmx" "nothing: exporters of JMX are not part of this chart"
  "prometheus" "nothing: exporters of JMX are not part of this chart"
  "configJob" "nothing: agents create their topics"
  "topics" "nothing: agents create their topics; change them with kafka-configs.sh"
  "zookeeper" "nothing: Kafka runs without ZooKeeper (KRaft)"
  "readinessProbe" "nothing: the probes are the chart's"
  "secrets" "nothing"
  "schedulerName" "nothing"
  "serviceAccountName" "nothing: brokers use no API"
-}}
{{- range $key, $what := $new -}}
{{- if hasKey $.Values $key -}}
{{- $wrong = append $wrong (printf "`%s` is gone; instead of it: %s" $key $what) -}}
{{- end -}}
{{- end -}}
{{- if kindIs "string" .Values.image -}}
{{- $wrong = append $wrong "`image` is a string; instead of it: `image.repository` and `image.tag`" -}}
{{- end -}}
{{- if hasKey .Values.persistence "mountPath" -}}
{{- $wrong = append $wrong "`persistence.mountPath` is gone; instead of it: nothing, the volume is mounted at /var/lib/kafka/data" -}}
{{- end -}}
{{- range $key, $value := .Values.configurationOverrides -}}
{{- if or (has $key (list "node.id" "process.roles" "listeners" "advertised.listeners" "inter.broker.listener.name" "listener.security.protocol.map" "log.dirs" "log.dir" "broker.id")) (hasPrefix "controller." $key) (hasPrefix "zookeeper." $key) -}}
{{- $wrong = append $wrong (printf "`configurationOverrides` has %q, which the chart sets itself; accepted: other keys of server.properties" $key) -}}
{{- end -}}
{{- end -}}
{{- if gt (int (include "kafka.controllers" .)) (int .Values.replicas) -}}
{{- $wrong = append $wrong (printf "`controllers` is %d; accepted: at most `replicas`, %d" (int .Values.controllers) (int .Values.replicas)) -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n- %s" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}
