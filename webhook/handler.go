package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/cuegate/cuegate/engine"
)

const (
	// DefaultMaxBody has room for an object and what it was before, each as large as
	// the API server takes them, 3 MiB, and for the rest of a review.
	DefaultMaxBody = 7 << 20
	// bodyAtOnce bounds what is allocated on the word of a header.
	bodyAtOnce = 256 << 10

	// The API server says how long it waits. An answer has to be there a little
	// earlier.
	defaultTimeout = 2 * time.Second
	maxTimeout     = 30 * time.Second
	margin         = 100 * time.Millisecond

	// maxErrorBytes bounds the text of a failure.
	maxErrorBytes = 4096
)

// nameless is what is told of an object that would get a sidecar if it had a name.
var nameless = engine.Reason{ID: "name-missing", Msg: "Nothing can be injected into an object that has a metadata.generateName and no metadata.name.", Fix: "Give it a metadata.name."}

// httpError is an error with its status.
type httpError struct {
	status int
	msg    string
}

func (e *httpError) Error() string { return e.msg }

// handler answers reviews.
type handler struct {
	decide  func(context.Context, engine.Object) (engine.Desired, error)
	maxBody int64
	metrics *metrics
	log     *slog.Logger
}

// ServeHTTP answers one AdmissionReview. Whatever goes wrong is no answer for the API
// server, so that the failurePolicy of the webhook decides.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	kind, result, err := h.serve(w, r)
	h.metrics.answered(kind, result, time.Since(began))
	if err == nil {
		return
	}
	status := http.StatusInternalServerError
	var known *httpError
	if errors.As(err, &known) {
		status = known.status
	}
	writeText(w, status, clip(plain(err.Error()), maxErrorBytes)+"\n")
}

// serve gives what is to be counted. Where it gives an error it has written nothing.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) (string, result, error) {
	limit := timeout(r)
	ctx, end := context.WithTimeout(r.Context(), limit)
	defer end()
	body, err := h.body(w, r)
	if err != nil {
		h.log.Warn("a request to the webhook is no AdmissionReview", "error", err)
		return "", failed, err
	}
	v, err := parseReview(body)
	if err != nil {
		h.log.Warn("a request to the webhook is no AdmissionReview", "error", err)
		return "", failed, &httpError{http.StatusBadRequest, err.Error()}
	}
	a, err := h.answer(ctx, v)
	if err == nil {
		var data []byte
		if data, err = a.encode(v.version); err == nil {
			w.Header().Set("Content-Type", "application/json")
			if _, err := w.Write(data); err != nil {
				h.log.Debug("an answer could not be sent", "error", err)
			}
			return v.kind, became(a), nil
		}
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("there was no answer within %s: %w", limit, err)
	}
	h.log.Error("an object could not be decided about", "object", v.asked().String(), "error", err)
	return v.kind, failed, err
}

// timeout gives how long an answer may take.
func timeout(r *http.Request) time.Duration {
	limit, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || limit <= 0 {
		limit = defaultTimeout
	}
	limit = min(limit, maxTimeout)
	return limit - min(margin, limit/2)
}

// body reads what was sent.
func (h *handler) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, &httpError{http.StatusUnsupportedMediaType, "the body must be of Content-Type application/json"}
	}
	tooLarge := &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", h.maxBody)}
	if r.ContentLength > h.maxBody {
		return nil, tooLarge
	}
	// Reading to the end needs some room that is left.
	buffer := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), bodyAtOnce)+bytes.MinRead))
	_, err := buffer.ReadFrom(http.MaxBytesReader(w, r.Body, h.maxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, &httpError{http.StatusBadRequest, "the body could not be read: " + err.Error()}
	case buffer.Len() == 0:
		return nil, &httpError{http.StatusBadRequest, "the body is empty"}
	}
	return buffer.Bytes(), nil
}

// answer decides. An error is one of rules or program, not of the object.
func (h *handler) answer(ctx context.Context, v review) (answer, error) {
	a := answer{UID: v.uid, Allowed: true}
	if !v.decides() {
		return a, nil
	}
	o := v.asked()
	d, err := h.decided(ctx, o)
	var refused *engine.Refused
	isRefused := errors.As(err, &refused)
	switch {
	case v.deleting():
		// Whoever removes the last finalizer must not be stopped, whatever is wrong.
		if isRefused {
			a.Warnings = warnings(refused.Reasons)
		}
	case o.Name == "" && d.Outcome != engine.Ignored:
		a.Warnings = warnings([]engine.Reason{nameless})
	case isRefused && v.sameForUs():
		a.Warnings = warnings(refused.Reasons)
	case isRefused:
		a.deny(v, o, refused.Reasons)
		h.log.Info("an object was refused", "object", o.String(), "ids", ids(refused.Reasons))
	case err != nil:
		return a, err
	default:
		a.allow(d)
	}
	return a, nil
}

// decided makes a panic an error. Neither that nor the log shows the object.
func (h *handler) decided(ctx context.Context, o engine.Object) (d engine.Desired, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		what := fmt.Sprintf("%T", p)
		if e, ok := p.(runtime.Error); ok {
			what = e.Error()
		}
		h.log.Error("a decision panicked", "object", o.String(), "panic", what, "stack", string(debug.Stack()))
		d, err = engine.Desired{}, fmt.Errorf("the decision about %s panicked", o)
	}()
	return h.decide(ctx, o)
}

// became tells what an answer is counted as.
func became(a answer) result {
	switch {
	case !a.Allowed:
		return denied
	case len(a.Patch) > 0:
		return patched
	}
	return allowed
}

func ids(reasons []engine.Reason) []string {
	var all []string
	for _, r := range reasons[:min(len(reasons), maxWarnings)] {
		all = append(all, r.ID)
	}
	return all
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
