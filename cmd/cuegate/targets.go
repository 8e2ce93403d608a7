package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate/adapters/tyk"
)

// secretVariables are where a secret is read from when no file is named; the second
// is that of the controller before this one.
var secretVariables = []string{"CUEGATE_SECRET", "TK8S_TYK_SECRET"}

// targetFlags say where to push to.
type targetFlags struct {
	gateways       []string
	dashboard      string
	secretFile     string
	caFile         string
	insecure       bool
	timeout        time.Duration
	driftInterval  time.Duration
	confirmDeletes bool
}

func (f *targetFlags) flags(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringArrayVar(&f.gateways, "gateway", nil, "URL of a gateway's control API; may be given several times")
	s.StringVar(&f.dashboard, "dashboard", "", "URL of a Tyk Dashboard")
	s.StringVar(&f.secretFile, "secret-file", "", "file with the gateway's secret or the Dashboard's key; without it the environment variable CUEGATE_SECRET counts")
	s.StringVar(&f.caFile, "ca-file", "", "PEM of the certificates to trust")
	s.BoolVar(&f.insecure, "insecure-skip-verify", false, "trust any certificate of the gateway or the Dashboard")
	s.DurationVar(&f.timeout, "timeout", 10*time.Second, "of one call to a gateway or the Dashboard")
	_ = cmd.MarkFlagFilename("secret-file")
	_ = cmd.MarkFlagFilename("ca-file", "pem", "crt")
	cmd.MarkFlagsMutuallyExclusive("gateway", "dashboard")
}

func (f *targetFlags) pushFlags(cmd *cobra.Command) {
	f.flags(cmd)
	s := cmd.Flags()
	s.BoolVar(&f.confirmDeletes, "confirm-deletes", false, "push a plan that deletes more than half of what is there, and more than 10")
}

// named tells whether any flag or the configuration names a target.
func (f *targetFlags) named(c config) bool {
	return len(f.gateways) > 0 || f.dashboard != "" || len(c.Targets) > 0
}

// settings gives the targets of the flags, or else those of the configuration.
func (f *targetFlags) settings(c config) ([]tyk.Settings, error) {
	targets := c.Targets
	if len(f.gateways) > 0 || f.dashboard != "" {
		targets = nil
		for _, u := range f.gateways {
			targets = append(targets, f.target(u, tyk.Gateway))
		}
		if f.dashboard != "" {
			targets = append(targets, f.target(f.dashboard, tyk.Dashboard))
		}
	}
	if len(targets) == 0 {
		return nil, errors.New("name where to push to: --gateway URL, --dashboard URL, or targets in the configuration")
	}
	var all []tyk.Settings
	for _, t := range targets {
		s, err := t.settings(c.OrgID, f.timeout)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (f *targetFlags) target(u string, mode tyk.Mode) targetConfig {
	return targetConfig{URL: u, Mode: string(mode), SecretFile: f.secretFile, CAFile: f.caFile, InsecureSkipVerify: f.insecure}
}

func (t targetConfig) settings(orgID string, timeout time.Duration) (tyk.Settings, error) {
	secret, err := readSecret(t.SecretFile)
	if err != nil {
		return tyk.Settings{}, fmt.Errorf("target %s: %w", t.shown(), err)
	}
	s := tyk.Settings{
		Name: t.Name, URL: t.URL, Secret: secret, OrgID: orgID, Mode: tyk.Mode(t.Mode), Tags: t.Tags,
		InsecureSkipVerify: t.InsecureSkipVerify, Timeout: timeout,
	}
	if t.CAFile != "" {
		if s.CA, err = os.ReadFile(t.CAFile); err != nil {
			return s, fmt.Errorf("target %s: %w", t.shown(), err)
		}
	}
	return s, nil
}

// shown names the target in errors: a URL may hold a password.
func (t targetConfig) shown() string {
	u, err := url.Parse(t.URL)
	if err != nil {
		return cmp.Or(t.Name, "with a URL that is none")
	}
	return u.Redacted()
}

// readSecret reads a file, or the environment. A secret is never a flag's value: those
// are in the list of processes.
func readSecret(file string) (tyk.Secret, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return tyk.Secret{}, err
		}
		if text := strings.TrimSpace(string(data)); text != "" {
			return tyk.NewSecret(text), nil
		}
		return tyk.Secret{}, fmt.Errorf("the secret file %s is empty", file)
	}
	for _, name := range secretVariables {
		if text := os.Getenv(name); text != "" {
			return tyk.NewSecret(text), nil
		}
	}
	return tyk.Secret{}, errors.New("there is no secret: set CUEGATE_SECRET, or name a file with --secret-file")
}
