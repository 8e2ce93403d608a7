package migrate

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue/format"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

func convertConfig(t *testing.T, text string, environment ...string) *Configuration {
	t.Helper()
	c, err := ConvertConfig(context.Background(), cuegate.Builtin(), "tyk-k8s.yaml", []byte(text), environment)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *Configuration) file(name string) string {
	for _, f := range c.Files.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func wantLine(t *testing.T, c *Configuration, want string) {
	t.Helper()
	if !slices.ContainsFunc(c.Lines, func(l string) bool { return strings.Contains(l, want) }) {
		t.Errorf("no line says %q:\n%s", want, strings.Join(c.Lines, "\n"))
	}
}

func wantIn(t *testing.T, c *Configuration, file string, wants ...string) {
	t.Helper()
	text := c.file(file)
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s has no %q:\n%s", file, want, text)
		}
	}
}

const fullConfig = `Server:
  addr: ":9797"
  certFile: /certs/cert.pem
  keyFile: /certs/key.pem
Tyk:
  url: http://dashboard.tyk:3000
  secret: hunter2
  org: 5e9d9544a1dcd60001d0ed20
  templates: /etc/templates
  insecureSkipVerify: false
Ingress:
  watchNamespaces: [shop, cafe]
Injector:
  createRoutes: true
  enableMeshTLS: true
  meshCertificateID: hunter2
  containers:
    - name: gateway
      image: tykio/tyk-gateway:v2.9.4
      imagePullPolicy: Always
      command: [/opt/tyk, --conf=/etc/tyk.conf]
      ports: [{containerPort: 8080}]
      env:
        - {name: TYK_GW_STORAGE_HOST, value: redis.tyk}
        - {name: TYK_GW_STORAGE_PORT, value: "6380"}
        - {name: TYK_GW_STORAGE_USESSL, value: "true"}
        - {name: TYK_GW_STORAGE_PASSWORD, valueFrom: {secretKeyRef: {name: redis, key: password}}}
        - {name: TYK_GW_POLICIES_POLICYCONNECTIONSTRING, value: "http://dashboard.tyk:3000"}
        - {name: TYK_GW_DBAPPCONFOPTIONS_CONNECTIONSTRING, value: "http://dashboard.tyk:3000"}
        - {name: TYK_GW_NODESECRET, value: hunter2}
        - {name: TYK_GW_SECRET, value: hunter2}
        - {name: TYK_GW_LOGLEVEL, value: warn}
        - {name: TYK_GW_GLOBALSESSIONLIFETIME, valueFrom: {configMapKeyRef: {name: gw, key: "life:time, s"}}}
      resources: {limits: {memory: 256Mi}, requests: {cpu: 100m}}
  initContainers:
    - name: init
      image: alpine
      securityContext: {privileged: true}
CA:
  addr: http://cfssl:8888
  key: hunter2
`

