package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cuegate/cuegate/engine"
)

// A plan is told by text, one line for each object or live definition:
//
//	shop/tea 2026-01-02 managed a:/tea:h1 b:/coffee:h2
//	shop/tea live a:/tea:h1
//
// A definition is ID:PATH:HASH; PATH stands for the match, and for the listen path
// unless ID:PATH:HASH:LISTEN gives another. Age "-" is none.

func planRef(text string) engine.Ref {
	namespace, name, _ := strings.Cut(text, "/")
	return engine.Ref{Kind: "Ingress", Namespace: namespace, Name: name}
}

type planDefinition struct{ id, match, listen, hash string }

func planDefinitions(t *testing.T, words []string) []planDefinition {
	t.Helper()
	var list []planDefinition
	for _, w := range words {
		p := strings.Split(w, ":")
		if len(p) < 3 || len(p) > 4 {
			t.Fatalf("%q is not ID:PATH:HASH", w)
		}
		d := planDefinition{id: p[0], match: "example.com ^ " + p[1], listen: "example.com" + p[1], hash: p[2]}
		if len(p) == 4 {
			d.listen = "example.com" + p[3]
		}
		list = append(list, d)
	}
	return list
}

func planInput(t *testing.T, lines []string) (want []engine.Desired, live []engine.Live) {
	t.Helper()
	for _, line := range lines {
		words := strings.Fields(line)
		owner := planRef(words[0])
		if words[1] == "live" {
			for _, d := range planDefinitions(t, words[2:]) {
				live = append(live, engine.Live{ID: d.id, Owner: owner, Match: d.match, Listen: d.listen, Hash: d.hash})
			}
			continue
		}
		x := engine.Desired{Object: owner, Outcome: engine.Outcome(words[2])}
		if words[1] != "-" {
			x.Created = words[1] + "T00:00:00Z"
		}
		if x.Outcome != engine.Managed {
			x.Reasons = []engine.Reason{{ID: "some-reason", Msg: "Some reason."}}
		}
		for i, d := range planDefinitions(t, words[3:]) {
			x.Definitions = append(x.Definitions, engine.Definition{
				ID: d.id, Field: fmt.Sprintf("spec.rules[0].http.paths[%d]", i), Match: d.match, Listen: d.listen, Hash: d.hash,
				JSON: []byte(`{"api_id":"` + d.id + `"}`),
			})
		}
		want = append(want, x)
	}
	return want, live
}

// planText writes changes as "update a shop/tea", and conflicts as "route-conflict
// b shop/coffee a shop/tea", the winner last.
func planText(t *testing.T, p engine.Plan, conflicts []engine.Conflict) []string {
	t.Helper()
	var lines []string
	for _, c := range p.Changes {
		wantJSON := `{"api_id":"` + c.ID + `"}`
		if c.Action == engine.Delete {
			wantJSON = ""
		}
		if string(c.JSON) != wantJSON {
			t.Errorf("%s %s carries %q", c.Action, c.ID, c.JSON)
		}
		lines = append(lines, fmt.Sprintf("%s %s %s/%s", c.Action, c.ID, c.Owner.Namespace, c.Owner.Name))
	}
	if p.Unchanged > 0 {
		lines = append(lines, fmt.Sprintf("unchanged %d", p.Unchanged))
	}
	var fights []string
	for _, c := range conflicts {
		if c.Reason.Msg == "" || c.Reason.Fix == "" || !strings.Contains(c.Reason.Msg, c.Winner.String()) || c.Reason.Field != c.Field {
			t.Errorf("conflict %+v", c)
		}
		fights = append(fights, fmt.Sprintf("%s %s %s/%s %s %s/%s",
			c.Reason.ID, c.ID, c.Object.Namespace, c.Object.Name, c.WinnerID, c.Winner.Namespace, c.Winner.Name))
	}
	return append(lines, fights...)
}

