package k8s

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// Files of bundles: good and other are two that load, broken is none.
const (
	good = `
-- templates__partner.cue --
package templates

import "github.com/cuegate/cuegate/cue/template"

templates: partner: template.#Base & {
	api: use_keyless: false
}
-- closed.rego --
package cuegate.guard

# METADATA
# title: Closed
# labels:
#   id: closed
deny contains {"id": "closed", "msg": "Everything is closed."} if input.object.name == "closed"
`
	other = `
-- partner.cue --
package templates

import "github.com/cuegate/cuegate/cue/template"

templates: associate: template.#Base & {
	api: use_keyless: false
}
`
	broken = `
-- partner.cue --
package templates

templates: partner: {
`
)

// patience is how long a test waits for what should come soon.
const patience = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after %s: %s", patience, what)
		}
	}
}

// bundleBox is a bundles with everything that it tells.
type bundleBox struct {
	*bundles
	leads atomic.Bool

	mu      sync.Mutex
	swapped []*engine.Bundle
	events  []string
	counts  []string
}

func newBundleBox(t *testing.T, o bundleOptions) *bundleBox {
	t.Helper()
	x := &bundleBox{}
	x.leads.Store(true)
	o.Builtin, o.Metrics, o.Log = cuegate.Builtin(), x, slog.New(slog.DiscardHandler)
	o.Swap = func(b *engine.Bundle) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.swapped = append(x.swapped, b)
	}
	o.Event = func(c *corev1.ConfigMap, eventtype, reason, message string) bool {
		if !x.leads.Load() {
			return false
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.events = append(x.events, fmt.Sprintf("%s %s %s/%s %s", eventtype, reason, c.Namespace, c.Name, message))
		return true
	}
	if o.quiet == 0 {
		o.quiet, o.again = 10*time.Millisecond, 50*time.Millisecond
	}
	b, err := newBundles(o)
	if err != nil {
		t.Fatal(err)
	}
	x.bundles = b
	return x
}

func (x *bundleBox) start(t *testing.T) *bundleBox {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = x.run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return x
}

func (x *bundleBox) bundleLoaded(digest string, generation uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts = append(x.counts, fmt.Sprintf("loaded %s %d", digest, generation))
}

func (x *bundleBox) bundleRefused() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.counts = append(x.counts, "refused")
}

// told gives the Events that were written.
func (x *bundleBox) told() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string(nil), x.events...)
}

// waitFor waits until generation n is in use and nothing is wrong.
func (x *bundleBox) waitFor(t *testing.T, n uint64) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the state is %+v", x.view())
		}
	}()
	eventually(t, fmt.Sprintf("bundle %d in use", n), func() bool {
		s := x.now()
		return s.generation == n && len(s.problems) == 0
	})
}

func (x *bundleBox) waitRefused(t *testing.T) {
	t.Helper()
	eventually(t, "bundle refused", func() bool { return len(x.now().problems) > 0 })
}

func configMap(name, archive string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "cuegate", Name: name, Labels: map[string]string{"bundle": "yes"}}, Data: map[string]string{}}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		c.Data[f.Name] = string(f.Data)
	}
	return c
}

