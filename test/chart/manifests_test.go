package chart

import (
	"flag"
	"log"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The main module's `make update` looks for such flags, and cannot run this module.
const updateName = "update"

var update = flag.Bool(updateName, false, "write the manifests in deploy")

// binary is where the program is built.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "cuegate-chart-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if dir, err = filepath.Abs(dir); err != nil {
			log.Fatal(err)
		}
		binary = filepath.Join(dir, "cuegate")
		flag.Parse()
		return m.Run()
	}())
}

// plain are the manifests for people without Helm. The chart would make a secret of its
// own; a file that everybody shares cannot, so these name one that is made by hand.
var plain = map[string]struct{ about, given string }{
	"install-ce.yaml": {
		"Community Edition, from nothing: the controller, a gateway, and a Redis for a try.",
		`{tyk: {secret: {existing: cuegate-tyk}}}`,
	},
	"install-ce-sidecar.yaml": {
		"Community Edition with a controller in each pod of the gateway, and a Redis for a try.",
		`{placement: sidecar, tyk: {secret: {existing: cuegate-tyk}}}`,
	},
	"install-mesh.yaml": {
		"Community Edition as in install-ce.yaml, and the mesh with its webhook.",
		`{tyk: {secret: {existing: cuegate-tyk}}, mesh: {enabled: true}}`,
	},
	"install-pro.yaml": {
		"Pro: the controller alone, for the Dashboard at http://dashboard.tyk:3000. The secret is\n# the key of a Dashboard's user; orgID in the ConfigMap is the organisation of that user.",
		`{edition: pro, tyk: {dashboard: "http://dashboard.tyk:3000", secret: {existing: cuegate-tyk}}}`,
	},
}

// The manifests in deploy are what the chart makes. With -update they are written.
func TestPlainManifests(t *testing.T) {
	for name, file := range plain {
		t.Run(name, func(t *testing.T) {
			texts, err := render(t, file.given)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			out.WriteString("# " + file.about + `
#
# Rendered from charts/cuegate: change that. First make the namespace and the secret:
#
#   kubectl create namespace cuegate
#   kubectl -n cuegate create secret generic cuegate-tyk --from-literal=secret=...
#   kubectl apply -f deploy/` + name + `
apiVersion: v1
kind: Namespace
metadata:
  name: cuegate
  labels:
    pod-security.kubernetes.io/enforce: restricted
`)
			for _, template := range slices.Sorted(maps.Keys(texts)) {
				if path.Ext(template) != ".yaml" {
					continue
				}
				for _, doc := range documents(texts[template]) {
					out.WriteString("---\n")
					for line := range strings.Lines(doc + "\n") {
						// Nothing here was made by Helm.
						if strings.Contains(line, "app.kubernetes.io/managed-by:") || strings.Contains(line, "helm.sh/chart:") || strings.TrimSpace(line) == "" {
							continue
						}
						out.WriteString(line)
					}
				}
			}
			target := root + "deploy/" + name
			if *update {
				if err := os.WriteFile(target, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(target)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), out.String()); diff != "" {
				t.Errorf("deploy/%s is not what the chart makes; go -C test/chart test -update writes it (-file +chart):\n%s", name, diff)
			}
			if len(parse(t, name, string(got))) < 10 {
				t.Errorf("deploy/%s holds too little", name)
			}
		})
	}
}