func TestMakePlan(t *testing.T) {
	for _, tt := range []struct {
		name  string
		input []string
		want  []string
	}{
		{"nothing", nil, nil},
		{"create",
			[]string{"shop/tea 2026-01-02 managed b:/tea:h1 a:/coffee:h2"},
			[]string{"create a shop/tea", "create b shop/tea"}},
		{"unchanged",
			[]string{"shop/tea 2026-01-02 managed a:/tea:h1 b:/coffee:h2", "shop/tea live b:/coffee:h2 a:/tea:h1"},
			[]string{"unchanged 2"}},
		{"another hash",
			[]string{"shop/tea 2026-01-02 managed a:/tea:h2", "shop/tea live a:/tea:h1"},
			[]string{"update a shop/tea"}},
		{"the gateway rewrote the listen path",
			[]string{"shop/tea 2026-01-02 managed a:/tea:h1", "shop/tea live a:/tea:h1:/tea-1"},
			[]string{"update a shop/tea"}},
		{"a route was removed",
			[]string{"shop/tea 2026-01-02 managed a:/tea:h1", "shop/tea live a:/tea:h1 b:/coffee:h2"},
			[]string{"delete b shop/tea", "unchanged 1"}},
		{"deletes, updates, creates, by id",
			[]string{"shop/tea 2026-01-02 managed f:/f:h1 e:/e:h1 d:/d:h1 c:/c:h1", "shop/tea live b:/b:h1 d:/d:h2 a:/a:h1 c:/c:h2"},
			[]string{"delete a shop/tea", "delete b shop/tea", "update c shop/tea", "update d shop/tea", "create e shop/tea", "create f shop/tea"}},
		{"the object is gone",
			[]string{"shop/tea live a:/tea:h1"},
			[]string{"delete a shop/tea"}},
		{"the object is ignored",
			[]string{"shop/tea 2026-01-02 ignored", "shop/tea live a:/tea:h1"},
			[]string{"delete a shop/tea"}},
		{"the object is held",
			[]string{"shop/tea 2026-01-02 refused", "shop/tea live a:/tea:h1 b:/coffee:h1"},
			[]string{"unchanged 2"}},
		{"the object is held and was never served",
			[]string{"shop/tea 2026-01-02 refused"},
			nil},
		{"others go on beside a held object",
			[]string{"shop/tea 2026-01-02 refused", "shop/coffee 2026-01-02 managed c:/coffee:h2", "shop/tea live a:/tea:h1", "shop/coffee live c:/coffee:h1", "shop/milk live m:/milk:h1"},
			[]string{"delete m shop/milk", "update c shop/coffee", "unchanged 1"}},

		{"the older object is served",
			[]string{"shop/b 2026-01-01 managed b:/tea:h1", "shop/a 2026-01-02 managed a:/tea:h1"},
			[]string{"create b shop/b", "route-conflict a shop/a b shop/b"}},
		{"an age is older than none",
			[]string{"a/a - managed a:/tea:h1", "b/b 2030-01-01 managed b:/tea:h1"},
			[]string{"create b b/b", "route-conflict a a/a b b/b"}},
		{"at equal ages by namespace",
			[]string{"b/a 2026-01-01 managed b:/tea:h1", "a/b 2026-01-01 managed a:/tea:h1"},
			[]string{"create a a/b", "route-conflict b b/a a a/b"}},
		{"then by name",
			[]string{"a/b 2026-01-01 managed b:/tea:h1", "a/a 2026-01-01 managed a:/tea:h1"},
			[]string{"create a a/a", "route-conflict b a/b a a/a"}},
		{"without ages by namespace and name",
			[]string{"b/a - managed c:/tea:h1", "a/b - managed b:/tea:h1", "a/a - managed a:/tea:h1"},
			[]string{"create a a/a", "route-conflict b a/b a a/a", "route-conflict c b/a a a/a"}},
		{"the loser is live",
			[]string{"shop/b 2026-01-01 managed b:/tea:h1", "shop/a 2026-01-02 managed a:/tea:h1", "shop/a live a:/tea:h1"},
			[]string{"delete a shop/a", "create b shop/b", "route-conflict a shop/a b shop/b"}},
		{"one route of two is lost",
			[]string{"shop/b 2026-01-01 managed b:/tea:h1", "shop/a 2026-01-02 managed a:/tea:h1 c:/coffee:h1"},
			[]string{"create b shop/b", "create c shop/a", "route-conflict a shop/a b shop/b"}},
		{"one listen path, two matches",
			[]string{"shop/b 2026-01-01 managed b:/tea:h1:/same", "shop/a 2026-01-02 managed a:/coffee:h1:/same"},
			[]string{"create b shop/b", "listen-path-conflict a shop/a b shop/b"}},
		{"one match, two listen paths",
			[]string{"shop/b 2026-01-01 managed b:/tea:h1:/x", "shop/a 2026-01-02 managed a:/tea:h1:/y"},
			[]string{"create b shop/b", "route-conflict a shop/a b shop/b"}},
		{"the winner goes, the loser comes",
			[]string{"shop/a 2026-01-02 managed a:/tea:h1", "shop/b live b:/tea:h1"},
			[]string{"delete b shop/b", "create a shop/a"}},
		{"the winner is ignored, the loser comes",
			[]string{"shop/b 2026-01-01 ignored", "shop/a 2026-01-02 managed a:/tea:h1", "shop/b live b:/tea:h1"},
			[]string{"delete b shop/b", "create a shop/a"}},

		{"a held object keeps its route against a younger one",
			[]string{"shop/b 2026-01-01 refused", "shop/a 2026-01-02 managed a:/tea:h1", "shop/b live b:/tea:h1"},
			[]string{"unchanged 1", "route-conflict a shop/a b shop/b"}},
		{"a held object keeps its listen path against a younger one",
			[]string{"shop/b 2026-01-01 refused", "shop/a 2026-01-02 managed a:/coffee:h1:/same", "shop/b live b:/tea:h1:/same"},
			[]string{"unchanged 1", "listen-path-conflict a shop/a b shop/b"}},
		{"a held object loses its route to an older one",
			[]string{"shop/b 2026-01-02 refused", "shop/a 2026-01-01 managed a:/tea:h1", "shop/b live b:/tea:h1"},
			[]string{"delete b shop/b", "create a shop/a", "route-conflict b shop/b a shop/a"}},
		{"a held object that was never served claims nothing",
			[]string{"shop/b 2026-01-01 refused", "shop/a 2026-01-02 managed a:/tea:h1"},
			[]string{"create a shop/a"}},

		{"live twice",
			[]string{"shop/tea 2026-01-02 managed a:/tea:h1", "shop/tea live a:/tea:h1 a:/tea:h1"},
			[]string{"unchanged 1"}},
		{"live twice, and gone",
			[]string{"shop/tea live a:/tea:h1 a:/tea:h2"},
			[]string{"delete a shop/tea"}},
		{"live twice with other content, and held",
			[]string{"shop/tea 2026-01-02 refused", "shop/tea live a:/tea:h1 a:/coffee:h2"},
			[]string{"unchanged 1"}},
		{"the same names in another namespace are others",
			[]string{"shop/tea 2026-01-02 refused", "cafe/tea live a:/tea:h1"},
			[]string{"delete a cafe/tea"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, live := planInput(t, tt.input)
			plan, conflicts := engine.MakePlan(want, live)
			if got := planText(t, plan, conflicts); !slices.Equal(got, tt.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(tt.want, "\n\t"))
			}
		})
	}
}

