{{/* The name of everything in this release. */}}
{{- define "taskscheduler.name" -}}
{{- if contains "taskscheduler" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-taskscheduler" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "taskscheduler.labels" -}}
app.kubernetes.io/name: taskscheduler
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What selects the pods of a component: (list "node" .) */}}
{{- define "taskscheduler.selector" -}}
app.kubernetes.io/name: taskscheduler
app.kubernetes.io/instance: {{ (index . 1).Release.Name }}
app.kubernetes.io/component: {{ index . 0 }}
{{- end }}

{{- define "taskscheduler.image" -}}
{{ required "image.repository is not set: build an image with your jobs FROM the image of the Dockerfile" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The URI as a variable, from a Secret. */}}
{{- define "taskscheduler.uri" -}}
- name: TASKSCHEDULER_URI
  valueFrom:
    secretKeyRef:
      name: {{ .Values.mongodb.existingSecret | default (printf "%s-mongodb" (include "taskscheduler.name" .)) }}
      key: {{ .Values.mongodb.key }}
{{- end }}

{{- define "taskscheduler.jobs" -}}
- name: TASKSCHEDULER_JOBS
  value: {{ join "," .Values.jobs | quote }}
{{- end }}

{{- define "taskscheduler.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "taskscheduler.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
