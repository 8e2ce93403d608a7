package tyk

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"
)

// Limits on what is read of an answer, in bytes.
const (
	maxAnswer = 4 << 20
	// maxList bounds the list of all definitions: 12,000 of them have some 75 MiB.
	maxList = 2 << 30
)

// caller makes the calls to one target: within a deadline, a rate and a number of
// attempts.
type caller struct {
	base     *url.URL
	header   string // carries the secret
	secret   Secret
	client   *http.Client
	limit    *rate.Limiter
	timeout  time.Duration
	attempts uint
	// backoff makes the series of pauses between attempts.
	backoff func() backoff.BackOff
}

// request is one call.
type request struct {
	method string
	path   string // below the base, escaped
	query  url.Values
	body   []byte
	// contentType of the body; JSON where it is empty.
	contentType string
	// once: a second attempt could do harm, unless the first never left.
	once bool
	// timeout instead of the caller's.
	timeout time.Duration
}

func (r request) op() string { return r.method + " " + r.path }

// answer is what came back, whatever its status.
type answer struct {
	status int
	body   []byte
}

func newCaller(s Settings) (*caller, error) {
	base, err := url.Parse(s.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("the URL %q is not of the form http://HOST or https://HOST", redactURL(s.URL))
	}
	if base.User != nil {
		return nil, errors.New("the URL holds a user name; secrets are read from the environment or a file")
	}
	tlsConfig := &tls.Config{InsecureSkipVerify: s.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if len(s.CA) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(s.CA) {
			return nil, errors.New("the CA file holds no PEM certificate")
		}
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		MaxIdleConnsPerHost: s.Concurrency,
		IdleConnTimeout:     15 * time.Second, // there may be hundreds of sidecars
		ForceAttemptHTTP2:   true,
	}
	return &caller{
		base: base, secret: s.Secret,
		// A redirect could carry the secret to somewhere else.
		client:   &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		limit:    rate.NewLimiter(rate.Limit(s.Rate), max(1, s.Concurrency)),
		timeout:  s.Timeout,
		attempts: uint(s.Attempts),
		backoff:  s.backoff,
	}, nil
}

// Close implements dialect.
func (c *caller) Close() { c.client.CloseIdleConnections() }

// redactURL leaves user and password out.
func redactURL(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return "?"
}

// do makes a call and gives the answer of any status below 500 but 429. What may
// pass is tried again; in the end the error is an *Unreachable.
func (c *caller) do(ctx context.Context, r request) (answer, error) {
	var last answer
	err := c.stream(ctx, r, maxAnswer, func(status int, body io.Reader) error {
		text, err := io.ReadAll(body)
		last = answer{status, c.scrub(status, text)}
		return err
	})
	return last, err
}

// scrub takes the secret out of an answer that may become a message.
func (c *caller) scrub(status int, text []byte) []byte {
	if status < 400 || c.secret.Empty() {
		return text
	}
	return bytes.ReplaceAll(text, []byte(c.secret.reveal()), []byte(redacted))
}

// stream is do with the body handed to read as it comes. read may be called
// again, for another attempt, and starts anew then.
func (c *caller) stream(ctx context.Context, r request, limit int64, read func(status int, body io.Reader) error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, c.attempt(ctx, r, limit, read)
	}, backoff.WithBackOff(c.backoff()), backoff.WithMaxTries(c.attempts), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return nil
	}
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Unwrap()
	}
	return &Unreachable{Op: r.op(), Err: err}
}

func (c *caller) attempt(ctx context.Context, r request, limit int64, read func(int, io.Reader) error) error {
	if err := c.limit.Wait(ctx); err != nil {
		return backoff.Permanent(err)
	}
	timeout := r.timeout
	if timeout == 0 {
		timeout = c.timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	u := c.base.JoinPath(r.path)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return backoff.Permanent(err)
	}
	req.Header.Set(c.header, c.secret.reveal())
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
		if r.contentType != "" {
			req.Header.Set("Content-Type", r.contentType)
		}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return c.giveUp(r, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable:
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 && s <= 60 && !r.once {
			return fmt.Errorf("status %d: %w", resp.StatusCode, backoff.RetryAfter(s))
		}
		return c.giveUp(r, fmt.Errorf("status %d", resp.StatusCode))
	case resp.StatusCode >= 500:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		message := messageOf(c.scrub(resp.StatusCode, text))
		switch {
		case message == "Delete failed":
			return backoff.Permanent(errDeleteFailed)
		case strings.Contains(message, "use_db_app_configs"):
			return backoff.Permanent(&Rejected{Op: r.op(), Status: resp.StatusCode, Message: message})
		}
		return c.giveUp(r, fmt.Errorf("status %d: %s", resp.StatusCode, message))
	}
	if err := read(resp.StatusCode, &capped{resp.Body, limit}); err != nil {
		return c.giveUp(r, err)
	}
	return nil
}

// giveUp makes an error final where a second attempt could do harm. An answer too
// large stays so.
func (c *caller) giveUp(r request, err error) error {
	var op *net.OpError
	neverLeft := errors.As(err, &op) && op.Op == "dial"
	if r.once && !neverLeft || errors.Is(err, errTooLarge) || isTLS(err) {
		return backoff.Permanent(err)
	}
	return err
}

func isTLS(err error) bool {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	return errors.As(err, &cert) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch)
}

var errTooLarge = errors.New("the answer is too large")

// capped fails, rather than ends, at the limit.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	return n, err
}

// messageOf reads the message of an answer: {"message":...} of a gateway,
// {"Message":...} of a Dashboard, or plain text.
func messageOf(body []byte) string {
	text := strings.TrimSpace(string(body))
	var envelope struct {
		Message string `json:"message"` // in any case
	}
	if decode(body, &envelope) == nil && envelope.Message != "" {
		text = envelope.Message
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	return text
}
