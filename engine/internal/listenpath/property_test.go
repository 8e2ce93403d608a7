package listenpath

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const requestsPerSet = 100

// requests is how many requests a property tries: 24,000, or what the
// environment says.
func requests(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CUEGATE_LISTENPATH_REQUESTS")
	if text == "" {
		return 24_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CUEGATE_LISTENPATH_REQUESTS=%q is not a number of requests", text)
	}
	return n
}

// seed is the seed of a property: fixed, or what the environment says.
func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("CUEGATE_LISTENPATH_SEED")
	if text == "" {
		return 1
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("CUEGATE_LISTENPATH_SEED=%q is not a seed", text)
	}
	return n
}

// load writes rules as APIs.
func load(t *testing.T, rng *rand.Rand, rules []rule, mode Mode) []api {
	t.Helper()
	apis := make([]api, len(rules))
	for i, r := range rules {
		route := r.parse(t, rng)
		domain, _, err := Domain(r.host)
		if err != nil {
			t.Fatal(err)
		}
		listenPath, err := route.Encode(mode)
		if err != nil {
			t.Fatal(err)
		}
		apis[i] = api{domain, listenPath}
	}
	return apis
}

func (r rule) parse(t *testing.T, rng *rand.Rand) Route {
	t.Helper()
	if r.isDefault {
		return DefaultBackend()
	}
	route, err := Parse(r.host, r.written(rng), r.pathType)
	if err != nil {
		t.Fatal(err)
	}
	return route
}

// loadNaively writes rules as most people would: the path is the listen path.
func loadNaively(rules []rule) []api {
	apis := make([]api, len(rules))
	for i, r := range rules {
		listenPath := "/" + strings.Join(rule{path: r.path + "/"}.elements(), "/")
		domain := r.host
		if rest, wildcard := strings.CutPrefix(r.host, "*"); wildcard {
			domain = "{?:[^.]+}" + rest
		}
		apis[i] = api{domain, listenPath}
	}
	return apis
}

// tally counts what became of the requests.
type tally struct {
	requests, redirected, unmatched, wrong, refused int
}

// compare sends random requests to the gateway and asks the model. Wrong is an
// answer, in any order the gateway may have, of another backend than the model's;
// refused is a 404 where the model has a backend.
func compare(t *testing.T, rng *rand.Rand, g *gateway, rules []rule, vocabulary []string, found *tally, report func(host, path string, want, got int)) {
	t.Helper()
	for range requestsPerSet {
		host, path := pick(rng, requestHosts), generatePath(rng, rules, vocabulary)
		found.requests++
		r := request(t, host, path)
		served := g.serve(r)
		if !cleaned(path) {
			if served != redirected {
				t.Fatalf("path %q was not cleaned", path)
			}
			found.redirected++
			continue
		}
		name, _, _ := strings.Cut(host, ":")
		want := kubernetesBackend(rules, name, path)
		if want == nobody {
			found.unmatched++
		}
		answers := append(g.possible(r), served)
		bad, is404 := want, false
		for _, got := range answers {
			if got == nobody && want != nobody {
				is404 = true
			} else if got != want {
				bad = got
			}
		}
		switch {
		case bad != want:
			found.wrong++
			report(host, path, want, bad)
		case is404:
			found.refused++
			report(host, path, want, nobody)
		case want != nobody:
			if got, rest := g.stripped(want, path), rules[want].remainder(path); got != rest {
				t.Errorf("%q stripped of %q is %q, want %q", path, g.apis[want].listenPath, got, rest)
			}
		}
	}
}

// TestKubernetesSemantics is what the package is for: no request of any rule set
// reaches another backend than Kubernetes wants, on a gateway with strict routes
// or without, in whatever order the gateway puts routes of one length.
func TestKubernetesSemantics(t *testing.T) {
	var found tally
	rng := rand.New(rand.NewPCG(seed(t), 1))
	for found.requests < requests(t) && !t.Failed() {
		rules, vocabulary := generateRules(rng, true)
		g := newGateway(t, rng, load(t, rng, rules, Templated), rng.IntN(2) == 0)
		compare(t, rng, g, rules, vocabulary, &found, func(host, path string, want, got int) {
			t.Errorf("%s %q: backend %d, want %d of\n%s", host, path, got, want, describe(rules, g.apis))
		})
	}
	t.Logf("%+v", found)
}