// TestMakePlanIgnoresOrder: whatever the order of objects and live definitions,
// the plan and the conflicts are the same.
func TestMakePlanIgnoresOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	outcomes := []string{"managed", "managed", "managed", "refused", "ignored"}
	for range 50 {
		var lines []string
		for i := range 12 {
			age := fmt.Sprintf("2026-01-%02d", 1+rng.IntN(4))
			if rng.IntN(4) == 0 {
				age = "-"
			}
			name := fmt.Sprintf("ns-%d/tea-%d", i%3, i)
			definition := fmt.Sprintf("id-%d:/p%d:h1:/l%d", i, rng.IntN(8), rng.IntN(8))
			switch outcome := outcomes[rng.IntN(len(outcomes))]; outcome {
			case "managed":
				lines = append(lines, name+" "+age+" managed "+definition)
			default:
				lines = append(lines, name+" "+age+" "+outcome)
			}
			if rng.IntN(2) == 0 {
				lines = append(lines, name+" live "+definition)
			}
		}
		want, live := planInput(t, lines)
		plan, conflicts := engine.MakePlan(want, live)
		for range 5 {
			rng.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
			rng.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
			again, fights := engine.MakePlan(want, live)
			if !reflect.DeepEqual(again, plan) || !reflect.DeepEqual(fights, conflicts) {
				t.Fatalf("of\n%s\ncame first\n%v\nand then\n%v", strings.Join(lines, "\n"),
					planText(t, plan, conflicts), planText(t, again, fights))
			}
		}
	}
}

