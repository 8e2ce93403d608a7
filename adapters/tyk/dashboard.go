package tyk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// dashboardAPI is the API of a Dashboard. Sources: tyk-docs swagger of v5.13.0,
// tyk-operator v0.17.1, tyk-sync v1.4.3; none of it was measured.
type dashboardAPI struct {
	*caller
}

func newDashboardAPI(s Settings) (*dashboardAPI, error) {
	c, err := newCaller(s)
	if err != nil {
		return nil, err
	}
	c.header = "authorization"
	return &dashboardAPI{c}, nil
}

// Probe lists the first page, so that the key is tried; /hello tells the version,
// where there is one.
func (d *dashboardAPI) Probe(ctx context.Context) (Status, error) {
	r := request{method: http.MethodGet, path: "/api/apis", query: url.Values{"p": {"1"}}}
	a, err := d.do(ctx, r)
	if err != nil {
		return Status{}, err
	}
	if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
		return Status{}, rejected(r, a)
	}
	if a.status != http.StatusOK || !gjson.GetBytes(a.body, "apis").Exists() {
		return Status{}, &Rejected{Op: r.op(), Status: a.status, Message: "this is no Tyk Dashboard"}
	}
	s := Status{Mode: Dashboard, Healthy: true}
	if a, err := d.do(ctx, request{method: http.MethodGet, path: "/hello"}); err == nil && a.status == http.StatusOK {
		s.Version = gjson.GetBytes(a.body, "version").String()
	}
	return s, nil
}

// List asks for all definitions at once: p below 0 means unpaged.
func (d *dashboardAPI) List(ctx context.Context, start func(), visit func([]byte) error) error {
	r := request{method: http.MethodGet, path: "/api/apis", query: url.Values{"p": {"-2"}}, timeout: listTimeout}
	var refused error
	err := d.stream(ctx, r, maxList, func(status int, body io.Reader) error {
		start()
		if status != http.StatusOK {
			refused = rejected(r, answer{status, d.scrub(status, firstBytes(body))})
			return nil
		}
		return decodeAPIs(json.NewDecoder(body), visit)
	})
	return errors.Join(err, refused)
}