// TestPlainMode: on a gateway with strict routes the only deviation is a 404 that
// strict routes give where a shorter path should have been asked.
func TestPlainMode(t *testing.T) {
	var found tally
	rng := rand.New(rand.NewPCG(seed(t), 2))
	for found.requests < requests(t) && !t.Failed() {
		rules, vocabulary := generateRules(rng, false)
		g := newGateway(t, rng, load(t, rng, rules, Plain), true)
		compare(t, rng, g, rules, vocabulary, &found, func(host, path string, want, got int) {
			if got != nobody || !g.claimed(path) {
				t.Errorf("%s %q: backend %d, want %d of\n%s", host, path, got, want, describe(rules, g.apis))
			}
		})
	}
	t.Logf("%+v", found)
}

// TestNaivePathsAreWrong shows that the properties above can fail: the same
// comparison finds wrong backends when the path is taken as the listen path.
func TestNaivePathsAreWrong(t *testing.T) {
	for _, strict := range []bool{false, true} {
		var found tally
		rng := rand.New(rand.NewPCG(seed(t), 3))
		for found.requests < requests(t)/4 {
			rules, vocabulary := generateRules(rng, true)
			rules = withoutRefused(rules)
			g := newGateway(t, rng, loadNaively(rules), strict)
			compare(t, rng, g, rules, vocabulary, &found, func(string, string, int, int) {})
		}
		if found.wrong*20 < found.requests {
			t.Errorf("strict %v: only %d of %d requests went wrong", strict, found.wrong, found.requests)
		}
		t.Logf("strict %v: %+v", strict, found)
	}
}

// withoutRefused leaves out the rules whose path the gateway refuses as it is.
func withoutRefused(rules []rule) []rule {
	kept := slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return strings.ContainsAny(r.path, "{} ") })
	if len(kept) == 0 {
		return []rule{{isDefault: true}}
	}
	return kept
}

// TestKeys: two routes have one key if and only if the model cannot tell them
// apart; then their listen paths are one, and else they differ on one domain.
func TestKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 4))
	for range requests(t) / 1000 {
		rules, _ := generateRules(rng, true)
		for _, r := range rules {
			twin := r // the same path with or without trailing slash, of another type
			twin.path, twin.pathType = strings.TrimSuffix(r.path, "/")+"/", pick(rng, allTypes)
			if !r.isDefault {
				rules = append(rules, twin)
			}
		}
		for _, mode := range []Mode{Templated, Plain} {
			checkKeys(t, rng, rules, mode)
		}
	}
}

func checkKeys(t *testing.T, rng *rand.Rand, rules []rule, mode Mode) {
	t.Helper()
	if mode == Plain {
		rules = slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return strings.HasPrefix(r.host, "*") })
	}
	apis := load(t, rng, rules, mode)
	for i, a := range rules {
		for j, b := range rules[:i] {
			same := a.parse(t, rng).MatchKey() == b.parse(t, rng).MatchKey()
			if same != indistinct(a, b) {
				t.Fatalf("%+v and %+v: same key %v", a, b, same)
			}
			if same != (apis[i] == apis[j]) {
				t.Fatalf("%+v and %+v: same key %v, but %q and %q", a, b, same, apis[i], apis[j])
			}
		}
	}
}

// indistinct asks the model for each rule alone with requests that tell any two
// rules apart.
func indistinct(a, b rule) bool {
	if a.isDefault || b.isDefault {
		return a.isDefault == b.isDefault
	}
	for _, host := range []string{a.host, b.host, "other.test"} {
		host = strings.Replace(host, "*", "q7", 1)
		for _, p := range []string{a.path, b.path} {
			p = strings.TrimSuffix(p, "/")
			for _, path := range []string{p, p + "/", p + "/q"} {
				if path == "" || host == "" {
					continue
				}
				if kubernetesBackend([]rule{a}, host, path) != kubernetesBackend([]rule{b}, host, path) {
					return false
				}
			}
		}
	}
	return true
}

// describe lists rules for a failure.
func describe(rules []rule, apis []api) string {
	var b strings.Builder
	for i, r := range rules {
		b.WriteString(strconv.Itoa(i) + " " + r.host + " " + string(r.pathType) + " " + strconv.Quote(r.path))
		b.WriteString(" -> " + apis[i].listenPath + "\n")
	}
	return b.String()
}