// write puts the files of an archive below a folder; their names are keys or paths.
func write(t *testing.T, dir, archive string) {
	t.Helper()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// asPaths gives an archive with the keys as paths.
func asPaths(archive string) string {
	a := txtar.Parse([]byte(archive))
	for i := range a.Files {
		a.Files[i].Name = pathOfKey(a.Files[i].Name)
	}
	return string(txtar.Format(a))
}

func TestBundleBuiltinAlone(t *testing.T) {
	x := newBundleBox(t, bundleOptions{})
	if err := x.ready(); err == nil {
		t.Error("ready before anything is loaded")
	}
	x.start(t).waitFor(t, 1)
	if err := x.ready(); err != nil {
		t.Error(err)
	}
	if got := x.told(); len(got) > 0 {
		t.Errorf("a start tells %q", got)
	}
	if v := x.view(); !strings.HasPrefix(v.Digest, "sha256:") || len(v.Templates) == 0 {
		t.Errorf("view is %+v", v)
	}
}

func TestBundleFromConfigMaps(t *testing.T) {
	ctx := t.Context()
	stranger := configMap("stranger", broken)
	stranger.Labels = nil
	abroad := configMap("abroad", broken)
	abroad.Namespace = "elsewhere"
	client := fake.NewClientset(configMap("one", good), stranger, abroad)
	maps := client.CoreV1().ConfigMaps("cuegate")
	x := newBundleBox(t, bundleOptions{Client: client, Namespace: "cuegate", Selector: "bundle=yes"}).start(t)
	x.waitFor(t, 1)
	if got := strings.Join(x.view().Templates, " "); !strings.Contains(got, "partner") {
		t.Errorf("templates are %s", got)
	}
	if got := x.told(); len(got) > 0 {
		t.Errorf("a start tells %q", got)
	}

	// A second one that is broken: the first stays, and the author of the second is told.
	second := configMap("two", "-- second.cue --\npackage templates\n\ntemplates: second: {\n")
	if _, err := maps.Create(ctx, second, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	x.waitRefused(t)
	eventually(t, "told", func() bool { return len(x.told()) == 1 })
	got := x.told()[0]
	if !strings.HasPrefix(got, "Warning BundleRefused cuegate/two ") || !strings.Contains(got, "templates/second.cue:3:") {
		t.Errorf("told %q", got)
	}
	if s := x.now(); s.generation != 1 || s.bundle == nil {
		t.Errorf("the bundle in use is %+v", s)
	}
	if v := x.view(); v.Problems == 0 || len(v.Refused) != v.Problems {
		t.Errorf("view is %+v", v)
	}

	// What says nothing new is not told again.
	second.Annotations = map[string]string{"a": "b"}
	if _, err := maps.Update(ctx, second, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	again := x.looks(t)
	if n := len(x.told()); n != 1 {
		t.Errorf("%d Events after %d looks", n, again)
	}

	// Gone again: the digest is the old one, nothing is swapped, and the trouble is over.
	if err := maps.Delete(ctx, "two", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	x.waitFor(t, 1)
	eventually(t, "told of the end", func() bool { return len(x.told()) == 2 })
	if got := x.told()[1]; got != "Normal BundleLoaded cuegate/one The bundle is in use: "+x.view().Digest {
		t.Errorf("told %q", got)
	}

	// Another bundle.
	if _, err := maps.Update(ctx, configMap("one", other), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	x.waitFor(t, 2)
	if got := strings.Join(x.view().Templates, " "); !strings.Contains(got, "associate") {
		t.Errorf("templates are %s", got)
	}

	// None at all would open what they close.
	if err := maps.Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	x.waitRefused(t)
	if s := x.now(); s.generation != 2 || !strings.Contains(texts(s.problems), "no ConfigMap") {
		t.Errorf("state is %+v", s)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.swapped) != 2 {
		t.Errorf("%d swaps", len(x.swapped))
	}
}

// looks waits until the sources were read a few times more.
func (x *bundleBox) looks(t *testing.T) int {
	t.Helper()
	n := x.looked.Load()
	eventually(t, "looked again", func() bool { return x.looked.Load() >= n+3 })
	return 3
}

func TestBundleBrokenAtStart(t *testing.T) {
	client := fake.NewClientset(configMap("one", broken))
	x := newBundleBox(t, bundleOptions{Client: client, Namespace: "cuegate", Selector: "bundle=yes"})
	x.leads.Store(false)
	x.start(t).waitRefused(t)
	if err := x.ready(); err == nil || !strings.Contains(err.Error(), "templates/partner.cue:3:") {
		t.Errorf("ready says %v", err)
	}
	x.mu.Lock()
	if len(x.swapped) > 0 {
		t.Error("a bundle is in use")
	}
	x.mu.Unlock()
	x.looks(t)
	if got := x.told(); len(got) > 0 {
		t.Errorf("told by one who does not lead: %q", got)
	}
	x.leads.Store(true)
	eventually(t, "told", func() bool { return len(x.told()) > 0 })
	x.looks(t)
	if got := x.told(); len(got) != 1 || !strings.Contains(got[0], "nothing is decided until it is mended") {
		t.Errorf("told %q", got)
	}
	if _, err := client.CoreV1().ConfigMaps("cuegate").Update(t.Context(), configMap("one", good), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	x.waitFor(t, 1)
	eventually(t, "told of the end", func() bool { return len(x.told()) == 2 })
	x.mu.Lock()
	defer x.mu.Unlock()
	if got := strings.Join(x.counts, ", "); got != "refused, loaded "+x.swapped[0].Digest()+" 1" {
		t.Errorf("counted %s", got)
	}
}

func TestBundleThatFailsItsCheck(t *testing.T) {
	const unfit = `
-- templates/unfit.cue --
package templates

import "github.com/cuegate/cuegate/cue/template"

templates: unfit: template.#Base & {
	in: _
	api: proxy: target_url: in.service.port
}
`
	dir := t.TempDir()
	write(t, dir, unfit)
	x := newBundleBox(t, bundleOptions{Dir: dir}).start(t)
	x.waitRefused(t)
	if got := texts(x.now().problems); !strings.Contains(got, "templates/unfit.cue:") {
		t.Errorf("problems are %s", got)
	}
}

func TestBundleFromFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bundle")
	// Nothing but what is heard of may help: it is read again only after a long time.
	x := newBundleBox(t, bundleOptions{Dir: dir, quiet: 20 * time.Millisecond, again: time.Hour}).start(t)
	x.waitRefused(t)
	write(t, dir, asPaths(good))
	x.waitFor(t, 1)
	write(t, dir, "-- templates/deeper/partner.txt --\nread by nobody\n-- README.md --\nnor this\n")
	write(t, dir, asPaths(broken))
	x.waitRefused(t)
	write(t, dir, asPaths(other))
	x.waitFor(t, 2)
	// A folder that was not there before.
	write(t, dir, "-- policies/guard/deep/more.rego --\npackage cuegate.guard\n")
	x.waitFor(t, 3)
	write(t, dir, "-- policies/guard/deep/more.rego --\npackage cuegate.guard\n\n# changed\n")
	x.waitFor(t, 4)
	if got := x.told(); len(got) > 0 {
		t.Errorf("there is no ConfigMap to tell on, and told %q", got)
	}
}

// swap does what the kubelet does when a ConfigMap that is mounted changes.
func swap(t *testing.T, dir, version, archive string) {
	t.Helper()
	write(t, filepath.Join(dir, version), archive)
	old, _ := os.Readlink(filepath.Join(dir, volumeData))
	tmp := filepath.Join(dir, "..data_tmp")
	must(t, os.Symlink(version, tmp))
	must(t, os.Rename(tmp, filepath.Join(dir, volumeData)))
	entries, err := os.ReadDir(filepath.Join(dir, version))
	must(t, err)
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(volumeData, e.Name()), filepath.Join(dir, e.Name())); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	if old != "" {
		must(t, os.RemoveAll(filepath.Join(dir, old)))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBundleFromMountedConfigMap(t *testing.T) {
	for _, shape := range []struct {
		name string
		form func(string) string
	}{
		{"keys", func(a string) string { return a }},
		{"items with paths", asPaths},
	} {
		t.Run(shape.name, func(t *testing.T) {
			dir := t.TempDir()
			swap(t, dir, "..2026_01_01", shape.form(good))
			x := newBundleBox(t, bundleOptions{Dir: dir, quiet: 20 * time.Millisecond, again: time.Hour}).start(t)
			x.waitFor(t, 1)
			swap(t, dir, "..2026_01_02", shape.form(broken))
			x.waitRefused(t)
			swap(t, dir, "..2026_01_03", shape.form(other))
			x.waitFor(t, 2)
			// The same content under another name is the same bundle.
			swap(t, dir, "..2026_01_04", shape.form(other))
			swap(t, dir, "..2026_01_05", shape.form(good))
			x.waitFor(t, 3)
		})
	}
}

func TestBundleFolderThatIsALink(t *testing.T) {
	base := t.TempDir()
	write(t, filepath.Join(base, "one"), asPaths(good))
	write(t, filepath.Join(base, "two"), asPaths(other))
	link := filepath.Join(base, "current")
	must(t, os.Symlink("one", link))
	x := newBundleBox(t, bundleOptions{Dir: link, quiet: 20 * time.Millisecond, again: time.Hour}).start(t)
	x.waitFor(t, 1)
	must(t, os.Symlink("two", link+"_tmp"))
	must(t, os.Rename(link+"_tmp", link))
	x.waitFor(t, 2)
	// And what changes in the new one.
	write(t, filepath.Join(base, "two"), asPaths(good))
	x.waitFor(t, 3)
}

func TestBundleFromBoth(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "-- policies/partner.rego --\npackage cuegate.guard\n")
	client := fake.NewClientset(configMap("one", good))
	x := newBundleBox(t, bundleOptions{Dir: dir, Client: client, Namespace: "cuegate", Selector: "bundle=yes"}).start(t)
	x.waitFor(t, 1)
	write(t, dir, "-- policies/closed.rego --\npackage cuegate.guard\n")
	x.waitRefused(t)
	got := texts(x.now().problems)
	want := fmt.Sprintf("policies/closed.rego: the file is given twice: by %s, and by ConfigMap cuegate/one, key closed.rego", filepath.Join(dir, "policies", "closed.rego"))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBundleOptionsRefused(t *testing.T) {
	for _, o := range []bundleOptions{
		{Selector: "bundle=yes"},
		{Namespace: "cuegate", Selector: "=="},
		{Namespace: "cuegate", Selector: " "},
	} {
		o.Client = fake.NewClientset()
		if _, err := newBundles(o); err == nil {
			t.Errorf("namespace %q and selector %q are taken", o.Namespace, o.Selector)
		}
	}
}

func TestClipText(t *testing.T) {
	if got := clipText("short"); got != "short" {
		t.Errorf("got %q", got)
	}
	if got := clipText(strings.Repeat("ä", maxText)); len(got) > maxText || strings.ToValidUTF8(got, "?") != got {
		t.Errorf("got %d bytes, valid %t", len(got), strings.ToValidUTF8(got, "?") == got)
	}
}
