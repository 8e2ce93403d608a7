package contract

import (
	"encoding/json"
	"net/http"
)

// state is the body of /hello and /ready.
type state struct {
	Status      string `json:"status"`
	Version     string `json:"version"`
	Description string `json:"description"`
	Details     map[string]struct {
		Status string `json:"status"`
		Type   string `json:"componentType"`
	} `json:"details"`
}

// health needs no secret. The status of /hello is 200 whatever is wrong, so the body
// has to be read. Source: Tyk Gateway v5.11.1, measured; older ones lack /ready.
func health(p probe) {
	for path, description := range map[string]string{"/hello": "Tyk GW", "/ready": "Tyk GW Ready"} {
		a := p.open(http.MethodGet, path)
		var s state
		if err := json.Unmarshal([]byte(a.body), &s); a.status != 200 || err != nil {
			p.Errorf("%s: got %v", path, a)
			continue
		}
		if s.Status != "pass" && s.Status != "warn" && s.Status != "fail" {
			p.Errorf("the status of %s is %q", path, s.Status)
		}
		if s.Description != description || s.Version == "" {
			p.Errorf("%s is of %q, version %q", path, s.Description, s.Version)
		}
		if redis := s.Details["redis"]; redis.Status != "pass" || redis.Type != "datastore" {
			p.Errorf("%s says of Redis: %+v; the contract needs it", path, redis)
		}
		if a := p.open(http.MethodPost, path); a.status != 405 {
			p.Errorf("POST %s: got %v, want 405", path, a)
		}
	}
}

// open makes a call without the secret.
func (p probe) open(method, path string) answer {
	p.Helper()
	r, err := http.NewRequest(method, p.gateway.URL+path, nil)
	if err != nil {
		p.Fatal(err)
	}
	a, err := p.do(r)
	if err != nil {
		p.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}
