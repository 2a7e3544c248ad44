{{- define "apgit.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "apgit.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "apgit.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "apgit.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "apgit.selector" -}}
app.kubernetes.io/name: {{ include "apgit.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "apgit.labels" -}}
{{ include "apgit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "apgit.account" -}}
{{- .Values.serviceAccount.name | default (include "apgit.fullname" .) -}}
{{- end -}}

{{- define "apgit.namespace" -}}
{{- .Values.watch.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "apgit.image" -}}
{{- $repository := required "image.repository is not set: where is your image? (--set image.repository=ghcr.io/OWNER/apgit)" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* What is looked at and written back, wherever objects are. */ -}}
{{- define "apgit.rules.objects" -}}
- apiGroups: [apgit.dev]
  resources: [autopilottenants, autopilotdevices, autopilotdevicesets, autopilotplanapprovals]
  verbs: [list, watch]
- apiGroups: [apgit.dev]
  resources: [autopilottenants/status, autopilotdevices/status, autopilotdevicesets/status, autopilotplanapprovals/status, autopilotplans/status]
  verbs: [patch]
- apiGroups: [apgit.dev]
  resources: [autopilotplans]
  verbs: [list, create, delete]
{{- end -}}

{{- /* Where tenants are: hashes and credentials, ledger and journal, the one writer, and
whether the namespace is being deleted. */ -}}
{{- define "apgit.rules.tenants" -}}
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, update, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- with .Values.rbac.accountNames }}
- apiGroups: [""]
  resources: [serviceaccounts/token]
  resourceNames: {{ toJson . }}
  verbs: [create]
{{- end }}
{{- end -}}
