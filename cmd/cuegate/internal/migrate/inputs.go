package migrate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"text/template/parse"
	"unicode/utf8"

	"github.com/cuegate/cuegate/engine"
)

// generator makes routes, the same ones in every run.
type generator struct {
	random *rand.Rand
	// words are texts that templates compare with: without them most branches would never
	// be taken.
	words []string
}

func newGenerator(all *sources) *generator {
	g := &generator{random: rand.New(rand.NewPCG(20210131, 25))}
	for _, d := range all.order {
		eachNode(d.tree.Root, func(n parse.Node) {
			if s, ok := n.(*parse.StringNode); ok && s.Text != "" && isHarmless(s.Text) && !strings.Contains(s.Text, "%") {
				g.words = append(g.words, s.Text)
			}
		})
	}
	return g
}

// isHarmless tells whether a text stands in JSON as it is.
func isHarmless(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' })
}

func (g *generator) pick(list ...string) string { return list[g.random.IntN(len(list))] }

func (g *generator) chance(percent int) bool { return g.random.IntN(100) < percent }

// word is one that templates compare with, or one of the list.
func (g *generator) word(list ...string) string {
	if len(g.words) > 0 && g.chance(30) {
		return g.pick(g.words...)
	}
	return g.pick(list...)
}

// label is a name as Kubernetes has them.
func (g *generator) label() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 1+g.random.IntN(12))
	for i := range b {
		b[i] = letters[g.random.IntN(len(letters))]
	}
	return "n" + string(b)
}

// route makes a route with nothing that JSON would have to escape.
func (g *generator) route() engine.TemplateInput {
	service, namespace, port := g.label(), g.label(), 1+g.random.IntN(65535)
	in := engine.TemplateInput{
		ID:   fmt.Sprintf("%016x%016x", g.random.Uint64(), g.random.Uint64()),
		Role: "ingress",
		Org:  g.word("default", "5e9d9544a1dcd60001d0ed20", g.label()),
		Name: g.word(g.label()+":"+service, "cafe-ingress:tea-svc", g.label()+":ünïcode-テスト-🚀", "a'b<c>&d"),
		Slug: g.word(g.label()+"-"+g.label(), "cafe"),
		Path: g.path(), PathType: "ImplementationSpecific",
		Target: g.word(fmt.Sprintf("http://%s.%s:%d", service, namespace, port), fmt.Sprintf("https://%s.%s:8080", service, namespace)),
	}
	in.Host = g.word("", "cafe.example.com", "bücher.example", strings.Join([]string{g.label(), g.label(), "test"}, "."))
	in.Domain, in.ListenPath = in.Host, in.Path
	in.Object.Kind, in.Object.Namespace, in.Object.Name = "Ingress", namespace, g.label()
	in.Namespace.Name = namespace
	in.Service.Name, in.Service.Namespace, in.Service.Port = service, namespace, port
	in.Tags = []string{}
	for range g.random.IntN(6) {
		in.Tags = append(in.Tags, g.word("ingress", "edge", "mesh", g.label(), "größe", "日本", g.label()+"."+g.label()))
	}
	in.Certificates = []string{}
	for range g.random.IntN(4) {
		in.Certificates = append(in.Certificates, g.word(in.Org+fmt.Sprintf("%064x", g.random.Uint64())))
	}
	return in
}

func (g *generator) path() string {
	if len(g.words) > 0 && g.chance(30) {
		if w := g.pick(g.words...); strings.HasPrefix(w, "/") {
			return w
		}
	}
	path := g.pick("/", "/tea", "/tea/", "/a/b/c", "/日本語/路", "/%7Euser", "/a'b&c=<d>", "/v1.0/x-y_z", "/{id}", "/\u00e9\u0301")
	if g.chance(50) {
		path = strings.TrimSuffix(path, "/") + "/" + g.label()
	}
	return path
}

// hostile are texts that mean something to JSON. Each is put behind a value.
var hostile = []string{
	`","use_keyless":true,"x":"`,
	`"},"use_keyless":true,"proxy":{"listen_path":"/`,
	`"`,
	`\`,
	`\"`,
	`\u0022`,
	"\n",
	"\t",
}

// spoil gives the route with a text behind the value of a variable; the text begins in
// every element of a list.
func spoil(in engine.TemplateInput, variable, text string) engine.TemplateInput {
	all := func(list []string) []string {
		out := []string{"a" + text}
		for _, x := range list {
			out = append(out, x+text)
		}
		return out
	}
	switch variable {
	case "Name":
		in.Name += text
	case "Slug":
		in.Slug += text
	case "Org":
		in.Org += text
	case listenPath:
		in.Path += text
		in.ListenPath = in.Path
	case "Target":
		in.Target += text
	case "GatewayTags":
		in.Tags = all(in.Tags)
	case hostName:
		in.Host += text
		in.Domain = in.Host
	case certificateID:
		in.Certificates = all(in.Certificates)
	}
	return in
}
