{{- define "mcpsiem.name" -}}{{ printf "%s-%s" .Release.Name "mcpsiem" | trunc 40 | trimSuffix "-" }}{{- end }}

{{- define "mcpsiem.labels" -}}
app.kubernetes.io/name: mcpsiem
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* What selects the pods of one role: (list root role). */}}
{{- define "mcpsiem.select" -}}
app.kubernetes.io/name: mcpsiem
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "mcpsiem.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "mcpsiem.secret" -}}{{ .Values.existingSecret | default (include "mcpsiem.name" .) }}{{- end }}

{{- define "mcpsiem.confined" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end }}

{{/* Settings of a pod: (list root role). */}}
{{- define "mcpsiem.pod" -}}
{{- $ := index . 0 -}}
automountServiceAccountToken: false
serviceAccountName: {{ include "mcpsiem.name" $ }}
terminationGracePeriodSeconds: 45
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $.Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- else }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "mcpsiem.select" . | nindent 8 }}
{{- end }}
{{- end }}

{{/* Copies secrets into memory, 0600. */}}
{{- define "mcpsiem.init" -}}
- name: secrets
  image: {{ .Values.initImage }}
  command: [sh, -c, "umask 077; for d in /in/*; do cp -L $d/* /run/mcpsiem/; done; chmod 600 /run/mcpsiem/*"]
  securityContext: {{ include "mcpsiem.confined" . | nindent 4 }}
  resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
{{- end }}

{{- define "mcpsiem.env" -}}
- {name: MCPSIEM_SECRETS, value: /run/mcpsiem}
- {name: MCPSIEM_NATS_URL, value: {{ .Values.nats.url | quote }}}
- {name: MCPSIEM_NATS_USER, value: {{ .Values.nats.user | quote }}}
- {name: MCPSIEM_HEALTH, value: "0.0.0.0:13133"}
- {name: MCPSIEM_METRICS_HOST, value: "0.0.0.0"}
- {name: MCPSIEM_METRICS_PORT, value: "8888"}
{{- end }}

{{- define "mcpsiem.probes" -}}
ports:
  - {name: health, containerPort: 13133}
  - {name: metrics, containerPort: 8888}
{{- end }}

{{- define "mcpsiem.probing" -}}
startupProbe: {httpGet: {path: /, port: health}, periodSeconds: 3, failureThreshold: 60}
readinessProbe: {httpGet: {path: /, port: health}, periodSeconds: 5}
livenessProbe: {httpGet: {path: /, port: health}, periodSeconds: 20, failureThreshold: 6}
{{- end }}

{{/* Secrets of a role: (list root (list of keys of the main Secret) further-Secret). */}}
{{- define "mcpsiem.secretVolumes" -}}
{{- $ := index . 0 -}}
- name: secrets-in
  secret:
    secretName: {{ include "mcpsiem.secret" $ }}
    defaultMode: 0440
    items:
{{- range index . 1 }}
      - {key: {{ . }}, path: {{ . }}}
{{- end }}
{{- with index . 2 }}
- name: secrets-more
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
- name: secrets
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
