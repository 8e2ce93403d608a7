package tyk

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	s := struct {
		S Secret
		P *Secret
		M map[Secret]Secret
	}{NewSecret("s3cret"), new(Secret), map[Secret]Secret{NewSecret("s3cret"): NewSecret("s3cret")}}
	*s.P = NewSecret("s3cret")
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
		fmt.Fprintf(&shown, verb+" "+verb+" "+verb+"\n", s.S, s, *s.P)
		fmt.Fprintf(&shown, verb+"\n", Settings{Secret: s.S})
	}
	for _, v := range []any{s.S, s.P, Settings{Secret: s.S}, []Secret{s.S}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		shown.Write(text)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&shown, nil), slog.NewJSONHandler(&shown, nil)} {
		slog.New(h).Info("x", "secret", s.S, "p", s.P, "all", s, "settings", Settings{Secret: s.S})
	}
	shown.WriteString(s.S.String())
	fmt.Fprintln(&shown, errors.Join(fmt.Errorf("%w %v", errNotFound, s.S)))
	fmt.Fprintf(&shown, "%v %+v %#v", struct{ s Secret }{s.S}, target{settings: Settings{Secret: s.S}}, caller{secret: s.S})
	hexed := fmt.Sprintf("%x", "s3cret")
	if text := shown.String(); strings.Contains(text, "s3cret") || strings.Contains(strings.ToLower(text), hexed) || !strings.Contains(text, redacted) {
		t.Error(text)
	}
}

// answers is a caller against a handler, which is told the number of the attempt.
func answers(t *testing.T, h func(n int32, w http.ResponseWriter, r *http.Request)) (*caller, *atomic.Int32) {
	t.Helper()
	var n atomic.Int32
	p := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(n.Add(1), w, r) }))
	c, err := newCaller(Settings{URL: p.URL, Secret: NewSecret("s3cret"), FirstPause: time.Microsecond}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	c.header = "x-test"
	return c, &n
}

func TestCallIsRetried(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]struct {
		answer   func(w http.ResponseWriter)
		once     bool
		attempts int32
		status   int // 0: an error
	}{
		"200":                  {func(http.ResponseWriter) {}, false, 1, 200},
		"404":                  {func(w http.ResponseWriter) { w.WriteHeader(404) }, false, 1, 404},
		"403":                  {func(w http.ResponseWriter) { w.WriteHeader(403) }, false, 1, 403},
		"500":                  {func(w http.ResponseWriter) { w.WriteHeader(500) }, false, 4, 0},
		"502":                  {func(w http.ResponseWriter) { w.WriteHeader(502) }, false, 4, 0},
		"429":                  {func(w http.ResponseWriter) { w.WriteHeader(429) }, false, 4, 0},
		"503, again at once":   {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "0"); w.WriteHeader(503) }, false, 4, 0},
		"dropped":              {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, false, 4, 0},
		"500, once":            {func(w http.ResponseWriter) { w.WriteHeader(500) }, true, 1, 0},
		"dropped, once":        {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true, 1, 0},
		"Delete failed":        {func(w http.ResponseWriter) { http.Error(w, `{"message":"Delete failed"}`, 500) }, false, 1, 0},
		"redirect":             {func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(302) }, false, 1, 302},
		"too large":            {func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, maxAnswer+1)) }, false, 1, 0},
		"cut short":            {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "9"); _, _ = w.Write([]byte("x")) }, false, 4, 0},
		"cut short, and large": {func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 1<<20)); panic(http.ErrAbortHandler) }, false, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, n := answers(t, func(_ int32, w http.ResponseWriter, _ *http.Request) { o.answer(w) })
			a, err := c.do(context.Background(), request{method: "POST", path: "/a", body: []byte("x"), once: o.once})
			var u *Unreachable
			if n.Load() != o.attempts || (err == nil) != (o.status > 0) || err == nil && a.status != o.status || err != nil && !errors.As(err, &u) {
				t.Errorf("%d attempts, status %d, %v", n.Load(), a.status, err)
			}
		})
	}
}

func TestCallSucceedsInTheEnd(t *testing.T) {
	t.Parallel()
	c, _ := answers(t, func(n int32, w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) != "body" {
			t.Errorf("attempt %d has the body %q", n, body)
		}
		if n < 4 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, "ok")
	})
	if a, err := c.do(context.Background(), request{method: "POST", path: "/a", body: []byte("body")}); err != nil || string(a.body) != "ok" {
		t.Error(a, err)
	}
}

