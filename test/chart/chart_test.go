package chart

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	loader3 "helm.sh/helm/v3/pkg/chart/loader"
	common3 "helm.sh/helm/v3/pkg/chartutil"
	engine3 "helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	root  = "../../"
	chart = root + "charts/cuegate"

	release   = "cuegate"
	namespace = "cuegate"
)

// editions are values of installations that people make.
var editions = map[string]string{
	"defaults": ``,
	"ce":       `{tyk: {gatewayService: "tyk/gateways:9696", secret: {existing: tyk}}, publish: {service: tyk/gateway}}`,
	"ce over TLS": `{tyk: {gatewayService: "https://tyk/gateways", secret: {value: s3cret}, ca: {configMap: ca}, insecureSkipVerify: true},
		publish: {addresses: [203.0.113.1, lb.example.com], clearOnShutdown: true}}`,
	"ce sidecar":              `{placement: sidecar, gateway: {replicas: 3, redis: {addresses: ["redis.tyk:6379"], passwordSecret: redis}}}`,
	"ce mesh":                 `{mesh: {enabled: true, tls: mtls}}`,
	"ce mesh alone":           `{mesh: {enabled: true, sidecar: {redis: {addresses: ["redis.tyk:6379"]}}}, tyk: {gatewayService: tyk/gateways, secret: {existing: tyk}}}`,
	"some namespaces":         `{watchNamespaces: [shop], publish: {service: none}}`,
	"mesh in some namespaces": `{watchNamespaces: [shop], mesh: {enabled: true}}`,
	"pro":                     `{edition: pro, tyk: {dashboard: "https://dashboard.tyk:3000", secret: {existing: dashboard, key: api-key}}}`,
	"pro mesh": `{edition: pro, tyk: {dashboard: "http://dashboard.tyk:3000", secret: {existing: dashboard}}, mesh: {enabled: true},
		gateway: {enabled: true, nodeSecret: tyk-node, redis: {addresses: ["redis.tyk:6379"], cluster: true, tls: true}}}`,
	"hybrid": `{edition: hybrid, tyk: {dashboard: "https://admin.cloud.tyk.io", secret: {existing: dashboard}}}`,
	"hybrid with gateways": `{edition: hybrid, tyk: {dashboard: "https://admin.cloud.tyk.io", secret: {existing: dashboard}},
		gateway: {enabled: true, hybrid: {connection: "hybrid.cloud.tyk.io:443", secret: tyk-hybrid}}}`,
	"cert-manager": `{mesh: {enabled: true}, webhook: {certificates: cert-manager, failurePolicy: Ignore, certManager: {issuerRef: {name: ca, kind: ClusterIssuer}}}}`,
	"own certificate": `{mesh: {enabled: true}, webhook: {certificates: supplied, supplied: {secret: webhook, caBundle: Q0E=},
		objectSelector: {matchLabels: {mesh: "yes"}}, namespaceSelector: {matchLabels: {mesh: "yes"}}}}`,
	"everything": `{ingressClass: {name: edge, default: true, controller: example.com/edge}, clusterID: west, orgID: "5e9d9544a1dcd60001d0ed20", plainPaths: true,
		bundle: {files: {templates/partner.cue: "package templates\n\nimport \"github.com/cuegate/cuegate/cue/template\"\n\ntemplates: partner: template.#Base & {}\n"}, matchLabels: {team: platform, stage: prod}}, settings: {template: default},
		imagePullSecrets: [{name: registry}], image: {digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"},
		serviceMonitor: {enabled: true, labels: {release: prometheus}}, networkPolicy: {diagnosticsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]},
		affinity: {nodeAffinity: {}}, nodeSelector: {disk: ssd}, tolerations: [{operator: Exists}], priorityClassName: high, podAnnotations: {a: b}, podLabels: {c: d},
		topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}],
		extraArgs: [--confirm-deletes], extraEnv: [{name: GOGC, value: "50"}], runAsUser: null, runAsGroup: null, serviceAccount: {name: gate, annotations: {x: z}}}`,
}

