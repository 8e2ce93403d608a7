package tyk

import (
	"cmp"
	"errors"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/cenkalti/backoff/v5"
)

// Mode says which API a target speaks.
type Mode string

// The modes. The zero Mode is found out by asking.
const (
	Gateway   Mode = "gateway"   // Gateway API, Community Edition
	Dashboard Mode = "dashboard" // Dashboard API, Pro
)

// Settings say how to reach one target.
type Settings struct {
	// Name of the target in reports; the URL without its secrets where it is empty.
	Name string
	// URL of the control API: http or https, with a path where it has one.
	URL string
	// Secret of the gateway, or the API access key of a user of the Dashboard.
	Secret Secret
	// OrgID is the organisation that certificates belong to.
	OrgID string
	Mode  Mode
	// Tags of a gateway. Where there are any, only definitions that share one are
	// pushed: a gateway that loads files does not filter by tag (Tyk Gateway
	// v5.11.1, measured). A gateway without gets none of the mesh.
	Tags []string
	// Sidecar says that the gateway is one of a pod of the mesh. It gets those
	// definitions of the mesh whose scope is among its tags, and no others.
	Sidecar bool

	// CA is PEM of the certificates to trust; those of the system where it is empty.
	CA []byte
	// InsecureSkipVerify trusts any certificate.
	InsecureSkipVerify bool

	// Timeout of one call; 10 s where it is 0. Lists and reloads have longer ones.
	Timeout time.Duration
	// Attempts of one call at the most; 4 where it is 0.
	Attempts int
	// Concurrency is how many calls run at once; where it is 0 it is 8, and 2 for a
	// sidecar, of which there may be hundreds.
	Concurrency int
	// Rate is how many calls a second begin. Where it is 0 it is 5000, more than a
	// gateway takes (some 1,600 writes a second on one connection, Tyk Gateway v5.11.1,
	// measured), and 500 for a Dashboard, which others use too.
	Rate float64
	// FirstPause is the pause before the second attempt of a call, later ones double
	// it; 200 ms where it is 0. It is spread at random by half.
	FirstPause time.Duration
}

func (s Settings) withDefaults() Settings {
	s.Name = cmp.Or(s.Name, redactURL(s.URL))
	s.Timeout = cmp.Or(s.Timeout, 10*time.Second)
	s.Attempts = cmp.Or(s.Attempts, 4)
	if s.Sidecar {
		s.Mode = cmp.Or(s.Mode, Gateway)
		s.Concurrency = cmp.Or(s.Concurrency, 2)
	}
	s.Concurrency = cmp.Or(s.Concurrency, 8)
	if s.Rate == 0 {
		s.Rate = 5000
		if s.Mode == Dashboard {
			s.Rate = 500
		}
	}
	s.FirstPause = cmp.Or(s.FirstPause, 200*time.Millisecond)
	return s
}

func (s Settings) backoff() backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = s.FirstPause, 20*s.FirstPause, 2
	return b
}

// check finds what no call could mend.
func (s Settings) check() error {
	switch {
	case s.Secret.Empty():
		return errors.New("there is no secret for " + s.Name)
	case strings.ContainsFunc(s.Secret.reveal(), unicode.IsControl):
		return errors.New("the secret for " + s.Name + " holds a line break or another character that no header may have")
	case s.Mode != "" && s.Mode != Gateway && s.Mode != Dashboard:
		return errors.New("the mode " + string(s.Mode) + " is neither gateway nor dashboard")
	case s.Sidecar && s.Mode != Gateway:
		return errors.New("the sidecar " + s.Name + " is pushed to as if it were a Dashboard")
	case s.Sidecar && len(s.Tags) == 0:
		return errors.New("the sidecar " + s.Name + " has no tags, and so there is nothing for it")
	}
	return nil
}

// isPlain tells whether the secret would cross a network in clear.
func (s Settings) isPlain() bool {
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	return host != "localhost" && host != "127.0.0.1" && host != "::1"
}
