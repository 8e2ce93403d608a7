package dashboardtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Config says whom the Dashboard serves and how it behaves.
type Config struct {
	// Key is the API access key of the user, as it stands in the header. Where it is
	// empty there is no user, until somebody makes one.
	Key string
	// OrgID is the organisation of the user, and of all that the user makes.
	OrgID string
	// AdminSecret opens the admin API. Where it is empty, nothing does.
	AdminSecret string
	// Version are the differences between the versions of the Dashboard.
	Version Behaviour
}

// Dashboard is an http.Handler that answers as a Tyk Dashboard is documented to.
// Its methods may be called at any time, also while it serves.
type Dashboard struct {
	config Config
	mux    *http.ServeMux

	mu    sync.Mutex // guards all below
	state state
	calls map[string]int
	dice  dice
}

// New makes a Dashboard that knows no definition and no certificate.
func New(c Config) *Dashboard {
	d := &Dashboard{config: c, mux: http.NewServeMux(), calls: map[string]int{}}
	d.route("GET /hello", d.hello)
	for pattern, e := range map[string]endpoint{
		"POST /api/apis":         d.createAPI,
		"GET /api/apis":          d.listAPIs,
		"GET /api/apis/{id}":     d.getAPI,
		"PUT /api/apis/{id}":     d.updateAPI,
		"DELETE /api/apis/{id}":  d.deleteAPI,
		"POST /api/certs":        d.createCertificate,
		"GET /api/certs":         d.listCertificates,
		"GET /api/certs/{id}":    d.getCertificate,
		"DELETE /api/certs/{id}": d.deleteCertificate,
		"GET /api/users":         d.listUsers,
		"DELETE /api/users/{id}": d.deleteUser,

		"POST /api/users/{id}/actions/reset":    d.setPassword,
		"PUT /api/users/{id}/actions/key/reset": d.renewKey,
	} {
		d.route(pattern, d.authorised(e))
	}
	for pattern, e := range map[string]endpoint{
		"GET /admin/organisations":  d.listOrganisations,
		"POST /admin/organisations": d.createOrganisation,
		"POST /admin/users":         d.createUser,
		"GET /admin/users/{id}":     d.getUser,
	} {
		d.route(pattern, d.forAdmin(e))
	}
	return d
}

// An endpoint answers one request. It may change the state that it is given, and
// never what the state points to: the state may be a copy to be thrown away, and
// answers are written when others are at work again.
type endpoint func(*state, *http.Request) answer

func (d *Dashboard) route(pattern string, e endpoint) {
	d.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, e) })
}

// authorised lets an endpoint answer only those who show the key of a user.
func (d *Dashboard) authorised(e endpoint) endpoint {
	return func(s *state, r *http.Request) answer {
		u := d.userOf(s, r.Header.Get(keyHeader))
		if u == nil {
			return failure(statusNotAuthorised, messageNotAuthorised)
		}
		return e(s, r.WithContext(context.WithValue(r.Context(), callerKey{}, u)))
	}
}

// ServeHTTP implements http.Handler. A connection is dropped by a panic with
// http.ErrAbortHandler, which http.Server understands and a recorder does not.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// serve reads the whole body first, so that no slow client holds up the others.
func (d *Dashboard) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	fate := d.arrive(r)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		failure(statusMalformed, messageMalformed).write(w)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !wait(r.Context(), fate.latency) {
		return // the client is gone, and nothing happened
	}
	if fate.dropBefore {
		panic(http.ErrAbortHandler)
	}
	if fate.fails {
		failure(statusFault, messageFault).write(w)
		return
	}
	a := d.do(e, r, fate.loses)
	if fate.dropAfter {
		panic(http.ErrAbortHandler)
	}
	a.write(w)
}

// arrive counts a request, and draws what shall happen to it.
func (d *Dashboard) arrive(r *http.Request) fate {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[r.Pattern]++
	return d.dice.draw(r.Method != http.MethodGet)
}

// do lets the endpoint work on the state, or on a copy when the effect shall be
// lost. An id that was given away is not given away again even so.
func (d *Dashboard) do(e endpoint, r *http.Request, lost bool) answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !lost {
		return e(&d.state, r)
	}
	forgotten := d.state.clone()
	a := e(&forgotten, r)
	d.state.made, d.state.people, d.state.keys = forgotten.made, forgotten.people, forgotten.keys
	return a
}

// wait tells whether the time passed before the client gave up.
func wait(ctx context.Context, latency time.Duration) bool {
	if latency <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Calls gives how often each endpoint was called, by its pattern, such as
// "PUT /api/apis/{id}". Calls that were refused or met a fault are counted too;
// requests for what the Dashboard does not serve are not.
func (d *Dashboard) Calls() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.calls)
}

// ResetCalls begins to count anew.
func (d *Dashboard) ResetCalls() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.calls)
}

// APIs gives the stored definitions, sorted by api_id.
func (d *Dashboard) APIs() []json.RawMessage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.definitions()
}

// Put writes a definition past the API, as somebody's hand would: over the one
// that has its api_id, or as a new one. Nothing is checked, and what it says of
// its organisation stays; a missing api_id or org_id is filled in.
func (d *Dashboard) Put(definition json.RawMessage) error {
	def, err := parseDefinition(definition)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if def.text(fieldOrgID) == "" {
		def.set(fieldOrgID, d.config.OrgID)
	}
	old := d.state.byAPIID(def.text(fieldAPIID))
	if old == nil {
		d.state.add(api{def: def})
		return nil
	}
	changed := *old
	changed.def = def
	d.state.replace(old, changed)
	return nil
}

// Remove takes a definition away past the API, by its api_id or its id in the
// database, and tells whether it was there.
func (d *Dashboard) Remove(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.state.find(id)
	if a == nil {
		return false
	}
	d.state.remove(a)
	return true
}

// Lose empties the database: definitions, certificates, organisations and users, but
// for the user of the Config.
func (d *Dashboard) Lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = state{made: d.state.made, people: d.state.people, keys: d.state.keys}
}

// SetFaults changes what goes wrong from now on, and rolls the dice anew from the
// seed.
func (d *Dashboard) SetFaults(change func(*Faults)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dice.change(change)
}