func values(t testing.TB, text string) map[string]any {
	t.Helper()
	var all map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// render gives what Helm 4 makes of the chart: a text for each template.
func render(t testing.TB, given string) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(c, values(t, given), common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// objects gives the manifests that Helm 4 makes of the chart, decoded strictly where
// the kind is one of Kubernetes'.
func objects(t testing.TB, given string) []runtime.Object {
	t.Helper()
	texts, err := render(t, given)
	if err != nil {
		t.Fatal(err)
	}
	var all []runtime.Object
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if path.Ext(name) == ".yaml" {
			all = append(all, parse(t, name, texts[name])...)
		}
	}
	return all
}

func parse(t testing.TB, name, text string) []runtime.Object {
	t.Helper()
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var all []runtime.Object
	for _, doc := range documents(text) {
		if strings.Contains(doc, "apiVersion: cert-manager.io/") || strings.Contains(doc, "apiVersion: monitoring.coreos.com/") {
			continue // not known here
		}
		object, _, err := decoder.Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, doc)
			continue
		}
		all = append(all, object)
	}
	return all
}

// documents splits manifests, and leaves out what holds comments alone.
func documents(text string) []string {
	var all []string
	for doc := range strings.SplitSeq("\n"+text, "\n---") {
		var content any
		if err := yaml.Unmarshal([]byte(doc), &content); err != nil || content != nil {
			all = append(all, strings.Trim(doc, "\n"))
		}
	}
	return all
}

// of gives the objects of one kind.
func of[T runtime.Object](all []runtime.Object) []T {
	var these []T
	for _, object := range all {
		if x, ok := object.(T); ok {
			these = append(these, x)
		}
	}
	return these
}

func forEditions(t *testing.T, test func(t *testing.T, given string)) {
	for name, given := range editions {
		t.Run(name, func(t *testing.T) { test(t, given) })
	}
}

func TestLint(t *testing.T) {
	forEditions(t, func(t *testing.T, given string) {
		for _, m := range lint.RunAll(chart, values(t, given), namespace).Messages {
			if m.Severity > support.InfoSev {
				t.Error(m)
			}
		}
	})
}

// Both versions of Helm make the same of the chart, but for what is random.
func TestHelm3(t *testing.T) {
	forEditions(t, func(t *testing.T, given string) {
		now, err := render(t, given)
		if err != nil {
			t.Fatal(err)
		}
		c, err := loader3.Load(chart)
		if err != nil {
			t.Fatal(err)
		}
		all, err := common3.ToRenderValues(c, values(t, given), common3.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		before, err := engine3.Render(c, all)
		if err != nil {
			t.Fatal(err)
		}
		if len(now) == 0 || len(now) != len(before) {
			t.Errorf("Helm 4 makes %d files, and Helm 3 %d", len(now), len(before))
		}
		for name, text := range now {
			if !strings.HasSuffix(name, "/secret.yaml") && text != before[name] {
				t.Errorf("Helm 3 makes something else of %s:\n%s\nHelm 4:\n%s", name, before[name], text)
			}
		}
	})
}

// Every edition gives manifests that Kubernetes knows, each once.
func TestManifests(t *testing.T) {
	forEditions(t, func(t *testing.T, given string) {
		seen := map[string]bool{}
		for _, object := range objects(t, given) {
			key := keyOf(t, object)
			if seen[key] {
				t.Errorf("%s is there twice", key)
			}
			seen[key] = true
		}
		if len(seen) < 8 {
			t.Errorf("there are %d objects", len(seen))
		}
	})
}

// The notes name what is there.
func TestNotes(t *testing.T) {
	for name, want := range map[string][]string{
		"defaults":   {"rollout status deployment/cuegate\n", "service/cuegate-gateway 8000:80", "Redis keeps nothing", "--class=tyk"},
		"ce sidecar": {"rollout status deployment/cuegate-gateway\n", "deployment/cuegate-gateway 9090"},
		"pro":        {"pushes to https://dashboard.tyk:3000."},
		"ce mesh":    {"injector.tyk.io/inject"},
		"everything": {"--class=edge"},
	} {
		texts, err := render(t, editions[name])
		if err != nil {
			t.Fatal(err)
		}
		notes := texts["cuegate/templates/NOTES.txt"]
		for _, w := range want {
			if !strings.Contains(notes, w) {
				t.Errorf("%s: the notes do not have %q:\n%s", name, w, notes)
			}
		}
		if name == "pro" && strings.Contains(notes, "Redis") {
			t.Errorf("the notes tell of a Redis that is not there:\n%s", notes)
		}
	}
}

func keyOf(t testing.TB, object runtime.Object) string {
	t.Helper()
	var b bytes.Buffer
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	meta, _ := raw["metadata"].(map[string]any)
	for _, x := range []any{raw["apiVersion"], raw["kind"], meta["namespace"], meta["name"]} {
		if s, ok := x.(string); ok {
			b.WriteString(s)
		}
		b.WriteString(" ")
	}
	return b.String()
}
