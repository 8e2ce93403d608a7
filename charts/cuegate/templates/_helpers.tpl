{{/* The beginning of all names. */}}
{{- define "cuegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels by which pods are chosen, of a list of root and component. */}}
{{- define "cuegate.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object, of a list of root and component. */}}
{{- define "cuegate.labels" -}}
{{- $root := index . 0 -}}
{{ include "cuegate.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The component whose pods hold the controller. */}}
{{- define "cuegate.home" -}}
{{- ternary "gateway" "controller" (eq .Values.placement "sidecar") -}}
{{- end -}}

{{- define "cuegate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cuegate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "cuegate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default (printf "v%s" .Chart.AppVersion) .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "true" where the chart brings a gateway; "" else. */}}
{{- define "cuegate.gateway" -}}
{{- if eq (toString .Values.gateway.enabled) "auto" -}}
{{- if and (eq .Values.edition "ce") (not .Values.tyk.gatewayService) }}true{{ end -}}
{{- else if .Values.gateway.enabled -}}true
{{- end -}}
{{- end -}}

{{/* "true" where the chart brings a Redis; "" else. */}}
{{- define "cuegate.redis" -}}
{{- if and (include "cuegate.gateway" .) (not .Values.gateway.redis.addresses) }}true{{ end -}}
{{- end -}}

{{/* Addresses of the gateway's Redis, with commas between them. */}}
{{- define "cuegate.redisAddresses" -}}
{{- if include "cuegate.redis" . -}}
{{- printf "%s-redis.%s.svc:6379" (include "cuegate.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- join "," .Values.gateway.redis.addresses -}}
{{- end -}}
{{- end -}}

{{/* The Secret of the gateway's secret or the Dashboard's key. */}}
{{- define "cuegate.secret" -}}
{{- default (printf "%s-tyk" (include "cuegate.fullname" .)) .Values.tyk.secret.existing -}}
{{- end -}}

{{/* The Secret of the gateway's own secret. With a Dashboard tyk.secret is the key of its
     user, which no gateway must know. */}}
{{- define "cuegate.gatewaySecret" -}}
{{- if eq .Values.edition "ce" -}}
{{ include "cuegate.secret" . }}
{{- else -}}
{{ include "cuegate.fullname" . }}-gateway
{{- end -}}
{{- end -}}

{{/* The Service that is published, NAMESPACE/NAME; "" for none. */}}
{{- define "cuegate.publishService" -}}
{{- if eq .Values.publish.service "auto" -}}
{{- if and (include "cuegate.gateway" .) (not .Values.publish.addresses) -}}
{{ .Release.Namespace }}/{{ include "cuegate.fullname" . }}-gateway
{{- end -}}
{{- else if ne .Values.publish.service "none" -}}
{{ .Values.publish.service }}
{{- end -}}
{{- end -}}

{{/* The Service of gateways to push to, as the flag has it. */}}
{{- define "cuegate.gatewayService" -}}
{{- if .Values.tyk.gatewayService -}}
{{ .Values.tyk.gatewayService }}
{{- else -}}
{{ .Release.Namespace }}/{{ include "cuegate.fullname" . }}-gateways:9696
{{- end -}}
{{- end -}}

{{/* Namespaces other than that of the release in which Services are looked at. */}}
{{- define "cuegate.otherNamespaces" -}}
{{- $all := list -}}
{{- if and (eq .Values.edition "ce") (eq .Values.placement "deployment") -}}
{{- $all = append $all (include "cuegate.gatewayService" . | trimPrefix "http://" | trimPrefix "https://" | splitList "/" | first) -}}
{{- end -}}
{{- with include "cuegate.publishService" . -}}
{{- $all = append $all (splitList "/" . | first) -}}
{{- end -}}
{{- without (uniq $all) .Release.Namespace | toJson -}}
{{- end -}}

{{/* Settings of the bundle, those that other values stand for among them. */}}
{{- define "cuegate.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if ne .Values.ingressClass.controller "cuegate.dev/ingress-controller" -}}
{{- $settings = mergeOverwrite $settings (dict "controller" .Values.ingressClass.controller) -}}
{{- end -}}
{{- if .Values.mesh.tls -}}
{{- $settings = mergeOverwrite $settings (dict "mesh" (dict "tls" .Values.mesh.tls)) -}}
{{- end -}}
{{- if $settings }}{{ toYaml (dict "settings" $settings) }}{{ end -}}
{{- end -}}

{{/* What differs from the built-in sidecar. */}}
{{- define "cuegate.sidecar" -}}
{{- $config := dict -}}
{{- if ne .Values.edition "ce" -}}
{{- $config = dict "edition" "dashboard" "dashboard" (dict "url" .Values.tyk.dashboard) -}}
{{- end -}}
{{- with include "cuegate.redisAddresses" . -}}
{{- $redis := dict "addresses" (splitList "," .) -}}
{{- with $.Values.gateway.redis -}}
{{- if .cluster }}{{ $_ := set $redis "cluster" true }}{{ end -}}
{{- if .tls }}{{ $_ := set $redis "tls" true }}{{ end -}}
{{- if .passwordSecret }}{{ $_ := set $redis "passwordSecret" .passwordSecret }}{{ end -}}
{{- end -}}
{{- $_ := set $config "redis" $redis -}}
{{- end -}}
{{- $config = mergeOverwrite $config (deepCopy .Values.mesh.sidecar) -}}
{{- if $config }}{{ toPrettyJson $config }}{{ end -}}
{{- end -}}

{{/* Files of the bundle by the keys of a ConfigMap, as YAML; "" for none. */}}
{{- define "cuegate.bundle" -}}
{{- $files := dict -}}
{{- range $path, $text := .Values.bundle.files -}}
{{- $_ := set $files (replace "/" "__" $path) $text -}}
{{- end -}}
{{- with include "cuegate.settings" . -}}
{{- if hasKey $files "policies__data.yaml" -}}
{{- fail "settings, mesh.tls and ingressClass.controller are written to policies/data.yaml, which bundle.files has too: say it there, or here" -}}
{{- end -}}
{{- $_ := set $files "policies__data.yaml" (printf "%s\n" .) -}}
{{- end -}}
{{- if .Values.mesh.enabled -}}
{{- with include "cuegate.sidecar" . -}}
{{- $_ := set $files "templates__chart_sidecar.cue" (printf "package templates\n\nimport \"github.com/cuegate/cuegate/cue/sidecar\"\n\ninject: sidecar.#Sidecar & {config: %s}\n" .) -}}
{{- end -}}
{{- end -}}
{{- if $files }}{{ toYaml $files }}{{ end -}}
{{- end -}}

{{/* Labels of the bundle's ConfigMaps, as YAML; "" where there is no bundle. */}}
{{- define "cuegate.bundleLabels" -}}
{{- if .Values.bundle.matchLabels -}}
{{ toYaml .Values.bundle.matchLabels }}
{{- else if include "cuegate.bundle" . -}}
cuegate.dev/bundle: {{ include "cuegate.fullname" . }}
{{- end -}}
{{- end -}}