func TestConfig(t *testing.T) {
	c := convertConfig(t, fullConfig)
	if c.Left != 0 {
		t.Errorf("%d things are left: %s", c.Left, strings.Join(c.Lines, "\n"))
	}
	wantIn(t, c, "cuegate.yaml", `orgID: "5e9d9544a1dcd60001d0ed20"`, "- url: \"http://dashboard.tyk:3000\"\n    mode: dashboard\n")
	wantIn(t, c, "run.sh", "--config cuegate.yaml", "--bundle bundle", "--mesh \\", "--webhook :9797", "--webhook-cert /certs/cert.pem", "--webhook-key /certs/key.pem")
	wantIn(t, c, "bundle/policies/data.yaml", `namespaces: ["shop", "cafe"]`, "interception: iptables", `tls: "tls"`)
	wantIn(t, c, "bundle/templates/sidecar.cue",
		`name:            "gateway"`, `image:           "tykio/tyk-gateway:v2.9.4"`, `imagePullPolicy: "Always"`, `edition:         "dashboard"`,
		`addresses: ["redis.tyk:6380"]`, `passwordSecret: "redis"`, `url: "http://dashboard.tyk:3000"`, `destinations: ["0.0.0.0/0"]`,
		`command: ["/opt/tyk", "--conf=/etc/tyk.conf"]`, `TYK_GW_LOGLEVEL: "warn"`, `"key": "life:time, s"`)
	// Every key of the file is spoken of.
	for _, key := range []string{
		"Server.addr", "Server.certFile", "Server.keyFile", "Tyk.url", "Tyk.secret", "Tyk.org", "Tyk.templates", "Tyk.insecureSkipVerify", "Ingress.watchNamespaces",
		"Injector.createRoutes", "Injector.enableMeshTLS", "Injector.meshCertificateID", "Injector.initContainers", "CA.addr", "CA.key",
		"Injector.containers.name", "Injector.containers.image", "Injector.containers.command", "Injector.containers.ports", "Injector.containers.resources", "TYK_GW_STORAGE_HOST", "TYK_GW_STORAGE_PORT",
		"TYK_GW_STORAGE_USESSL", "TYK_GW_STORAGE_PASSWORD", "TYK_GW_NODESECRET", "TYK_GW_SECRET", "TYK_GW_LOGLEVEL", "TYK_GW_GLOBALSESSIONLIFETIME",
	} {
		wantLine(t, c, ": "+key+": ")
	}
	text := c.file("bundle/templates/sidecar.cue")
	if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
		t.Errorf("sidecar.cue is not formatted (%v):\n%s", err, cmp.Diff(string(formatted), text))
	}
	// What is written can be read: the bundle, and the configuration.
	all, err := txtar.FS(c.Files)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := fs.Sub(all, "bundle")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), bundle); err != nil {
		t.Error(err)
	}
	var config struct{ OrgID string }
	if err := yaml.Unmarshal([]byte(c.file("cuegate.yaml")), &config); err != nil || config.OrgID != "5e9d9544a1dcd60001d0ed20" {
		t.Errorf("cuegate.yaml: %v %v", config, err)
	}
}

// TestConfigSecrets: a secret is in no file and no line, wherever it stands.
func TestConfigSecrets(t *testing.T) {
	stories := []string{
		fullConfig,
		"Tyk: {secret: hunter2, url: 'http://user:hunter2@dashboard:3000'}",
		"tyk: {SECRET: hunter2}\nca: {mongoConnStr: 'mongodb://a:hunter2@b', x: {y: hunter2}}",
		"Tyk: {secrt: hunter2}",
		"Injector: {containers: [{env: [{name: TYK_GW_STORAGE_PASSWORD, value: hunter2}, {name: TYK_GW_NODESECRET, value: hunter2}]}]}",
		"Injector: {containers: [{env: [{name: SOME_TOKEN, value: hunter2}, {name: LICENSE, value: hunter2}, {name: TYK_GW_ANALYTICSCONFIG_MONGOURL, value: hunter2}]}]}",
		"Injector: {containers: [{env: [{name: TYK_GW_STORAGE_HOSTS, value: 'redis://:hunter2@redis:6379'}, {name: PROXY, value: 'http://u:hunter2@p'}]}]}",
		"Injector: {containers: [{env: [{name: TYK_GW_DBAPPCONFOPTIONS_CONNECTIONSTRING, value: 'http://u:hunter2@p'}]}]}",
		"Injector: {containers: [{name: a, image: tyk-gateway}, {name: b, env: [{name: X, value: hunter2}]}], initContainers: [{name: c, env: [{name: X, value: hunter2}]}]}",
	}
	for _, text := range stories {
		c := convertConfig(t, text, "TK8S_TYK_SECRET=hunter2", "TK8S_CA_KEY=hunter2", "TK8S_TYK_NONSENSE=hunter2", "OTHER=hunter2")
		if all := string(txtar.Format(c.Files)) + strings.Join(c.Lines, "\n"); strings.Contains(all, "hunter2") {
			t.Errorf("%s\nis repeated:\n%s", text, all)
		}
		wantLine(t, c, "Tyk.secret: is left to you: put it into the environment variable CUEGATE_SECRET")
	}
}