// A list that breaks off begins anew.
func TestListBeginsAnew(t *testing.T) {
	t.Parallel()
	c, _ := answers(t, func(n int32, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"api_id":"a"},{"api_id":"b"}`)
		if n < 3 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `,{"api_id":"c"}]`)
	})
	g := &gatewayAPI{c, ""}
	var got []string
	err := g.List(context.Background(), func() { got = nil }, func(d []byte) error { got = append(got, string(d)); return nil })
	if err != nil || len(got) != 3 {
		t.Error(got, err)
	}
}

func TestListsAreRead(t *testing.T) {
	t.Parallel()
	read := func(list func(d *json.Decoder, visit func([]byte) error) error, text string) string {
		var got []string
		err := list(json.NewDecoder(strings.NewReader(text)), func(d []byte) error { got = append(got, string(d)); return nil })
		if err != nil {
			return "error"
		}
		return strings.Join(got, " ")
	}
	for text, want := range map[string]string{`[]`: "", `null`: "", ` [1, {"a":[2]}] `: `1 {"a":[2]}`, `{}`: "error", ``: "error", `[1`: "error", `[1,]`: "error", `"x"`: "error"} {
		if got := read(decodeArray, text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		`{"apis":[],"pages":0}`: "", `{"apis":null}`: "", `{}`: "",
		`{"pages":[{"apis":[]}],"apis":[{"x":1,"api_definition":{"a":1}},{"api_definition":{"b":2}}],"z":{}}`: `{"a":1} {"b":2}`,
		`[]`: "error", `{"apis":{}}`: "error", `{"apis":[`: "error", ``: "error",
	} {
		if got := read(decodeAPIs, text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// What a target echoes of the secret is not told.
func TestErrorsDoNotTellTheSecret(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 404, 500, 503} {
		c, _ := answers(t, func(_ int32, w http.ResponseWriter, r *http.Request) {
			http.Error(w, fmt.Sprintf(`{"message":"you sent %s"}`, r.Header.Get("x-test")), status)
		})
		g := &gatewayAPI{c, ""}
		_, getErr := g.Get(context.Background(), "a")
		for _, err := range []error{getErr, g.Create(context.Background(), "a", nil), g.List(context.Background(), func() {}, nil)} {
			if err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

// Nobody gets the secret but the target.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := newPort(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	for _, status := range []int{301, 302, 303, 307, 308} {
		p := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+r.URL.Path, status)
		}))
		for _, mode := range []Mode{"", Gateway, Dashboard} {
			r := push(t, newTestTarget(t, Settings{URL: p.URL, Secret: NewSecret("s3cret"), Mode: mode, FirstPause: time.Microsecond}, Options{}), desired("cafe", 1, "/tea"))
			if r.Err == nil || elsewhere.Load() > 0 {
				t.Errorf("%d: %+v, %d calls elsewhere", status, r, elsewhere.Load())
			}
		}
	}
}

// accepts counts connections.
type accepts struct {
	net.Listener
	n atomic.Int32
}

func (a *accepts) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err == nil {
		a.n.Add(1)
	}
	return c, err
}

func TestTLS(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	server := httptest.NewUnstartedServer(g.Gateway)
	server.Config.ErrorLog = discardLog
	counted := &accepts{Listener: server.Listener}
	server.Listener = counted
	server.StartTLS()
	defer server.Close()
	plain := newPort(t, g.Gateway)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, o := range map[string]struct {
		change func(*Settings)
		ok     bool
	}{
		"its CA":               {func(s *Settings) { s.CA = ca }, true},
		"no CA":                {func(*Settings) {}, false},
		"another CA":           {func(s *Settings) { s.CA = newPair(t, "x", time.Hour).cert }, false},
		"another name":         {func(s *Settings) { s.CA, s.URL = ca, strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }, false},
		"insecure":             {func(s *Settings) { s.InsecureSkipVerify = true }, true},
		"http to https":        {func(s *Settings) { s.URL = strings.Replace(s.URL, "https", "http", 1) }, false},
		"https to plain http":  {func(s *Settings) { s.URL = strings.Replace(plain.URL, "http", "https", 1) }, false},
		"its CA, and insecure": {func(s *Settings) { s.CA, s.InsecureSkipVerify = ca, true }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := g.settings()
			s.URL, s.Mode = server.URL, Gateway
			o.change(&s)
			before := counted.n.Load()
			r := push(t, newTestTarget(t, s, Options{}), desired("cafe", 1, "/tea"))
			if (r.Err == nil) != o.ok {
				t.Errorf("%v", r.Err)
			}
			if n := counted.n.Load() - before; !o.ok && n > 1 {
				t.Errorf("%d connections for what cannot get better: %v", n, r.Err)
			}
		})
	}
}

func TestCappedReader(t *testing.T) {
	t.Parallel()
	for size, fits := range map[int]bool{0: true, 9: true, 10: false, 11: false} {
		_, err := io.ReadAll(&capped{bytes.NewReader(make([]byte, size)), 10})
		if (err == nil) != fits {
			t.Errorf("%d: %v", size, err)
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"status":"error","message":"API not found"}`:           "API not found",
		`{"Status":"Error","Message":"Not authorised","Meta":1}`: "Not authorised",
		"404 page not found\n":                                   "404 page not found",
		"<html>\n  <b>x</b>\n</html>":                            "<html> <b>x</b> </html>",
		"":                                                       "",
		strings.Repeat("x", 300):                                 strings.Repeat("x", 200) + "...",
	} {
		if got := messageOf([]byte(body)); got != want {
			t.Errorf("%q: %q", body, got)
		}
	}
}
