package tyk

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tidwall/gjson"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	Good    Level = "ok"
	Warning Level = "warning"
	Bad     Level = "bad"
)

// Finding is one thing that a look at a target told.
type Finding struct {
	Level Level `json:"level"`
	// ID is stable, e.g. "custom-domains".
	ID  string `json:"id"`
	Msg string `json:"message"`
}

// Checkup is what there is to say of one target.
type Checkup struct {
	Target   string    `json:"target"`
	Status   Status    `json:"status"`
	Findings []Finding `json:"findings"`
}

// Doctor looks at every target. dataURL is where a gateway serves traffic; that of
// its control API where it is "". With probe it also writes two definitions, asks
// for them, and removes them again: nothing else tells whether domains count.
func (f *Fleet) Doctor(ctx context.Context, dataURL string, probe bool) ([]Checkup, error) {
	settings, err := f.targets(ctx)
	if err != nil {
		return nil, err
	}
	var all []Checkup
	for _, s := range settings {
		c := Checkup{Target: s.Name}
		t, err := newTarget(s, f.options)
		if err == nil {
			err = t.examine(ctx, &c, cmp.Or(dataURL, s.URL), probe)
		}
		if err != nil {
			c.say(Bad, "unreachable", "%s", err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (c *Checkup) say(level Level, id, format string, args ...any) {
	c.Findings = append(c.Findings, Finding{level, id, fmt.Sprintf(format, args...)})
}

// Warnings tells what is unsafe about the settings.
func (s Settings) Warnings() []Finding {
	var all []Finding
	if s.isPlain() {
		all = append(all, Finding{Warning, "plain-http", "The secret crosses the network in clear: use https."})
	}
	if s.InsecureSkipVerify {
		all = append(all, Finding{Warning, "insecure-skip-verify", "Any certificate of the target is trusted."})
	}
	return all
}

func (t *target) examine(ctx context.Context, c *Checkup, dataURL string, probe bool) error {
	c.Findings = t.settings.Warnings()
	err := t.open(ctx)
	if c.Status = t.status; err != nil {
		return err
	}
	c.say(Good, "reachable", "A %s of version %s answers.", t.status.Mode, cmp.Or(t.status.Version, "unknown"))
	if !t.status.Healthy {
		c.say(Bad, "unhealthy", "It says that it is not well: %s.", t.status.Detail)
	}
	if err := t.census(ctx, c); err != nil {
		return err
	}
	if t.status.Mode == Gateway && probe {
		return t.examineDomains(ctx, c, dataURL)
	}
	return nil
}

// census counts definitions, which proves the secret as well.
func (t *target) census(ctx context.Context, c *Checkup) error {
	ours, others := 0, 0
	err := t.dialect.List(ctx, func() { ours, others = 0, 0 }, func(definition []byte) error {
		if _, ok := parseOurs(t.options.ClusterID, definition); ok {
			ours++
		} else {
			others++
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.say(Good, "definitions", "It has %d definitions of cluster %q, and %d of others, which are left alone.", ours, t.options.ClusterID, others)
	return nil
}

// examineDomains proves whether enable_custom_domains is on. Where it is off, a
// gateway ignores domains without a word (Tyk Gateway v5.11.1, measured). Two
// definitions of one listen path and two domains answer differently by themselves:
// one wants a key (401), the other has no version to serve (403).
func (t *target) examineDomains(ctx context.Context, c *Checkup, dataURL string) error {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	name := "cuegate-doctor-" + hex.EncodeToString(random)
	hosts := [2]string{"a." + name + ".invalid", "b." + name + ".invalid"}
	bodies := [2]string{`"use_keyless":false,"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}}`,
		`"use_keyless":true,"version_data":{"not_versioned":false,"versions":{}}`}
	defer t.forget(ctx, name)
	for i, host := range hosts {
		definition := fmt.Sprintf(`{"name":%q,"api_id":"%s-%d","org_id":%q,"active":true,"domain":%q,%s,"proxy":{"listen_path":"/%s/","target_url":"http://%s"}}`,
			name, name, i, t.settings.OrgID, host, bodies[i], name, host)
		if err := t.dialect.Create(ctx, "", []byte(definition)); err != nil {
			return err
		}
	}
	if err := t.dialect.Reload(ctx); err != nil {
		return err
	}
	var got [2]int
	for i, host := range hosts {
		status, err := ask(ctx, t.dataClient(), dataURL, host, "/"+name+"/")
		if err != nil {
			c.say(Warning, "custom-domains-unknown", "Whether domains count could not be found out, because %s does not answer: name where the gateway serves traffic.", redactURL(dataURL))
			return nil
		}
		got[i] = status
	}
	switch got {
	case [2]int{http.StatusUnauthorized, http.StatusForbidden}:
		c.say(Good, "custom-domains", "Domains count (enable_custom_domains).")
	case [2]int{http.StatusNotFound, http.StatusNotFound}:
		c.say(Warning, "custom-domains-unknown", "The definitions were loaded, and %s does not serve them: name where the gateway serves traffic.", redactURL(dataURL))
	default:
		c.say(Bad, "custom-domains", "Domains do not count: every host reaches every API. Set enable_custom_domains to true, or hosts are mixed up.")
	}
	return nil
}

// forget removes the pair again, also when ctx has ended.
func (t *target) forget(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for i := range 2 {
		_ = t.dialect.Delete(ctx, fmt.Sprintf("%s-%d", name, i))
	}
	_ = t.dialect.Reload(ctx)
	// One that was written and not loaded could not be deleted before.
	for i := range 2 {
		if err := t.dialect.Delete(ctx, fmt.Sprintf("%s-%d", name, i)); err == nil {
			_ = t.dialect.Reload(ctx)
		}
	}
}

func (t *target) dataClient() *http.Client {
	if g, ok := t.dialect.(*gatewayAPI); ok {
		return g.client
	}
	return http.DefaultClient
}

// ask requests a path of a host from a gateway, without any secret.
func ask(ctx context.Context, client *http.Client, base, host, path string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base, nil)
	if err != nil {
		return 0, err
	}
	req.URL.Path, req.Host = path, host
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.CopyN(io.Discard, resp.Body, 4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return resp.StatusCode, nil
}

// OwnerOf gives the object in the mark of a definition of any cluster, or "".
func OwnerOf(definition []byte) string {
	return gjson.GetBytes(definition, "config_data.cuegate.owner").String()
}