// decodeAPIs reads {"apis":[{"api_definition":{...}, ...}], ...}.
func decodeAPIs(dec *json.Decoder, visit func([]byte) error) error {
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errors.Join(err, errors.New("an object was expected"))
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		if key != "apis" {
			var skipped json.RawMessage
			if err := dec.Decode(&skipped); err != nil {
				return err
			}
			continue
		}
		err = decodeArray(dec, func(api []byte) error {
			return visit([]byte(gjson.GetBytes(api, "api_definition").Raw))
		})
		if err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// Get says errNotFound for the 400 with which the Dashboard answers for an id that
// it does not know.
func (d *dashboardAPI) Get(ctx context.Context, id string) ([]byte, error) {
	r := request{method: http.MethodGet, path: "/api/apis/" + url.PathEscape(id)}
	a, err := d.do(ctx, r)
	if err == nil && a.status == http.StatusBadRequest && strings.Contains(messageOf(a.body), "Could not retrieve") {
		return nil, errNotFound
	}
	if err := outcome(r, a, err); err != nil {
		return nil, err
	}
	return []byte(gjson.GetBytes(a.body, "api_definition").Raw), nil
}

// Create creates and reads back: a Dashboard may give the definition an api_id of
// its own, which is then set right through the id of its database. One that does
// not let itself be set right is removed again.
func (d *dashboardAPI) Create(ctx context.Context, id string, definition []byte) error {
	r := request{method: http.MethodPost, path: "/api/apis", query: additional, body: wrap(definition), once: true}
	a, err := d.do(ctx, r)
	if err == nil && a.status == http.StatusConflict {
		return d.replace(ctx, id, definition)
	}
	if err := outcome(r, a, err); err != nil {
		return err
	}
	database := gjson.GetBytes(a.body, "Meta").String()
	if database == "" {
		return &Rejected{Op: r.op(), Status: a.status, Message: "the answer names no definition"}
	}
	if err = d.identify(ctx, database, id, definition); err == nil {
		return nil
	}
	return d.undo(ctx, database, err)
}

// undo removes what was created and is not as it should be, for the reason why. If
// it stays, the error makes the next push list, which finds it by its mark.
func (d *dashboardAPI) undo(ctx context.Context, database string, why error) error {
	err := d.Delete(ctx, database)
	if err == nil {
		_, err = d.Get(ctx, database)
	}
	if errors.Is(err, errNotFound) {
		return why
	}
	return &Unreachable{Op: "DELETE /api/apis/" + database, Err: errors.Join(why, err)}
}

// replace updates what has the id already, if it carries our mark: another pusher
// was faster, or an attempt of ours that seemed to fail.
func (d *dashboardAPI) replace(ctx context.Context, id string, definition []byte) error {
	there, err := d.Get(ctx, id)
	if err != nil {
		return &Unreachable{Op: "reading " + id, Err: err}
	}
	if gjson.GetBytes(there, clusterPath).String() != gjson.GetBytes(definition, clusterPath).String() {
		return errForeign
	}
	return d.Update(ctx, id, definition)
}

// identify gives what the database calls database the api_id that it should have. An
// answer of 200 may mean nothing, so it is not believed at once that it cannot.
func (d *dashboardAPI) identify(ctx context.Context, database, id string, definition []byte) error {
	got, err := d.idOf(ctx, database)
	for range 3 {
		if err != nil || got == id {
			return err
		}
		if err := d.Update(ctx, database, definition); err != nil {
			return err
		}
		got, err = d.idOf(ctx, database)
	}
	if err != nil || got == id {
		return err
	}
	return &Rejected{Op: "PUT /api/apis/" + database, Status: http.StatusOK, Message: fmt.Sprintf("the Dashboard insists on an api_id of its own, %.64s", got)}
}

// additional makes the Dashboard take fields that its schema does not know.
var additional = url.Values{"accept_additional_properties": {"true"}}

func (d *dashboardAPI) idOf(ctx context.Context, database string) (string, error) {
	definition, err := d.Get(ctx, database)
	if errors.Is(err, errNotFound) {
		// It was there a moment ago: another look later will tell.
		err = &Unreachable{Op: "reading back " + database, Err: err}
	}
	return gjson.GetBytes(definition, "api_id").String(), err
}

// wrap puts a definition into the envelope of the Dashboard.
func wrap(definition []byte) []byte {
	body, err := sjson.SetRawBytes([]byte(`{"user_owners":[],"user_group_owners":[]}`), "api_definition", definition)
	if err != nil {
		return definition // not reached: the path is a constant
	}
	return body
}

func (d *dashboardAPI) Update(ctx context.Context, id string, definition []byte) error {
	r := request{method: http.MethodPut, path: "/api/apis/" + url.PathEscape(id), query: additional, body: wrap(definition)}
	a, err := d.do(ctx, r)
	return outcome(r, a, err)
}

func (d *dashboardAPI) Delete(ctx context.Context, id string) error {
	r := request{method: http.MethodDelete, path: "/api/apis/" + url.PathEscape(id)}
	a, err := d.do(ctx, r)
	return outcome(r, a, err)
}

// Reload does nothing: the Dashboard tells its gateways itself.
func (d *dashboardAPI) Reload(context.Context) error { return nil }

func (d *dashboardAPI) HasCertificate(ctx context.Context, id string) (bool, error) {
	r := request{method: http.MethodGet, path: "/api/certs/" + url.PathEscape(id)}
	a, err := d.do(ctx, r)
	return hasKey(r, a, err)
}

func (d *dashboardAPI) AddCertificate(ctx context.Context, pem []byte) (string, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("cert", "cert.pem")
	if err == nil {
		_, err = part.Write(pem)
	}
	if err := errors.Join(err, form.Close()); err != nil {
		return "", err
	}
	r := request{method: http.MethodPost, path: "/api/certs", body: body.Bytes(), contentType: form.FormDataContentType()}
	a, err := d.do(ctx, r)
	return addedID(r, a, err)
}

func (d *dashboardAPI) DeleteCertificate(ctx context.Context, id string) error {
	r := request{method: http.MethodDelete, path: "/api/certs/" + url.PathEscape(id)}
	a, err := d.do(ctx, r)
	if err := outcome(r, a, err); !errors.Is(err, errNotFound) {
		return err
	}
	return nil
}
