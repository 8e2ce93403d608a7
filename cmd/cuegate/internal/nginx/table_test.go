package nginx

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// manifest is an Ingress of ingress-nginx with annotations.
func manifest(name, host, path string, annotations ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: %s\n  annotations:\n    example.com/a: b\n", name)
	for i := 0; i+1 < len(annotations); i += 2 {
		fmt.Fprintf(&b, "    %s%s: %q\n", Prefix, annotations[i], annotations[i+1])
	}
	fmt.Fprintf(&b, "spec:\n  ingressClassName: nginx\n  rules: [{host: %s, http: {paths: [{path: %q, pathType: Prefix, backend: {service: {name: svc, port: {number: 80}}}}]}}]\n", host, path)
	return b.String()
}

func migrated(t *testing.T, o Options, manifests ...string) *Migration {
	t.Helper()
	o.Class, o.Namespace = "tyk", "default"
	m, err := Migrate(context.Background(), cuegate.Builtin(), []File{{"in.yaml", []byte(strings.Join(manifests, ""))}}, nil, o, engine.Config{ClusterID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// converted is what becomes of manifests before the engine is asked.
func converted(o Options, manifests ...string) *Migration {
	o.Class, o.Namespace = "tyk", "default"
	return convert([]File{{"in.yaml", []byte(strings.Join(manifests, ""))}}, o, nil)
}

// entry is what became of the annotation of the first Ingress.
func entry(m *Migration, name string) Entry {
	i := slices.IndexFunc(m.Ingresses[0].Entries, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return Entry{}
	}
	return m.Ingresses[0].Entries[i]
}

func TestEveryRowIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Table() {
		if seen[r.Name] {
			t.Errorf("%s stands twice", r.Name)
		}
		seen[r.Name] = true
		if r.Note == "" || !strings.HasSuffix(r.Note, ".") {
			t.Errorf("%s has no note that is a sentence: %q", r.Name, r.Note)
		}
		if !slices.Contains(outcomes, r.Outcome) {
			t.Errorf("%s has the outcome %q", r.Name, r.Outcome)
		}
	}
}

// TestNothingClosedIsServedOpen gives each annotation that protects by itself, with a value
// that switches it on: without a name that accepts the difference nothing is written. Even
// with all of them accepted, nothing of what has no name is.
func TestNothingClosedIsServedOpen(t *testing.T) {
	values := map[string]string{
		"limit-connections": "5", "limit-rps": "5", "limit-rpm": "5", "limit-rate": "5", "global-rate-limit": "5",
		"whitelist-source-range": "10.0.0.0/8", "allowlist-source-range": "10.0.0.0/8", "denylist-source-range": "10.0.0.0/8",
		"auth-type": "basic", "satisfy": "any", "auth-url": "http://auth/", "force-ssl-redirect": "true",
	}
	var rows []Row
	var manifests []string
	for _, r := range Table() {
		closes := r.Accept != "" || r.Outcome == LeftOut || strings.HasPrefix(r.Name, "auth-tls") || r.Name == "satisfy"
		if !closes || strings.HasPrefix(r.Name, "canary-") || strings.HasSuffix(r.Name, "-redirect-code") {
			continue // details that do nothing by themselves
		}
		annotations := []string{r.Name, cmp.Or(values[r.Name], "true")}
		if r.Name == "global-rate-limit" {
			annotations = append(annotations, "global-rate-limit-window", "1m")
		}
		rows = append(rows, r)
		manifests = append(manifests, manifest(r.Name, r.Name+".example.com", "/", annotations...))
	}
	if len(rows) < 40 {
		t.Errorf("only %d annotations protect", len(rows))
	}
	m := migrated(t, Options{}, manifests...)
	for i, r := range rows {
		if got := m.Ingresses[i].Outcome; got != LeftOut {
			t.Errorf("%s is %s", r.Name, got)
		}
	}
	if len(m.Files.Files) > 0 {
		t.Errorf("%d files are written", len(m.Files.Files))
	}
	m = migrated(t, Options{Accept: Acceptable()}, manifests...)
	for i, r := range rows {
		if got := m.Ingresses[i].Outcome; r.Accept == "" && got != LeftOut {
			t.Errorf("%s is %s where everything is accepted, and has no name to be accepted by", r.Name, got)
		}
	}
}

// TestValuesThatAreWrong: what cannot be read protects no less.
func TestValuesThatAreWrong(t *testing.T) {
	var manifests []string
	for _, test := range []struct{ name, value string }{
		{"whitelist-source-range", ""}, {"whitelist-source-range", " , "}, {"whitelist-source-range", "10.0.0.0/8,$remote_addr"}, {"whitelist-source-range", "10.0.0.0/99"},
		{"denylist-source-range", "everybody"}, {"limit-rps", "many"}, {"limit-rps", "-1"}, {"limit-connections", "x"}, {"auth-type", "digest"}, {"auth-type", ""},
		{"satisfy", ""}, {"global-rate-limit", "5"},
	} {
		manifests = append(manifests, manifest(fmt.Sprint("a", len(manifests)), fmt.Sprint("a", len(manifests), ".example.com"), "/", test.name, test.value))
	}
	m := migrated(t, Options{Accept: []string{"client-ip", "limit-scope", "basic-auth"}}, manifests...)
	for _, r := range m.Ingresses {
		if r.Outcome != LeftOut {
			t.Errorf("%s: %+v", r.Outcome, r.Entries)
		}
	}
}

// TestUnknownAnnotations: one that is nearly one that protects may be of another version.
func TestUnknownAnnotations(t *testing.T) {
	m := converted(Options{}, manifest("a", "a.example.com", "/", "proxy-read-timeouts", "5"))
	if e := entry(m, "proxy-read-timeouts"); e.Outcome != Unsupported || !strings.Contains(e.Note, "proxy-read-timeout.") {
		t.Errorf("%+v", e)
	}
	m = converted(Options{}, manifest("a", "a.example.com", "/", "whitelist-source-ranges", "10.0.0.0/8"))
	if e := entry(m, "whitelist-source-ranges"); e.Outcome != LeftOut || e.Accept != "unknown" || e.Value != "" {
		t.Errorf("%+v", e)
	}
}

func TestTwoRatesBecomeOneThatKeepsBoth(t *testing.T) {
	for _, test := range []struct{ a, b, want rateLimit }{
		{rateLimit{5, 1}, rateLimit{4, 60}, rateLimit{4, 60}},
		{rateLimit{5, 1}, rateLimit{300, 60}, rateLimit{5, 1}},
		{rateLimit{5, 1}, rateLimit{120, 60}, rateLimit{2, 1}},
		{rateLimit{5, 1}, rateLimit{30, 60}, rateLimit{5, 60}},
	} {
		for _, got := range []rateLimit{keepBoth(test.a, test.b), keepBoth(test.b, test.a)} {
			if got != test.want {
				t.Errorf("%v and %v: %v, and not %v", test.a, test.b, got, test.want)
			}
			for _, l := range []rateLimit{test.a, test.b} {
				// In any window of l there are as many requests as in the windows of got it spans.
				if windows := max(1, l.per/got.per); got.n*windows > l.n {
					t.Errorf("%v does not keep %v", got, l)
				}
			}
		}
	}
}
