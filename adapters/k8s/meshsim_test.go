package k8s

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	clienttesting "k8s.io/client-go/testing"

	"github.com/cuegate/cuegate/engine"
)

// moment is what the cluster's objects say at a time.
type moment struct {
	at     time.Time
	shown  map[string][]*x509.Certificate // by identity
	print  map[string]string              // of the leaf
	let    map[string][]string
	bundle []*x509.Certificate
	text   string // of the bundle
}

// world is a cluster whose clocks go on, with two controllers that may look at the same
// time, at old copies, be started again, and fail.
type world struct {
	*pki
	random  *rand.Rand
	meshes  [2]*Mesh
	all     []engine.Identity
	history []moment
	checked map[meeting]bool
	failing bool
}

// meeting is of a server's certificate and a bundle.
type meeting struct {
	print, bundle string
	at            time.Time
}

// TestMeshWorlds goes through the lives of several CAs, in which
//
//   - what a caller presents is let in by every callee, as long as the two are not an
//     overlap apart in what they know;
//   - a server is trusted by all, as long as what they know of whom to trust is not the
//     CA's overlap apart from when the server's certificate was there;
//   - nothing that is presented has expired;
//   - no key is in a log.
func TestMeshWorlds(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			o := MeshOptions{Lifetime: 24 * time.Hour, Overlap: time.Hour, CALifetime: 150 * time.Hour, CAOverlap: 12 * time.Hour, Grace: 3 * time.Hour}
			w := &world{pki: newPKI(t, o), random: rand.New(rand.NewPCG(seed, 1)), checked: map[meeting]bool{}}
			w.all = []engine.Identity{echo, web, {Role: "client", For: "bar/till"}, {Role: "server", For: "DaemonSet/bar/till", Names: []string{"till-mesh.bar"}}}
			w.refuse(func(clienttesting.Action) error {
				if w.failing && w.random.IntN(3) == 0 {
					return errors.New("connection refused")
				}
				return nil
			})
			for i := range w.meshes {
				w.begin(i)
			}
			w.mesh.Want(w.all, []string{"shop", "bar"})
			w.settled()
			end := w.now().Add(200 * time.Hour)
			for w.now().Before(end) {
				w.advance(time.Duration(1+w.random.IntN(40)) * time.Minute)
				w.note()
				w.act()
				w.note()
			}
			w.failing = false
			w.settled()
			if n := len(w.checked); n < 20 {
				t.Errorf("only %d servers and bundles met", n)
			}
			w.noKeys()
		})
	}
}

// begin starts a controller again, which then knows nothing.
func (w *world) begin(i int) {
	w.restart()
	w.mesh.Want(w.all, []string{"shop", "bar"})
	w.meshes[i] = w.mesh
	w.mesh.stores = w.copies(w.mesh.o.CASecret)
}

// act has one or both of the controllers look at things, in some order, most often at
// what there is now.
func (w *world) act() {
	w.failing = w.random.IntN(4) == 0
	if w.random.IntN(30) == 0 {
		w.begin(w.random.IntN(2))
	}
	for range 1 + w.random.IntN(3) {
		w.mesh = w.meshes[w.random.IntN(2)]
		if w.random.IntN(3) > 0 {
			w.mesh.stores = w.copies(w.mesh.o.CASecret)
		}
		w.mesh.mu.Lock()
		keys := w.mesh.keys()
		w.mesh.mu.Unlock()
		w.random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, key := range keys {
			_, _ = w.mesh.look(w.t.Context(), key)
		}
	}
}

// note holds what there is now against what there was.
func (w *world) note() {
	now := moment{at: w.now(), shown: map[string][]*x509.Certificate{}, print: map[string]string{}, let: map[string][]string{}, bundle: w.bundle("shop")}
	for _, c := range now.bundle {
		now.text += printOf(c)[:8]
	}
	for _, id := range w.all {
		now.shown[id.For] = w.shown(id)
		now.print[id.For] = printOf(now.shown[id.For][0])
		now.let[id.For] = letIn(w.secret(home, identitySecret(id.Role, id.For)))
		if leaf := now.shown[id.For][0]; !validAt(leaf, now.at) {
			w.t.Errorf("%s presents what is valid from %s to %s at %s", id.For, leaf.NotBefore, leaf.NotAfter, now.at)
		}
	}
	w.history = append(w.history, now)
	for len(w.history) > 0 && now.at.Sub(w.history[0].at) >= w.o.CAOverlap {
		w.history = w.history[1:]
	}
	for _, was := range w.history {
		for _, id := range w.all {
			if id.Role == "client" && now.at.Sub(was.at) < w.o.Overlap {
				w.lets(id.For, was, now)
				w.lets(id.For, now, was)
			}
			if id.Role == "server" {
				w.trusts(id, was, now)
				w.trusts(id, now, was)
			}
		}
	}
}

func (w *world) lets(of string, caller, callee moment) {
	if slices.Contains(callee.let[of], caller.print[of]) {
		return
	}
	w.t.Errorf("what a caller of %s presents as of %s is not let in as of %s", of, caller.at, callee.at)
}

func (w *world) trusts(id engine.Identity, callee, caller moment) {
	at := caller.at
	if callee.at.After(at) {
		at = callee.at
	}
	// The same is not verified again within an hour, and what has expired by now is no
	// question of trust.
	met := meeting{callee.print[id.For], caller.text, at.Truncate(time.Hour)}
	if w.checked[met] || !validAt(callee.shown[id.For][0], at) {
		return
	}
	w.checked[met] = true
	if err := verify(callee.shown[id.For], caller.bundle, id.Names[0], at); err != nil {
		w.t.Errorf("%s as of %s is not trusted as of %s: %s", id.For, callee.at, caller.at, err)
	}
}

// noKeys looks for every secret that there is in what was logged and is told.
func (w *world) noKeys() {
	w.t.Helper()
	text := w.log.String()
	for _, m := range w.meshes {
		text += fmt.Sprint(m.Problems())
	}
	if !strings.Contains(text, "promoted") {
		w.t.Errorf("the log is %s", text)
	}
	for _, s := range w.secrets() {
		for entry, value := range s.Data {
			if strings.HasSuffix(entry, ".crt") || entry == trustEntry {
				continue
			}
			if block, _ := pem.Decode(value); block != nil {
				value = block.Bytes
			}
			for _, form := range []string{string(value), base64.StdEncoding.EncodeToString(value), fmt.Sprintf("%x", value), fmt.Sprint(value)} {
				if strings.Contains(text, form) {
					w.t.Errorf("%s of %s is told", entry, s.Name)
				}
			}
		}
	}
	if strings.Contains(text, "PRIVATE KEY") {
		w.t.Error("a private key is told")
	}
}
