package k8s

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cuegate/cuegate/engine"
)

// Bounds of what diagnostics may cost the controller.
const (
	// atATime is how many questions below /debug are answered at the same time.
	atATime = 2
	// debugTimeout is how long an answer may take; /debug/plan may ask every gateway.
	debugTimeout = 30 * time.Second
	maxAnswer    = 64 << 20
)

// diagnosticsOptions say what is served.
type diagnosticsOptions struct {
	Metrics *metrics
	Bundles *bundles
	// Shadow is nil without a second bundle.
	Shadow *shadow
	// Explain explains an object; false is one that is not there.
	Explain func(context.Context, engine.Ref) (engine.Explanation, bool)
	// Plan is Pusher.Plan.
	Plan func(context.Context) (any, error)
	// Checks have to hold for /readyz.
	Checks []check
}

// check is something that a controller is not ready without.
type check struct {
	name string
	ok   func() bool
}

// newDiagnostics serves
//
//	/healthz                                          ok, while the program answers
//	/readyz                                           ok, or 503 and what is missing
//	/metrics                                          for Prometheus
//	/debug/explain?object=KIND/NAMESPACE/NAME&field=PATH
//	/debug/plan                                       what a push would change now
//	/debug/bundle                                     which one is in use, and what is wrong
//	/debug/shadow                                     what a second one decides otherwise
//	/debug/pprof/                                     profiles, for `go tool pprof`
//
// What is below /debug, but profiles, is JSON; an error is {"error": "..."}. It holds no secrets, but
// it tells much about the cluster: it is no thing for the public.
func newDiagnostics(o diagnosticsOptions) http.Handler {
	slots := make(chan struct{}, atATime)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", o.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	debug := func(path string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc("GET /debug/"+path, func(w http.ResponseWriter, r *http.Request) {
			ctx, end := context.WithTimeout(r.Context(), debugTimeout)
			defer end()
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				answerJSON(w, nil, &httpError{http.StatusServiceUnavailable, "too many questions are being answered"})
				return
			}
			v, err := answer(r.WithContext(ctx))
			answerJSON(w, v, err)
		})
	}
	debug("explain", o.explain)
	debug("plan", o.plan)
	debug("bundle", func(*http.Request) (any, error) { return o.Bundles.view(), nil })
	debug("shadow", o.shadow)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// ready answers with a line for each check, as the API server does.
func (o diagnosticsOptions) ready(w http.ResponseWriter, _ *http.Request) {
	var text strings.Builder
	status := http.StatusOK
	for _, c := range o.Checks {
		if c.ok() {
			fmt.Fprintf(&text, "[+] %s\n", c.name)
			continue
		}
		status = http.StatusServiceUnavailable
		fmt.Fprintf(&text, "[-] not yet: %s\n", c.name)
	}
	if err := o.Bundles.ready(); err != nil {
		status = http.StatusServiceUnavailable
		fmt.Fprintf(&text, "[-] %s\n", err)
	}
	plain(w, status, text.String())
}

func (o diagnosticsOptions) explain(r *http.Request) (any, error) {
	q := r.URL.Query()
	ref, err := engine.ParseRef(q.Get("object"))
	if err != nil {
		return nil, &httpError{http.StatusBadRequest, "object: " + err.Error()}
	}
	x, ok := o.Explain(r.Context(), ref)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, &httpError{http.StatusNotFound, fmt.Sprintf("no %s is known, or none is decided yet", ref)}
	}
	if field := q.Get("field"); field != "" && !keepField(&x, field) {
		return nil, &httpError{http.StatusNotFound, fmt.Sprintf("no definition of %s has a value at %s", ref, field)}
	}
	return x, nil
}

// keepField leaves only the values at path and below; it tells whether there are any.
func keepField(x *engine.Explanation, path string) bool {
	found := len(x.Definitions) == 0
	for i := range x.Definitions {
		d := &x.Definitions[i]
		d.Values = slices.DeleteFunc(d.Values, func(v engine.ValueTrace) bool {
			return v.Path != path && !strings.HasPrefix(v.Path, path+".")
		})
		found = found || len(d.Values) > 0
	}
	return found
}

func (o diagnosticsOptions) plan(r *http.Request) (any, error) {
	p, err := o.Plan(r.Context())
	if err != nil && r.Context().Err() == nil {
		// Most often a gateway cannot be reached.
		return nil, &httpError{http.StatusServiceUnavailable, err.Error()}
	}
	return p, err
}

func (o diagnosticsOptions) shadow(r *http.Request) (any, error) {
	if o.Shadow == nil {
		return nil, &httpError{http.StatusNotFound, "there is no second bundle to compare with"}
	}
	v := o.Shadow.view(r.Context())
	return v, r.Context().Err()
}

// httpError is an error with its status.
type httpError struct {
	status int
	msg    string
}

func (e *httpError) Error() string { return e.msg }

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

func answerJSON(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusInternalServerError
		var known *httpError
		switch {
		case errors.As(err, &known):
			status = known.status
		case errors.Is(err, context.DeadlineExceeded):
			status = http.StatusGatewayTimeout
		}
		v = map[string]string{"error": err.Error()}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		plain(w, http.StatusInternalServerError, "the answer is no JSON: "+err.Error()+"\n")
		return
	}
	if text.Len() > maxAnswer {
		plain(w, http.StatusInternalServerError, "the answer is too long\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
}

// serve serves at an address, such as 127.0.0.1:9090, until ctx ends, and lets what is
// being answered come to its end for a few seconds.
func serve(ctx context.Context, address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serving diagnostics: %w", err)
	}
	return serveOn(ctx, listener, handler)
}

func serveOn(ctx context.Context, listener net.Listener, handler http.Handler) error {
	s := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      debugTimeout + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		last, end := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer end()
		err := s.Shutdown(last)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close()
		}
		ended <- err
	})
	err := s.Serve(listener)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving diagnostics: %w", err)
	}
	return <-ended
}
