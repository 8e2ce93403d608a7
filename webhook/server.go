package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cuegate/cuegate/engine"
)

// lastAnswers is how long requests in hand may take at the end.
const lastAnswers = 10 * time.Second

// Options say what a Server decides by, and how it serves.
type Options struct {
	// Decide decides about an object, with its neighbours as they are now. Many
	// goroutines call it. Its error is a *engine.Refused, which denies the request, or
	// else one that leaves the request to the failurePolicy of the webhook.
	Decide func(context.Context, engine.Object) (engine.Desired, error)
	// Ready says why nothing can be decided yet; nil is always ready.
	Ready func() error

	// Certificates is needed to Run.
	Certificates Certificates
	// Address to listen at, such as ":9443". Listener takes its place.
	Address  string
	Listener net.Listener

	// MaxBody is how many bytes a request may have; DefaultMaxBody where it is 0.
	MaxBody int64
	// Drain is how long requests are still taken after the end was asked for, for
	// those who have not heard of it; 5 s where it is 0.
	Drain time.Duration

	// Metrics and Log may be nil.
	Metrics prometheus.Registerer
	Log     *slog.Logger
	// Now is the clock that certificates are held to; time.Now where it is nil.
	Now func() time.Time
}

// Server answers the API server.
type Server struct {
	options  Options
	mux      *http.ServeMux
	draining atomic.Bool
}

// New makes a server. It registers its metrics, and does nothing else yet.
func New(o Options) (*Server, error) {
	if o.Decide == nil {
		return nil, errors.New("the webhook has nothing to decide by")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MaxBody, o.Drain = cmp.Or(o.MaxBody, DefaultMaxBody), cmp.Or(o.Drain, 5*time.Second)
	s := &Server{options: o, mux: http.NewServeMux()}
	s.mux.Handle("POST /mutate", &handler{decide: o.Decide, maxBody: o.MaxBody, metrics: newMetrics(o.Metrics, s.expiry), log: o.Log})
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	s.mux.HandleFunc("GET /readyz", s.ready)
	return s, nil
}

// Handler serves
//
//	POST /mutate    an AdmissionReview
//	GET  /healthz   ok, while the program answers
//	GET  /readyz    ok, or 503 and why
//
// /healthz is behind TLS like the rest: it does not answer before there is a
// certificate.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			// Clients with connections that they keep find another server before this one
			// closes them.
			w.Header().Set("Connection", "close")
		}
		s.mux.ServeHTTP(w, r)
	})
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	err := s.certificate()
	switch {
	case s.draining.Load():
		err = errors.New("the server is shutting down")
	case err == nil && s.options.Ready != nil:
		err = s.options.Ready()
	}
	if err != nil {
		writeText(w, http.StatusServiceUnavailable, err.Error()+"\n")
		return
	}
	writeText(w, http.StatusOK, "ok\n")
}

// certificate says what is wrong with the serving certificate.
func (s *Server) certificate() error {
	if s.options.Certificates == nil {
		return nil // somebody else serves the handler
	}
	c, err := s.options.Certificates.GetCertificate(&tls.ClientHelloInfo{})
	if err == nil && s.options.Now().After(c.Leaf.NotAfter) {
		err = fmt.Errorf("the serving certificate expired at %s", c.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return err
}

func (s *Server) expiry() float64 {
	if s.options.Certificates == nil {
		return 0
	}
	c, err := s.options.Certificates.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		return 0
	}
	return float64(c.Leaf.NotAfter.Unix())
}

// Run listens until ctx ends. Then /readyz fails, requests are served for the time of
// Drain, and those in hand are answered before it returns.
func (s *Server) Run(ctx context.Context) error {
	o := s.options
	if o.Certificates == nil {
		return errors.New("the webhook has no certificates to serve with")
	}
	listener := o.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", o.Address); err != nil {
			return fmt.Errorf("serving the webhook: %w", err)
		}
	}
	// Certificates are followed to the end of the last request.
	served, stop := context.WithCancel(context.WithoutCancel(ctx))
	failure := make(chan error, 2)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() {
		if err := o.Certificates.Run(served); err != nil {
			failure <- fmt.Errorf("following the serving certificate: %w", err)
		}
	})
	server := s.http()
	defer server.Close()
	all.Go(func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			failure <- fmt.Errorf("serving the webhook: %w", err)
		}
	})
	o.Log.Info("the webhook listens", "address", listener.Addr().String())
	select {
	case err := <-failure:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	select {
	case err := <-failure:
		return err
	case <-time.After(o.Drain):
	}
	last, end := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer end()
	if err := server.Shutdown(last); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// http gives the server. Idle connections last longer than those of the API server, 90
// seconds, so that it is the one to close them: it would lose a request on a connection
// that is closed just then.
func (s *Server) http() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           s.Handler(),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.options.Certificates.GetCertificate},
		Protocols:         &protocols,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      maxTimeout + 10*time.Second,
		IdleTimeout:       3 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelWarn),
	}
}
