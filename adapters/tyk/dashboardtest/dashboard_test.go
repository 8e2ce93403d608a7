package dashboardtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
)

// stored are the definitions of the Dashboard, as one text.
func stored(d *Dashboard) string {
	text, _ := json.Marshal(d.APIs())
	return string(text)
}

func TestHand(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	put := func(definition string) {
		t.Helper()
		if err := d.Put(json.RawMessage(definition)); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"api_id":"tea","name":"Tea"}`)
	put(`{"api_id":"mate","org_id":"other"}`)
	put(`{"api_id":"tea","name":"Edited"}`)
	want := `[{"api_id":"mate","id":"` + databaseID(2) + `","org_id":"other"},` +
		`{"api_id":"tea","id":"` + databaseID(1) + `","name":"Edited","org_id":"` + testOrg + `"}]`
	if got := stored(d); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	step{"GET /api/apis/tea", "", 200, []string{"Edited"}, nil}.run(t, d)
	for id, there := range map[string]bool{databaseID(2): true, "tea": true, "nothing": false} {
		if d.Remove(id) != there {
			t.Errorf("removing %s: want %t", id, there)
		}
	}
	put(`{}`)
	if got := stored(d); !strings.Contains(got, ownAPIID(databaseID(3))) {
		t.Errorf("got %s", got)
	}
	for _, wrong := range []string{``, `null`, `[]`} {
		if err := d.Put(json.RawMessage(wrong)); err == nil {
			t.Errorf("%q was put", wrong)
		}
	}
}

func TestLose(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	tea := wrapped(`{"api_id":"tea"}`)
	step{"POST /api/apis", tea, 200, nil, nil}.run(t, d)
	upload(t, d, selfSigned(t).cert)
	d.Lose()
	if got := d.APIs(); got != nil {
		t.Errorf("got %s", got)
	}
	step{"GET /api/certs?p=-2", "", 200, []string{`"certs":[]`}, nil}.run(t, d)
	// No id of the database is given twice.
	step{"POST /api/apis", tea, 200, []string{databaseID(2)}, nil}.run(t, d)
}

func TestCalls(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	for _, do := range []string{"GET /api/apis?p=-2", "PUT /api/apis/tea", "PUT /api/apis/mate", "GET /nothing"} {
		ask(d, do, "", "")
	}
	want := map[string]int{"GET /api/apis": 1, "PUT /api/apis/{id}": 2}
	got := d.Calls()
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	d.ResetCalls()
	if len(d.Calls()) != 0 || len(got) != 2 {
		t.Errorf("after the reset: %v, and the copy %v", d.Calls(), got)
	}
}

// TestTogether is for the race detector: everything at once, on the same
// definitions.
func TestTogether(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	d.SetFaults(func(f *Faults) { f.LostWriteShare, f.ErrorShare = 0.2, 0.2 })
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				id := fmt.Sprintf("a%d", (i+j)%5)
				ask(d, "POST /api/apis", "", wrapped(`{"api_id":"`+id+`"}`))
				ask(d, "PUT /api/apis/"+id, "", wrapped(`{"name":"`+id+`"}`))
				ask(d, "GET /api/apis?p=-2", "", "")
				ask(d, "DELETE /api/apis/"+id, "", "")
				_ = d.Put(json.RawMessage(`{"api_id":"` + id + `"}`))
				d.Remove(id)
				d.APIs()
			}
		})
	}
	all.Wait()
	if calls := d.Calls(); calls["POST /api/apis"] != 160 {
		t.Errorf("got %v", calls)
	}
}