func TestConfigEnvironment(t *testing.T) {
	c := convertConfig(t, "Tyk: {org: file, url: 'http://a:3000'}", "TK8S_TYK_ORG=environment", "TK8S_INGRESS_WATCHNAMESPACES=shop,cafe", "TK8S_TYK_ISGATEWAY=TRUE")
	wantIn(t, c, "cuegate.yaml", `orgID: "environment"`, "mode: gateway")
	wantIn(t, c, "bundle/policies/data.yaml", `["shop", "cafe"]`)
	wantLine(t, c, "TK8S_TYK_ORG: Tyk.org: is now orgID")
}

func TestConfigEditions(t *testing.T) {
	c := convertConfig(t, "Tyk: {url: 'http://localhost:9696', isGateway: true}")
	wantIn(t, c, "run.sh", "--sidecar")
	if c.Left != 0 {
		t.Errorf("%v", c.Lines)
	}
	c = convertConfig(t, "Tyk: {url: 'http://gateway.tyk:9696', isGateway: true}\nInjector: {createRoutes: true}")
	wantIn(t, c, "run.sh", "--mesh \\\n\t--mesh-push \\\n\t--webhook :9443")
	wantLine(t, c, "--gateway-service NAMESPACE/NAME:PORT")
	c = convertConfig(t, "Tyk: {url: 'https://admin.cloud.tyk.io', isHybrid: true}")
	wantIn(t, c, "cuegate.yaml", "mode: dashboard")
	wantLine(t, c, "`slug: in.path`")
}

// TestConfigLeft: what is not moved is told, with its place.
func TestConfigLeft(t *testing.T) {
	stories := []struct{ text, want string }{
		{"Tyk:\n  ulr: http://a", "tyk-k8s.yaml:2:3: Tyk.ulr: TODO: the old controller had no such key, and nothing comes of it; did you mean Tyk.url?"},
		{"Tyk: {url: 'dashboard:3000'}", "tyk-k8s.yaml:1:7: Tyk.url: TODO: it is no URL with http or https"},
		{"Tyk: {isGateway: maybe}", "Tyk.isGateway: TODO: it is neither true nor false"},
		{"Tyk: {isGateway: true, isHybrid: true}", "Tyk.isHybrid: TODO: it contradicts isGateway"},
		{"Tyk: {url: 'http://localhost:9696', isGateway: true}\nInjector: {createRoutes: true}", "Tyk.url: TODO: a controller in the pod of each gateway cannot look after a mesh too"},
		{"Injector: {createRoutes: false}", "Injector.createRoutes: TODO: a workload with a sidecar always has its routes"},
		{"Injector: {initContainers: [{name: migrate-db, image: busybox}]}", "Injector.initContainers: TODO: the container migrate-db is not converted"},
		{"Injector: {containers: [{image: tyk-gateway, volumeMounts: []}]}", "Injector.containers.volumeMounts: TODO: it is not converted"},
		{"Injector: {containers: [{image: tyk-gateway}, {name: helper}]}", "Injector.containers: TODO: the container helper is not converted"},
		{"Server: {certFile: a}\nInjector: {createRoutes: true}", "Server.certFile: TODO: there is no keyFile beside it"},
		{"Injector: {containers: [{image: tyk-gateway, resources: {limits: 5}}]}", "bundle/templates/sidecar.cue:"},
		{"Injector: {containers: [{env: [{name: TYK_GW_DBAPPCONFOPTIONS_CONNECTIONSTRING, value: a}, {name: TYK_GW_POLICIES_POLICYCONNECTIONSTRING, value: b}]}]}", "it differs from the other URL of the Dashboard"},
	}
	for _, s := range stories {
		c := convertConfig(t, s.text)
		wantLine(t, c, s.want)
		if c.Left == 0 {
			t.Errorf("%s: nothing is left", s.text)
		}
	}
	for _, text := range []string{"a: [", "- a", "just text"} {
		if _, err := ConvertConfig(context.Background(), cuegate.Builtin(), "tyk-k8s.yaml", []byte(text), nil); err == nil {
			t.Errorf("%q was taken for a configuration", text)
		}
	}
	if c := convertConfig(t, ""); c.Left != 0 || len(c.Lines) != 0 || c.file("bundle/policies/data.yaml") != "" {
		t.Errorf("of an empty file comes %v", c.Lines)
	}
}