// TestPlanConverges: once a plan is carried out, the next one changes nothing.
func TestPlanConverges(t *testing.T) {
	objects := []engine.Object{
		teaIngress(t, "a", nil),
		teaIngress(t, "b", overridden),
		ingressObject(t, routed("c", "a.example.com", "/tea/", "Prefix", nil)), // in conflict with a
		ingressObject(t, routed("d", "*.example.com", "/tea", "Exact", nil)),
	}
	around := neighbourhood(t, objects...)
	var want []engine.Desired
	for _, o := range objects {
		d, _ := decideOne(t, builtinEngine(), o, around)
		want = append(want, d)
	}
	plan, conflicts := engine.MakePlan(want, nil)
	if len(plan.Changes) != 3 || len(conflicts) != 1 || conflicts[0].Object.Name != "c" {
		t.Fatalf("%v", planText(t, plan, conflicts))
	}
	var live []engine.Live
	for _, c := range plan.Changes {
		l, ok := engine.ParseLive("test", c.JSON)
		if !ok || l.ID != c.ID || l.Owner != c.Owner {
			t.Fatalf("%+v of %s", l, c.JSON)
		}
		live = append(live, l)
	}
	plan, conflicts = engine.MakePlan(want, live)
	if len(plan.Changes) != 0 || plan.Unchanged != 3 || len(conflicts) != 1 {
		t.Errorf("%+v, %d conflicts", plan, len(conflicts))
	}
}

func TestParseLive(t *testing.T) {
	o := teaIngress(t, "tea", nil)
	_, def := decideOne(t, builtinEngine(), o, neighbourhood(t))
	got, ok := engine.ParseLive("test", def.JSON)
	if want := (engine.Live{ID: def.ID, Owner: o.Ref, Match: def.Match, Listen: def.Listen, Hash: def.Hash}); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if l, ok := engine.ParseLive("another", def.JSON); ok {
		t.Errorf("takes %+v of another cluster", l)
	}
	// What the gateway adds or orders otherwise does not matter.
	var doc map[string]any
	if err := json.Unmarshal(def.JSON, &doc); err != nil {
		t.Fatal(err)
	}
	doc["id"], doc["tag_headers"] = "65f0c0ffee65f0c0ffee65f0", nil
	indented, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := engine.ParseLive("test", indented); !ok || !reflect.DeepEqual(l, got) {
		t.Errorf("got %+v, want %+v", l, got)
	}
	for _, text := range []string{
		``, `null`, `[]`, `"x"`, `{}`, `{"api_id":"a"}`,
		`{"api_id":"a","config_data":null}`,
		`{"api_id":"a","config_data":{}}`,
		`{"api_id":"a","config_data":{"cuegate":null}}`,
		`{"api_id":"a","config_data":{"cuegate":true}}`,
		`{"api_id":"a","config_data":{"cuegate":"test"}}`,
		`{"api_id":"a","config_data":{"cuegate":{}}}`,
		`{"api_id":"a","config_data":{"cuegate":{"cluster":"test"}}}`,
		`{"api_id":"a","config_data":{"cuegate":{"cluster":"test","owner":""}}}`,
		`{"api_id":"a","config_data":{"cuegate":{"cluster":"test","owner":"Ingress//tea"}}}`,
		`{"api_id":"a","config_data":{"cuegate":{"cluster":"test","owner":"Ingress/a/b/c"}}}`,
		`{"api_id":"a","config_data":{"cuegate":{"owner":"Ingress/cafe/tea"}}}`,
		`{"api_id":"a","config_data":{"cuegate":{"cluster":"","owner":"Ingress/cafe/tea"}}}`,
		`{"api_id":"a","config_data":{"cuegate":{"cluster":"Test","owner":"Ingress/cafe/tea"}}}`,
		`{"api_id":"a","config_data.cuegate":{"cluster":"test","owner":"Ingress/cafe/tea"}}`,
		`{"api_id":"a","cuegate":{"cluster":"test","owner":"Ingress/cafe/tea"}}`,
	} {
		if l, ok := engine.ParseLive("test", []byte(text)); ok {
			t.Errorf("takes %s as %+v", text, l)
		}
	}
	if l, ok := engine.ParseLive("test", []byte(`{"api_id":"a","config_data":{"cuegate":{"cluster":"test","owner":"Ingress/cafe/tea"}}}`)); !ok || l.Hash != "" {
		t.Errorf("a mark without a hash gives %+v, %v", l, ok)
	}
}
