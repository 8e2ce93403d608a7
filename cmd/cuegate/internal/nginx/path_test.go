package nginx

import (
	"cmp"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/mux"
)

// served is what becomes of a request: which path took it, and what the service is asked.
type served struct{ by, asked string }

var groupOf = regexp.MustCompile(`\$[1-9]`)

// expand puts groups into a target; those that there are not are empty.
func expand(target string, groups []string) string {
	return groupOf.ReplaceAllStringFunc(target, func(v string) string {
		if n := int(v[1] - '0'); n < len(groups) {
			return groups[n]
		}
		return ""
	})
}

// onNginx models ingress-nginx: locations in order of length, and `rewrite`.
func onNginx(paths []string, target string) func(request string) served {
	paths = slices.Clone(paths)
	slices.SortStableFunc(paths, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var locations []*regexp.Regexp
	for _, p := range paths {
		locations = append(locations, regexp.MustCompile("(?i)^"+p))
	}
	return func(request string) served {
		for i, p := range paths {
			groups := locations[i].FindStringSubmatch(request)
			switch {
			case groups == nil:
			case target == "" || target == p:
				return served{p, request}
			default:
				return served{p, expand(target, groups)}
			}
		}
		return served{}
	}
}

// onGateway models the gateway: the router's own regular expression for each listen path,
// the longest as the gateway counts first.
func onGateway(t *testing.T, paths []string, target string) func(request string) served {
	t.Helper()
	type api struct {
		path          string
		plan          pathPlan
		listen, match *regexp.Regexp
	}
	var apis []api
	for _, p := range paths {
		plan, err := planPath(p, target)
		if err != nil {
			t.Fatalf("%s: %s", p, err)
		}
		if plan.listen == "" {
			plan.listen = "/{path_prefix:(?:|/)}"
		}
		source, err := new(mux.Route).PathPrefix(plan.listen).GetPathRegexp()
		if err != nil {
			t.Fatalf("%s: %s", plan.listen, err)
		}
		apis = append(apis, api{p, plan, regexp.MustCompile(source), regexp.MustCompile(plan.match)})
	}
	slices.SortStableFunc(apis, func(a, b api) int { return cmp.Compare(counts(b.plan.listen), counts(a.plan.listen)) })
	return func(request string) served {
		for _, a := range apis {
			switch {
			case !a.listen.MatchString(request):
			case a.plan.strip:
				return served{a.path, a.plan.prefix + "/" + strings.TrimPrefix(a.listen.ReplaceAllString(request, ""), "/")}
			case a.plan.match != "":
				groups := a.match.FindStringSubmatch((&url.URL{Path: request}).String())
				if groups == nil {
					t.Fatalf("%s does not match %q, which the listen path let in", a.plan.match, request)
				}
				return served{a.path, expand(a.plan.to, groups)}
			default:
				return served{a.path, request}
			}
		}
		return served{}
	}
}

// counts is the length of a listen path as the gateway counts it.
func counts(listen string) int {
	n := len(listen)
	for s := range strings.SplitSeq(listen, "/") {
		if strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") {
			n -= len(s)
		}
	}
	return n
}

// TestPathsMeanTheSame sends requests to a model of ingress-nginx and one of the gateway.
func TestPathsMeanTheSame(t *testing.T) {
	elements := []string{"api", "API", "apis", "v1", "v12", "users", "17", "x.y", "a-b", ""}
	random := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		target string
		paths  []string
	}{
		{"", []string{"/", "/api", "/api/v1", "/API/v1/users"}},
		{"", []string{"/api/v[0-9]+/", "/api", "/(api|users)/17", "/[a-z]{3}", "/x.y"}},
		{"/$2", []string{"/api(/|$)(.*)", "/users(/|$)(.*)", "/api/v1(/|$)(.*)"}},
		{"/v2/$2", []string{"/api(/|$)(.*)"}},
		{"/$1", []string{"/api/(.*)", "/users/?(.*)", "/(.*)"}},
		{"/app/$1", []string{"/(.*)"}},
		{"/", []string{"/api", "/users/17"}},
		{"/u/$2/of/$1", []string{"/([a-z]+)/([0-9]+)", "/(v[0-9]+)/(.*)$"}},
		{"/same", []string{"/same"}},
	} {
		nginx, gateway := onNginx(test.paths, test.target), onGateway(t, test.paths, test.target)
		for range 2000 {
			request := ""
			for range 1 + random.IntN(4) {
				request += "/" + elements[random.IntN(len(elements))]
			}
			request = strings.ReplaceAll(strings.ReplaceAll(request, "//", "/"), "//", "/") // as both do
			want, got := nginx(request), gateway(request)
			if got != want {
				t.Fatalf("paths %q, rewrite-target %q: %s is %+v on the gateway, and %+v on ingress-nginx", test.paths, test.target, request, got, want)
			}
		}
	}
}

func TestPathsThatCannotBeCarriedOver(t *testing.T) {
	for _, test := range []struct{ path, target, want string }{
		{"/api(", "", "no regular expression of RE2"},
		{"/(?=x)", "", "no regular expression of RE2"},
		{"/?(.*)", "/$1", "begins with an optional or repeated slash"},
		{"/a|/b", "", "alternatives outside of parentheses"},
		{"/a", "https://example.com/$1", "does not begin with a slash"},
		{"/a", "/x$host", "a variable other than $1 to $9"},
		{"/a", "/$secret_env.X", "a variable other than $1 to $9"},
		{"/a", "/x$", "a variable other than $1 to $9"},
		{"/(a)(a)(a)(a)(a)(a)(a)(a)(a)", "/$9", "more than eight groups"},
		{"/a", "/b c", "characters that no path has"},
	} {
		_, err := planPath(test.path, test.target)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("path %q, rewrite-target %q: %v, and not %q", test.path, test.target, err, test.want)
		}
	}
}

// TestQueryStays: the gateway compares path and query in one, and nginx the path alone.
func TestQueryStays(t *testing.T) {
	for _, test := range []struct{ path, target, request, want string }{
		{"/old", "/", "/old/x?a=/old", "/?a=/old"},
		{"/old/(.*)/x", "/new/$1", "/old/1/x/?q=9/x", "/new/1?q=9/x"},
		{"/old/([^/]*)", "/new?id=$1", "/old/1?q=9", "/new?id=1&q=9"},
		{"/old/(.*)$", "/new?id=$1", "/old/1?q=9", "/new?id=1&q=9"},
		{"/old", "/new", "/OLD", "/new"},
	} {
		plan, err := planPath(test.path, test.target)
		if err != nil {
			t.Fatal(err)
		}
		groups := regexp.MustCompile(plan.match).FindStringSubmatch(test.request)
		if groups == nil {
			t.Fatalf("%s does not match %s", plan.match, test.request)
		}
		got := expand(plan.to, groups)
		if got != test.want {
			t.Errorf("path %s, rewrite-target %s: %s becomes %s, and not %s", test.path, test.target, test.request, got, test.want)
		}
	}
}
