package tyk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// gatewayAPI is the control API of a gateway that keeps its definitions in files
// (Tyk Gateway v5.11.1, measured; what that says is told in doc.go).
type gatewayAPI struct {
	*caller
	org string
}

func newGatewayAPI(s Settings) (*gatewayAPI, error) {
	c, err := newCaller(s)
	if err != nil {
		return nil, err
	}
	c.header = "x-tyk-authorization"
	return &gatewayAPI{c, s.OrgID}, nil
}

const (
	listTimeout   = 5 * time.Minute
	reloadTimeout = 2 * time.Minute
)

// Probe reads /hello, which answers 200 whatever the state: the body counts.
func (g *gatewayAPI) Probe(ctx context.Context) (Status, error) {
	r := request{method: http.MethodGet, path: "/hello"}
	a, err := g.do(ctx, r)
	if err != nil {
		return Status{}, err
	}
	var hello struct {
		Status      string                     `json:"status"`
		Version     string                     `json:"version"`
		Description string                     `json:"description"`
		Details     map[string]json.RawMessage `json:"details"`
	}
	if a.status != http.StatusOK || decode(a.body, &hello) != nil || !strings.Contains(hello.Description, "Tyk GW") {
		return Status{}, &Rejected{Op: r.op(), Status: a.status, Message: "this is no Tyk gateway"}
	}
	s := Status{Mode: Gateway, Version: hello.Version, Healthy: hello.Status == "pass"}
	_, s.FromDashboard = hello.Details["dashboard"]
	if !s.Healthy {
		s.Detail = "the gateway says " + hello.Status
		for name, raw := range hello.Details {
			var part struct {
				Status string `json:"status"`
			}
			if decode(raw, &part) == nil && part.Status != "pass" {
				s.Detail += ", its " + name + " says " + part.Status
			}
		}
	}
	return s, nil
}

func (g *gatewayAPI) List(ctx context.Context, start func(), visit func([]byte) error) error {
	r := request{method: http.MethodGet, path: "/tyk/apis/", timeout: listTimeout}
	var refused error
	err := g.stream(ctx, r, maxList, func(status int, body io.Reader) error {
		start()
		if status != http.StatusOK {
			refused = rejected(r, answer{status, g.scrub(status, firstBytes(body))})
			return nil
		}
		return decodeArray(json.NewDecoder(body), visit)
	})
	return errors.Join(err, refused)
}

func (g *gatewayAPI) Get(ctx context.Context, id string) ([]byte, error) {
	r := request{method: http.MethodGet, path: "/tyk/apis/" + url.PathEscape(id)}
	a, err := g.do(ctx, r)
	if err := outcome(r, a, err); err != nil {
		return nil, err
	}
	return a.body, nil
}

// Create is an upsert: the same again does no harm.
func (g *gatewayAPI) Create(ctx context.Context, _ string, definition []byte) error {
	r := request{method: http.MethodPost, path: "/tyk/apis/", body: definition}
	a, err := g.do(ctx, r)
	return outcome(r, a, err)
}

func (g *gatewayAPI) Update(ctx context.Context, id string, definition []byte) error {
	r := request{method: http.MethodPut, path: "/tyk/apis/" + url.PathEscape(id), body: definition}
	a, err := g.do(ctx, r)
	return outcome(r, a, err)
}

func (g *gatewayAPI) Delete(ctx context.Context, id string) error {
	r := request{method: http.MethodDelete, path: "/tyk/apis/" + url.PathEscape(id)}
	a, err := g.do(ctx, r)
	return outcome(r, a, err)
}

func (g *gatewayAPI) Reload(ctx context.Context) error {
	r := request{method: http.MethodGet, path: "/tyk/reload/", query: url.Values{"block": {"true"}}, timeout: reloadTimeout}
	a, err := g.do(ctx, r)
	return outcome(r, a, err)
}

func (g *gatewayAPI) HasCertificate(ctx context.Context, id string) (bool, error) {
	r := request{method: http.MethodGet, path: "/tyk/certs/" + url.PathEscape(id)}
	a, err := g.do(ctx, r)
	return hasKey(r, a, err)
}

// hasKey reads the answer about a certificate.
func hasKey(r request, a answer, err error) (bool, error) {
	if err := outcome(r, a, err); err != nil {
		return false, err
	}
	var cert struct {
		HasPrivate bool `json:"has_private"`
	}
	if err := decode(a.body, &cert); err != nil {
		return false, &Rejected{Op: r.op(), Status: a.status, Message: "the answer is no certificate"}
	}
	return cert.HasPrivate, nil
}

func (g *gatewayAPI) AddCertificate(ctx context.Context, pem []byte) (string, error) {
	r := request{method: http.MethodPost, path: "/tyk/certs", query: url.Values{"org_id": {g.org}}, body: pem, contentType: "application/x-pem-file"}
	a, err := g.do(ctx, r)
	return addedID(r, a, err)
}

// addedID reads the answer to a new certificate. Both dialects say by the text
// that it was there before, each with a status of its own.
func addedID(r request, a answer, err error) (string, error) {
	if err == nil && a.status != http.StatusOK && strings.Contains(messageOf(a.body), "already exists") {
		return "", errTaken
	}
	if err == nil && strings.Contains(messageOf(a.body), "Redis is either down") {
		return "", &Unreachable{Op: r.op(), Err: errors.New(messageOf(a.body))}
	}
	if err == nil && a.status >= 400 && !refusesUs(a) {
		return "", fmt.Errorf("the target refuses it with status %d: %s", a.status, messageOf(a.body))
	}
	if err := outcome(r, a, err); err != nil {
		return "", err
	}
	var added struct {
		ID string `json:"id"`
	}
	if err := decode(a.body, &added); err != nil || added.ID == "" {
		return "", &Rejected{Op: r.op(), Status: a.status, Message: "the answer names no certificate"}
	}
	return added.ID, nil
}

func (g *gatewayAPI) DeleteCertificate(ctx context.Context, id string) error {
	r := request{method: http.MethodDelete, path: "/tyk/certs/" + url.PathEscape(id)}
	a, err := g.do(ctx, r)
	if err := outcome(r, a, err); !errors.Is(err, errNotFound) {
		return err
	}
	return nil
}

// refusesUs tells whether an answer is about the secret. The gateway says 403 to a
// bad certificate as well.
func refusesUs(a answer) bool {
	message := messageOf(a.body)
	return a.status == http.StatusUnauthorized ||
		a.status == http.StatusForbidden && (strings.Contains(message, "administrative access") || strings.Contains(message, "access denied"))
}

// outcome makes an answer that is not 200 an error.
func outcome(r request, a answer, err error) error {
	switch {
	case errors.Is(err, errDeleteFailed):
		return errDeleteFailed
	case err != nil:
		return err
	case a.status == http.StatusOK:
		return nil
	case a.status == http.StatusNotFound:
		return errNotFound
	}
	return rejected(r, a)
}
