package embedded

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

const controlRoot = "/tyk/"

// call is one call of the control API that passed the gate.
type call struct {
	w http.ResponseWriter
	r *http.Request
	// id is what follows the collection in the path.
	id string
	// lost: nothing may be written, though the answer says so.
	lost bool
}

// handlers of the control API by path pattern and method.
func (g *Gateway) handlers(pattern string) map[string]func(*call) {
	switch pattern {
	case "/tyk/apis":
		return map[string]func(*call){"GET": g.listAPIs, "POST": g.addAPI}
	case "/tyk/apis/{id}":
		return map[string]func(*call){"GET": g.getAPI, "POST": g.addAPI, "PUT": g.updateAPI, "DELETE": g.deleteAPI}
	case "/tyk/reload":
		return map[string]func(*call){"GET": g.reload}
	case "/tyk/reload/group":
		return map[string]func(*call){"GET": g.reloadGroup}
	case "/tyk/certs":
		return map[string]func(*call){"GET": g.listCerts, "POST": g.addCert}
	case "/tyk/certs/{id}":
		return map[string]func(*call){"GET": g.getCerts, "DELETE": g.deleteCert}
	}
	return nil
}

// resource finds the pattern of a decoded path. A slash at the end is taken behind
// everything but an id; an id with a slash in it, even an escaped one, fits none.
func resource(path string) (pattern, id string) {
	switch p := strings.TrimSuffix(path, "/"); p {
	case "/tyk/apis", "/tyk/certs", "/tyk/reload", "/tyk/reload/group":
		return p, ""
	}
	for _, root := range []string{"/tyk/apis", "/tyk/certs"} {
		if id, ok := strings.CutPrefix(path, root+"/"); ok && !strings.Contains(id, "/") {
			return root + "/{id}", id
		}
	}
	return "", ""
}

// control is the gate of the control API: the secret, the path, the method, and
// then what the faults have in store for the call.
func (g *Gateway) control(w http.ResponseWriter, r *http.Request) {
	pattern, id := resource(r.URL.Path)
	if pattern != "" {
		g.calls.add(r.Method + " " + pattern)
	}
	c := &call{w: w, r: r, id: id}
	secret := r.Header.Get("x-tyk-authorization")
	if subtle.ConstantTimeCompare([]byte(secret), []byte(g.config.Secret)) != 1 {
		c.fail(http.StatusForbidden, "Attempted administrative access with invalid or missing key!")
		return
	}
	if pattern == "" {
		http.NotFound(w, r)
		return
	}
	handle := g.handlers(pattern)[r.Method]
	if handle == nil {
		c.fail(http.StatusMethodNotAllowed, "Method not supported")
		return
	}
	f := g.faults.draw()
	wait(r.Context(), f.latency)
	c.lost = f.loseWrite
	switch {
	case f.dropBefore:
		panic(http.ErrAbortHandler)
	case f.fail:
		c.fail(http.StatusInternalServerError, "Internal server error")
	case f.dropAfter:
		c.w = nowhere{http.Header{}}
		handle(c)
		panic(http.ErrAbortHandler)
	default:
		handle(c)
	}
}

// nowhere is an answer that nobody gets.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// status is the answer that says how it went.
type status struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func (c *call) ok() { c.answer(http.StatusOK, status{"ok", ""}) }

func (c *call) fail(code int, message string) { c.answer(code, status{"error", message}) }

func (c *call) answer(code int, v any) { writeJSON(c.w, code, v) }

// body reads the whole request body.
func (c *call) body() ([]byte, error) { return io.ReadAll(c.r.Body) }

func writeJSON(w http.ResponseWriter, code int, v any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		code = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}
