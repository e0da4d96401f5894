{{- define "dt.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default "distributed-trace" .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Never changed after the first release: a DaemonSet's selector is immutable. */}}
{{- define "dt.selector" -}}
app.kubernetes.io/name: distributed-trace
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: agent
{{- end -}}

{{- define "dt.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "dt.selector" . }}
{{- end -}}

{{/* Of the collector: as the agents', but for the component. */}}
{{- define "dt.collector.selector" -}}
app.kubernetes.io/name: distributed-trace
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: collector
{{- end -}}

{{- define "dt.collector.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "dt.collector.selector" . }}
{{- end -}}

{{- define "dt.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (printf "%s-agent" (include "dt.fullname" .)) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Resources of the whole cluster bear the namespace in their names: two releases may have one name. */}}
{{- define "dt.clusterName" -}}
{{- printf "%s-%s-agent" .Release.Namespace (include "dt.fullname" .) -}}
{{- end -}}

{{- define "dt.priorityClass" -}}
{{- if .Values.priorityClass.create -}}
{{- default (include "dt.clusterName" .) .Values.priorityClass.name -}}
{{- else -}}
{{- .Values.priorityClass.name -}}
{{- end -}}
{{- end -}}

{{/* Which nodes: of the agents, and of the pod that tests one. */}}
{{- define "dt.placement" -}}
{{- if or .Values.tolerateAllTaints .Values.controlPlane .Values.tolerations -}}
tolerations:
  {{- if .Values.tolerateAllTaints }}
  - operator: Exists
  {{- else if .Values.controlPlane }}
  - key: node-role.kubernetes.io/control-plane
    operator: Exists
    effect: NoSchedule
  {{- end }}
  {{- with .Values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{ end -}}
{{- with .Values.nodeSelector -}}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{ end -}}
{{- with .Values.affinity -}}
affinity:
  {{- toYaml . | nindent 2 }}
{{ end -}}
{{- end -}}

{{- define "dt.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "dt.zookeeperServers" -}}
{{- if .Values.zookeeper.enabled -}}
{{- printf "%s.%s.svc.%s:%v" .Values.zookeeper.fullnameOverride .Release.Namespace .Values.clusterDomain (dig "service" "port" 2181 .Values.zookeeper) -}}
{{- else -}}
{{- .Values.zookeeper.servers -}}
{{- end -}}
{{- end -}}

{{- define "dt.kafkaServers" -}}
{{- default (printf "service-kafka.%s.svc.%s:9092" .Release.Namespace .Values.clusterDomain) .Values.kafka.bootstrapServers -}}
{{- end -}}

{{/* Of the container that is a client of Kafka, and of its pod: what the mounted Secret needs. */}}
{{- define "dt.kafkaEnv" -}}
{{- with .Values.kafka.mountedSecret -}}
{{- if and .name .optionsKey -}}
- name: DT_KAFKA_OPTIONS_FILE
  value: {{ printf "/etc/kafka-client/%s" .optionsKey | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dt.kafkaMounts" -}}
{{- if .Values.kafka.mountedSecret.name -}}
# Whole, without subPath: so that changes arrive.
- name: kafka-client
  mountPath: /etc/kafka-client
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "dt.kafkaVolumes" -}}
{{- with .Values.kafka.mountedSecret.name -}}
- name: kafka-client
  secret:
    secretName: {{ . }}
    # Within the pod there is nobody else to read it.
    defaultMode: 0444
{{- end -}}
{{- end -}}

{{/* HOST:PORT, with brackets around an IPv6 address. */}}
{{- define "dt.httpAddress" -}}
{{- $host := .Values.bindAddress -}}
{{- if contains ":" $host }}{{ $host = printf "[%s]" $host }}{{ end -}}
{{- printf "%s:%v" $host (int .Values.httpPort) -}}
{{- end -}}

{{/*
One environment variable for each key of a map of configuration; nested maps are dotted keys.
Helm reads numbers as floats, whose text may be 1e+06: whole ones are written as integers.
*/}}
{{- define "dt.configEnv" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .map }}
{{- $name := printf "%s_%s" $prefix (upper $key) -}}
{{- if and (kindIs "map" $value) (eq $name "DT_KAFKA_OPTIONS") -}}
{{/* Flags: a layer above the variable, which may come from a Secret; the layers add to one another. */}}
{{- else if kindIs "map" $value }}
{{- include "dt.configEnv" (dict "prefix" $name "map" $value) }}
{{- else if not (kindIs "invalid" $value) }}
- name: {{ $name }}
  value: {{ include "dt.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "dt.text" -}}
{{- if kindIs "slice" . -}}
{{- $parts := list -}}
{{- range . }}{{ $parts = append $parts (include "dt.text" .) }}{{ end -}}
{{- join "," $parts -}}
{{- else if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}
