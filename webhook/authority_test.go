package webhook

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// trusted tells whether a caller who knows the bundle accepts the leaf.
func trusted(a *authority, bundle []byte, name string, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	_, err := a.leaf.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

func TestFresh(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := made(t, now)
	for _, name := range testRules.names {
		for _, at := range []time.Time{now.Add(-time.Hour), now, now.Add(90 * day)} {
			if err := trusted(a, a.bundle(), name, at); err != nil {
				t.Errorf("%s at %s: %s", name, at, err)
			}
		}
	}
	if trusted(a, a.bundle(), "other.cuegate.svc", now) == nil || trusted(a, a.bundle(), testHost, now.Add(90*day+time.Second)) == nil {
		t.Error("the certificate is good for another name, or for ever")
	}
	for _, c := range []*x509.Certificate{a.leaf.Leaf, a.signer.Leaf} {
		key, ok := c.PublicKey.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			t.Errorf("the key is %T", c.PublicKey)
		}
	}
	if !a.signer.Leaf.IsCA || a.leaf.Leaf.IsCA || !a.signer.Leaf.NotAfter.Equal(now.Add(5*365*day)) {
		t.Error("the CA is none, or lasts otherwise")
	}
}

// TestLifetime walks a year of a hasty authority, and looks at it every six hours: a
// caller that knows what was told then accepts every leaf that a replica may serve.
func TestLifetime(t *testing.T) {
	hasty := rules{leaf: 30 * day, ca: 120 * day, names: testRules.names}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var a *authority
	// Leaves that a replica that hears of nothing may still serve, as long as they last.
	var stuck []*authority
	var told []byte
	counts := map[string]int{}
	for range 365 * 4 {
		b, why, err := hasty.step(a, now, true)
		if err != nil {
			t.Fatal(err)
		}
		if (why == "") != (a == b) {
			t.Fatal("something changed without a reason, or the other way round")
		}
		if why != "" {
			counts[why]++
			stuck = append(stuck, b)
			if told == nil {
				told = b.bundle() // nobody is called before the first CA is told
			}
		}
		stuck = slices.DeleteFunc(stuck, func(s *authority) bool { return expired(s.leaf, now) })
		for _, s := range stuck {
			for _, bundle := range [][]byte{told, b.bundle()} {
				if err := trusted(s, bundle, testHost, now); err != nil {
					t.Fatalf("%s: %s", now, err)
				}
			}
		}
		if left := b.leaf.Leaf.NotAfter.Sub(now); left < 9*day {
			t.Fatalf("%s: the leaf lasts no longer than %s", now, left)
		}
		if n := len(b.old); n > 1 {
			t.Fatalf("%s: %d old CAs are told", now, n)
		}
		a, told = b, b.bundle()
		now = now.Add(6 * time.Hour)
	}
	want := map[string]int{
		"a CA and a certificate are made":                    1,
		"the next CA is made":                                4, // each 80 days
		"the next CA is known by now, and signs from now on": 4,
		"the certificate is replaced":                        14, // each 20 days, but for those of new CAs
		"no certificate of the old CA is in use any more":    4,
	}
	if !maps.Equal(counts, want) {
		t.Errorf("it went otherwise: %v", counts)
	}
}

// TestLate: what nobody replaced in time.
func TestLate(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := made(t, now)
	step := func(a *authority, at time.Time, told bool) (*authority, string) {
		t.Helper()
		b, why, err := testRules.step(a, at, told)
		if err != nil {
			t.Fatal(err)
		}
		return b, why
	}
	if b, why := step(a, now.Add(100*day), true); why != "the certificate is replaced" || !b.signer.Leaf.Equal(a.signer.Leaf) || trusted(b, a.bundle(), testHost, now.Add(100*day)) != nil {
		t.Errorf("after the leaf expired: %q", why)
	}
	end := a.signer.Leaf.NotAfter.Add(time.Second)
	if b, why := step(a, end, false); !strings.HasPrefix(why, "the CA has expired, and another") || trusted(b, b.bundle(), testHost, end) != nil || bytes.Contains(b.bundle(), certificatePEM(a.signer.Leaf)) {
		t.Errorf("after the CA expired: %q", why)
	}
	// The API server cannot be told of the next CA. The old one signs to its end.
	late := now.Add(4 * 365 * day)
	b, why := step(a, late, false)
	if why != "the next CA is made" {
		t.Fatalf("after four years: %q", why)
	}
	signed := 0
	for at := late; !at.After(a.signer.Leaf.NotAfter); at = at.Add(day) {
		if b, why = step(b, at, false); why != "" {
			signed++
		}
		if err := trusted(b, a.bundle(), testHost, at); err != nil {
			t.Fatalf("%s: %s", at, err)
		}
	}
	if signed > 10 {
		t.Errorf("%d leaves were made in the last year", signed)
	}
	if c, why := step(b, end, false); !strings.HasPrefix(why, "the CA has expired, and the next one") || !c.signer.Leaf.Equal(b.next.Leaf) || trusted(c, c.bundle(), testHost, end) != nil {
		t.Errorf("at the end of the CA: %q", why)
	}
	// Another Service is another name.
	moved := testRules
	moved.names = []string{"moved.cuegate.svc"}
	if c, why, err := moved.step(a, now, false); err != nil || why != "the certificate is replaced" || trusted(c, a.bundle(), "moved.cuegate.svc", now) != nil {
		t.Errorf("for another name: %q %v", why, err)
	}
}

func TestAuthorityInASecret(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := made(t, now)
	a, err := testRules.withNext(a, now)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = testRules.promote(a, now); err != nil {
		t.Fatal(err)
	}
	if a, err = testRules.withNext(a, now); err != nil {
		t.Fatal(err)
	}
	data, err := a.encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := decodeAuthority(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.encode()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(data, again, bytes.Equal) || len(b.old) != 1 || b.next == nil {
		t.Error("what was written is not what is read")
	}
	// A CA that begins to sign changes nothing for callers.
	if c, err := testRules.promote(b, now); err != nil || !bytes.Equal(c.bundle(), b.bundle()) {
		t.Errorf("the bundle changed: %v", err)
	}

	secret := []string{"tls.key", "signer.key", "next.key"}
	for key := range data {
		for what, value := range map[string][]byte{"nothing": nil, "rubbish": []byte("rubbish"), "another": other(t, data, key)} {
			broken := maps.Clone(data)
			broken[key] = value
			_, err := decodeAuthority(broken)
			// Without the certificate of a pair that need not be, or with whatever is derived, it is whole.
			whole := key == "ca.crt" || value == nil && (key == "next.crt" || key == "old.crt") || key == "old.crt" && what == "another" || key == "old-until" && what == "another"
			if (err == nil) != whole {
				t.Errorf("%s is %s: %v", key, what, err)
			}
			if err != nil && slices.ContainsFunc(secret, func(k string) bool { return strings.Contains(err.Error(), string(data[k])) }) {
				t.Errorf("the error shows a key")
			}
		}
	}
}

// other gives the value of a key of another authority.
func other(t testing.TB, like map[string][]byte, key string) []byte {
	t.Helper()
	if key == untilKey {
		return []byte("2027-01-01T00:00:00Z")
	}
	if key == oldCertsKey {
		return like[signerCertKey]
	}
	data, err := made(t, time.Now()).encode()
	if err != nil {
		t.Fatal(err)
	}
	return data[strings.Replace(key, "next", "signer", 1)]
}
