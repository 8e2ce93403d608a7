package dashboardtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	tea := wrapped(`{"api_id":"tea"}`)
	for _, story := range []struct {
		name   string
		faults Faults
		status int
		there  bool // whether the definition is stored afterwards
	}{
		{"none", Faults{}, 200, true},
		{"an error has no effect", Faults{ErrorShare: 1}, 500, false},
		{"a lost write looks like a success", Faults{LostWriteShare: 1}, 200, false},
		{"latency", Faults{Latency: time.Microsecond}, 200, true},
	} {
		t.Run(story.name, func(t *testing.T) {
			d := New(Config{Key: testKey, OrgID: testOrg})
			d.SetFaults(func(f *Faults) { *f = story.faults })
			step{"POST /api/apis", tea, story.status, []string{`"Status":`, `"Meta":`}, nil}.run(t, d)
			d.SetFaults(func(f *Faults) { *f = Faults{} })
			if got := d.APIs() != nil; got != story.there {
				t.Errorf("stored: %t, want %t", got, story.there)
			}
		})
	}
}

// TestLostWrites loses changes and deletions too, and answers reads truly.
func TestLostWrites(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	step{"POST /api/apis", wrapped(`{"api_id":"tea","name":"Tea"}`), 200, nil, nil}.run(t, d)
	before := stored(d)
	d.SetFaults(func(f *Faults) { f.LostWriteShare = 1 })
	for _, s := range []step{
		{"PUT /api/apis/tea", wrapped(`{"name":"Mate"}`), 200, nil, nil},
		{"DELETE /api/apis/tea", "", 200, nil, nil},
		{"DELETE /api/apis/mate", "", 404, nil, nil},
		{"POST /api/apis", wrapped(`{}`), 200, []string{databaseID(2)}, nil},
		{"POST /api/apis", wrapped(`{}`), 200, []string{databaseID(3)}, nil},
		{"GET /api/apis/tea", "", 200, []string{"Tea"}, nil},
	} {
		s.run(t, d)
	}
	if got := stored(d); got != before {
		t.Errorf("got %s, want %s", got, before)
	}
}

// TestDrop asks over a connection: half of the drops come after the effect.
func TestDrop(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	server := httptest.NewServer(d)
	defer server.Close()
	d.SetFaults(func(f *Faults) { f.DropShare = 1 })
	const requests = 40
	for range requests {
		r, err := http.NewRequest(http.MethodPost, server.URL+"/api/apis", strings.NewReader(wrapped(`{}`)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", testKey)
		if answer, err := server.Client().Do(r); err == nil {
			_ = answer.Body.Close()
			t.Errorf("an answer came: %s", answer.Status)
		}
	}
	if got := len(d.APIs()); got == 0 || got == requests {
		t.Errorf("%d of %d had their effect", got, requests)
	}
	if got := d.Calls()["POST /api/apis"]; got != requests {
		t.Errorf("%d calls were counted", got)
	}
}

// TestLatencyEnds when the client gives up, and then nothing has happened.
func TestLatencyEnds(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	d.SetFaults(func(f *Faults) { f.Latency = time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/apis", strings.NewReader(wrapped(`{}`)))
	r.Header.Set("Authorization", testKey)
	d.ServeHTTP(httptest.NewRecorder(), r)
	if got := d.APIs(); got != nil {
		t.Errorf("got %s", got)
	}
}

func TestSeed(t *testing.T) {
	roll := func(f Faults) (hit []bool) {
		var d dice
		d.change(func(faults *Faults) { *faults = f })
		for i := range 200 {
			hit = append(hit, d.draw(i%2 == 0).fails)
		}
		return hit
	}
	first := roll(Faults{ErrorShare: 0.3, Seed: 7})
	if !slices.Equal(first, roll(Faults{ErrorShare: 0.3, Seed: 7, DropShare: 0.5, LostWriteShare: 0.5})) {
		t.Error("other faults change whom the errors hit")
	}
	if slices.Equal(first, roll(Faults{ErrorShare: 0.3, Seed: 8})) {
		t.Error("another seed hits the same")
	}
	count := 0
	for _, hit := range first {
		if hit {
			count++
		}
	}
	if count < 30 || count > 90 {
		t.Errorf("%d of 200 were hit, with a share of 0.3", count)
	}
}
