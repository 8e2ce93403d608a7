package chart

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// The chart grants what the manifests grant with which the end-to-end tests run: not
// less, which would break at run time, and not more.
func TestRights(t *testing.T) {
	for name, test := range map[string]struct {
		given string
		files []string
	}{
		"all namespaces":          {editions["defaults"], []string{"rbac.yaml"}},
		"pro":                     {editions["pro"], []string{"rbac.yaml"}},
		"sidecar":                 {editions["ce sidecar"], []string{"rbac.yaml"}},
		"some namespaces":         {editions["some namespaces"], []string{"rbac-namespaced.yaml"}},
		"mesh":                    {editions["ce mesh"], []string{"rbac.yaml", "rbac-mesh.yaml"}},
		"pro mesh":                {editions["pro mesh"], []string{"rbac.yaml", "rbac-mesh.yaml"}},
		"mesh in some namespaces": {editions["mesh in some namespaces"], []string{"rbac-namespaced.yaml", "rbac-mesh-namespaced.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []runtime.Object
			for _, file := range test.files {
				text, err := os.ReadFile(root + "deploy/" + file)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, parse(t, file, string(text))...)
			}
			if diff := cmp.Diff(grants(t, want), grants(t, objects(t, test.given))); diff != "" {
				t.Errorf("the chart grants something else (-deploy +chart):\n%s", diff)
			}
		})
	}
}

// Without a Secret and a configuration to write, the webhook needs no rights of them.
func TestRightsWithoutOwnCertificate(t *testing.T) {
	for _, edition := range []string{"cert-manager", "own certificate"} {
		for _, grant := range grants(t, objects(t, editions[edition])) {
			if strings.Contains(grant, "mutatingwebhookconfigurations") {
				t.Errorf("%s: %s", edition, grant)
			}
		}
	}
}

// Gateways and what is published in another namespace can be looked at there.
func TestRightsElsewhere(t *testing.T) {
	all := grants(t, objects(t, `{watchNamespaces: [shop], tyk: {gatewayService: "tyk/gateways:9696", secret: {existing: tyk}}, publish: {service: edge/gateway}}`))
	for _, want := range []string{"in tyk: list discovery.k8s.io/endpointslices", "in edge: watch /services"} {
		if !slices.Contains(all, want) {
			t.Errorf("%q is not granted; these are:\n%s", want, strings.Join(all, "\n"))
		}
	}
}

// grants gives what the one service account may do, one verb on one resource a line,
// without what a grant for all namespaces makes needless.
func grants(t *testing.T, all []runtime.Object) []string {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for _, r := range of[*rbacv1.ClusterRole](all) {
		rules["ClusterRole "+r.Name] = r.Rules
	}
	for _, r := range of[*rbacv1.Role](all) {
		rules["Role "+r.Namespace+"/"+r.Name] = r.Rules
	}
	everywhere, there := map[string]bool{}, map[string]map[string]bool{}
	subjects := map[rbacv1.Subject]bool{}
	bind := func(key string, to []rbacv1.Subject, into map[string]bool) {
		for _, s := range to {
			subjects[s] = true
		}
		if len(rules[key]) == 0 {
			t.Errorf("there is a binding for %s, which is not there", key)
		}
		for _, rule := range rules[key] {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						for _, name := range append(slices.Clone(rule.ResourceNames), "")[:max(1, len(rule.ResourceNames))] {
							into[strings.TrimSpace(fmt.Sprintf("%s %s/%s %s", verb, group, resource, name))] = true
						}
					}
				}
			}
		}
		delete(rules, key)
	}
	for _, b := range of[*rbacv1.ClusterRoleBinding](all) {
		bind("ClusterRole "+b.RoleRef.Name, b.Subjects, everywhere)
	}
	for _, b := range of[*rbacv1.RoleBinding](all) {
		if there[b.Namespace] == nil {
			there[b.Namespace] = map[string]bool{}
		}
		bind("Role "+b.Namespace+"/"+b.RoleRef.Name, b.Subjects, there[b.Namespace])
	}
	for key := range rules {
		t.Errorf("%s is bound to nobody", key)
	}
	if len(subjects) != 1 {
		t.Errorf("the subjects are %v", subjects)
	}
	var lines []string
	for _, grant := range slices.Sorted(maps.Keys(everywhere)) {
		lines = append(lines, "everywhere: "+grant)
	}
	for _, ns := range slices.Sorted(maps.Keys(there)) {
		for _, grant := range slices.Sorted(maps.Keys(there[ns])) {
			if !everywhere[grant] {
				lines = append(lines, "in "+ns+": "+grant)
			}
		}
	}
	return lines
}
