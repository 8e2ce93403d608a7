{{/* Arguments of the controller. */}}
{{- define "cuegate.args" -}}
{{- $name := include "cuegate.fullname" . -}}
- run
- --source=kubernetes
- --config=/etc/cuegate/config/cuegate.yaml
- --secret-file=/etc/cuegate/tyk/secret
{{- if eq .Values.placement "sidecar" }}
- --sidecar
- --gateway=http://localhost:9696
{{- else if eq .Values.edition "ce" }}
- --gateway-service={{ include "cuegate.gatewayService" . }}
{{- else }}
- --dashboard={{ .Values.tyk.dashboard }}
{{- end }}
{{- if .Values.tyk.ca.configMap }}
- --ca-file=/etc/cuegate/ca/ca.crt
{{- end }}
{{- if .Values.tyk.insecureSkipVerify }}
- --insecure-skip-verify
{{- end }}
- --lease-name={{ $name }}
- --diagnostics=:9090
- --log-level={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
- --drift-interval={{ .Values.driftInterval }}
{{- range .Values.watchNamespaces }}
- --watch-namespace={{ . }}
{{- end }}
{{- with include "cuegate.bundleLabels" . }}
{{- $pairs := list }}
{{- range $k, $v := fromYaml . }}{{ $pairs = append $pairs (printf "%s=%s" $k $v) }}{{ end }}
- --bundle-configmaps={{ join "," $pairs }}
{{- end }}
{{- range .Values.publish.addresses }}
- --publish-address={{ . }}
{{- end }}
{{- with include "cuegate.publishService" . }}
- --publish-service={{ . }}
{{- end }}
{{- if .Values.publish.clearOnShutdown }}
- --clear-status-on-shutdown
{{- end }}
{{- if .Values.mesh.enabled }}
- --mesh
{{- if eq .Values.edition "ce" }}
- --mesh-push
{{- end }}
- --mesh-trust-domain={{ .Values.mesh.trustDomain }}
- --webhook=:9443
{{- if eq .Values.webhook.certificates "self" }}
- --webhook-secret={{ $name }}-webhook
- --webhook-service={{ $name }}-webhook
- --webhook-configuration={{ $name }}
{{- else }}
- --webhook-cert=/etc/cuegate/webhook/tls.crt
- --webhook-key=/etc/cuegate/webhook/tls.key
{{- end }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What a container needs for the Pod security standard "restricted". */}}
{{- define "cuegate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The same of a pod, of a dict of user and group. */}}
{{- define "cuegate.podSecurity" -}}
runAsNonRoot: true
{{- with .user }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with .group }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The controller's container. */}}
{{- define "cuegate.container" -}}
name: cuegate
image: {{ include "cuegate.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  {{- include "cuegate.args" . | nindent 2 }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - name: diagnostics
    containerPort: 9090
  {{- if .Values.mesh.enabled }}
  - name: webhook
    containerPort: 9443
  {{- end }}
livenessProbe:
  httpGet:
    path: /healthz
    port: diagnostics
  periodSeconds: 10
readinessProbe:
  httpGet:
    path: /readyz
    port: diagnostics
  periodSeconds: 5
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "cuegate.containerSecurity" . | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/cuegate/config
    readOnly: true
  - name: tyk
    mountPath: /etc/cuegate/tyk
    readOnly: true
  {{- if .Values.tyk.ca.configMap }}
  - name: ca
    mountPath: /etc/cuegate/ca
    readOnly: true
  {{- end }}
  {{- if and .Values.mesh.enabled (ne .Values.webhook.certificates "self") }}
  - name: webhook
    mountPath: /etc/cuegate/webhook
    readOnly: true
  {{- end }}
  {{- if eq .Values.placement "sidecar" }}
  - name: account
    mountPath: /var/run/secrets/kubernetes.io/serviceaccount
    readOnly: true
  {{- end }}
{{- end -}}

{{/* Its volumes. */}}
{{- define "cuegate.volumes" -}}
- name: config
  configMap:
    name: {{ include "cuegate.fullname" . }}
- name: tyk
  secret:
    secretName: {{ include "cuegate.secret" . }}
    defaultMode: 0440
    items:
      - key: {{ .Values.tyk.secret.key }}
        path: secret
{{- with .Values.tyk.ca }}
{{- if .configMap }}
- name: ca
  configMap:
    name: {{ .configMap }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- if and .Values.mesh.enabled (ne .Values.webhook.certificates "self") }}
- name: webhook
  secret:
    secretName: {{ ternary .Values.webhook.supplied.secret (printf "%s-webhook" (include "cuegate.fullname" .)) (eq .Values.webhook.certificates "supplied") }}
    defaultMode: 0440
{{- end }}
{{- if eq .Values.placement "sidecar" }}
# The token is the controller's alone: the gateway beside it has no business with it.
- name: account
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}
{{- end -}}

{{/* What makes pods restart when it changes. */}}
{{- define "cuegate.podAnnotations" -}}
cuegate.dev/config: {{ include (print .Template.BasePath "/config.yaml") . | sha256sum | trunc 16 }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where pods go, of a list of root, values and component. */}}
{{- define "cuegate.placing" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
affinity:
  {{- if $values.affinity }}
  {{- toYaml $values.affinity | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "cuegate.selector" (list $root (index . 2)) | nindent 14 }}
  {{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
