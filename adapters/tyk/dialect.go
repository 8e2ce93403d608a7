package tyk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// dialect is what a push asks of the place that keeps definitions. Its errors are
// *Unreachable, *Rejected, or one of errors.go; a call that ends with *Unreachable
// may or may not have had its effect.
type dialect interface {
	// Close lets go of idle connections.
	Close()
	// Probe asks who answers, without the secret.
	Probe(ctx context.Context) (Status, error)
	// List visits every definition that is loaded, in any order. It may begin anew
	// after an error: start is called before the first of each try.
	List(ctx context.Context, start func(), visit func(definition []byte) error) error
	// Get reads what is loaded under the id; errNotFound.
	Get(ctx context.Context, id string) ([]byte, error)
	// Create writes a definition that is not loaded.
	Create(ctx context.Context, id string, definition []byte) error
	// Update replaces one that is loaded; errNotFound.
	Update(ctx context.Context, id string, definition []byte) error
	// Delete removes one; errNotFound, errDeleteFailed.
	Delete(ctx context.Context, id string) error
	// Reload makes what was written take effect, and waits for it.
	Reload(ctx context.Context) error

	// HasCertificate tells whether a certificate is there with its private key;
	// errNotFound.
	HasCertificate(ctx context.Context, id string) (withKey bool, err error)
	// AddCertificate stores PEM of a certificate and its key and returns the id;
	// errTaken.
	AddCertificate(ctx context.Context, pem []byte) (string, error)
	// DeleteCertificate removes one; none is no error.
	DeleteCertificate(ctx context.Context, id string) error
}

// Status is what a target says of itself.
type Status struct {
	Mode    Mode   `json:"mode"`
	Version string `json:"version,omitempty"`
	// Healthy is false when the target says so itself, e.g. because its Redis is
	// down; Detail says why.
	Healthy bool   `json:"healthy"`
	Detail  string `json:"detail,omitempty"`
	// FromDashboard: this gateway gets its definitions from a Dashboard, and takes none
	// from us.
	FromDashboard bool `json:"fromDashboard,omitempty"`
}

// rejected makes an answer that no second attempt could change an error.
func rejected(r request, a answer) error {
	return &Rejected{Op: r.op(), Status: a.status, Message: messageOf(a.body)}
}

func decode(text []byte, into any) error { return json.Unmarshal(text, into) }

// decodeArray reads a JSON array element by element.
func decodeArray(dec *json.Decoder, visit func([]byte) error) error {
	open, err := dec.Token()
	if err != nil {
		return err
	}
	if open == nil {
		return nil // null
	}
	if open != json.Delim('[') {
		return fmt.Errorf("a list was expected, not %v", open)
	}
	for dec.More() {
		var element json.RawMessage
		if err := dec.Decode(&element); err != nil {
			return err
		}
		if err := visit(element); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// firstBytes reads the beginning of a body, for a message.
func firstBytes(body io.Reader) []byte {
	var b bytes.Buffer
	_, _ = io.CopyN(&b, body, 4096)
	return b.Bytes()
}
