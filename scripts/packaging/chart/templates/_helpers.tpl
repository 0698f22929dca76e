{{- define "cay.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "cay.selector" . }}
{{- end }}

{{- define "cay.selector" -}}
app.kubernetes.io/name: cay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cay.adminSecret" -}}
{{- if .Values.admin.existingSecret }}{{ .Values.admin.existingSecret }}{{ else if .Values.admin.password }}{{ .Release.Name }}-admin{{ end }}
{{- end }}

{{- define "cay.scheme" -}}
{{- if .Values.tls.existingSecret }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}
