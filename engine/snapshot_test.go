package engine_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// asStored gives an object as an API server has it: with what it and kubectl note there,
// and Secrets with new pairs of certificate and key. hidden are texts that nobody else
// may see.
func asStored(t *testing.T, o engine.Object) (stored engine.Object, hidden [][]byte) {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(o.JSON, &doc); err != nil {
		t.Fatal(err)
	}
	meta := doc["metadata"].(map[string]any)
	meta["resourceVersion"], meta["generation"], meta["managedFields"] = "17", 3, []any{map[string]any{"manager": "kubectl"}}
	if o.Kind == "Secret" {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cert, der := selfSigned(t, key)
		text := keyPEM(t, "EC PRIVATE KEY", key)
		data := map[string][]byte{"tls.crt": cert, "tls.key": text, "token": []byte("hush-hush-token"), "next.crt": newLeaf(t).cert}
		doc["data"] = data
		raw, _ := json.Marshal(data)
		annotations, _ := meta["annotations"].(map[string]any)
		if annotations == nil {
			annotations = map[string]any{}
			meta["annotations"] = annotations
		}
		annotations["kubectl.kubernetes.io/last-applied-configuration"] = string(raw)
		block, _ := pem.Decode(text)
		number, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		for _, plain := range [][]byte{cert, der, text, block.Bytes, data["token"], number} {
			hidden = append(hidden, plain, []byte(strings.TrimRight(base64.StdEncoding.EncodeToString(plain), "=")))
		}
		hidden = append(hidden, bytes.TrimSpace(bytes.Split(text, []byte("\n"))[1]))
	} else if o.Kind == "Ingress" || o.Kind == "Service" {
		doc["status"] = map[string]any{"loadBalancer": map[string]any{"ingress": []any{map[string]any{"ip": "10.0.0.1"}}}}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	o.JSON = raw
	return o, hidden
}

// decideOver gives what becomes of all objects, certificates without their PEM.
func decideOver(t *testing.T, e *engine.Engine, objects []engine.Object) []engine.Desired {
	t.Helper()
	around, _ := engine.NewCluster(objects)
	var all []engine.Desired
	for _, o := range objects {
		if o.Kind == "CertificateFacts" || o.Kind == "Snapshot" || o.Kind == "Secret" {
			continue
		}
		d, _, _ := e.Decide(context.Background(), o, around)
		for i := range d.Certificates {
			d.Certificates[i].PEM = nil
			d.Certificates[i].NotAfter = d.Certificates[i].NotAfter.UTC()
		}
		all = append(all, d)
	}
	return all
}

func byRef(all []engine.Desired) map[string]engine.Desired {
	m := map[string]engine.Desired{}
	for _, d := range all {
		m[d.Object.String()] = d
	}
	return m
}

// written gives objects as a file of them is read again.
func written(t *testing.T, objects []engine.Object) ([]engine.Object, []byte) {
	t.Helper()
	var file bytes.Buffer
	for _, o := range objects {
		file.WriteString("---\n")
		file.Write(o.JSON)
		file.WriteString("\n")
	}
	read, rejected := engine.ParseManifests("snapshot", file.Bytes())
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	return read, file.Bytes()
}

// What is decided from a snapshot of each example is what is decided from the example,
// byte for byte, and nothing of a Secret is in it.
func TestSnapshotOfExamples(t *testing.T) {
	dirs, err := filepath.Glob("../examples/[0-9][0-9]-*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no examples: ", err)
	}
	secrets := 0
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var operator fs.FS
			if _, err := os.Stat(filepath.Join(dir, "bundle")); err == nil {
				operator = os.DirFS(filepath.Join(dir, "bundle"))
			}
			b, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), operator)
			if err != nil {
				t.Fatal(err)
			}
			e := engine.New(b, engine.Config{ClusterID: "test", OrgID: "default", MeshNamespace: "cuegate"})
			var objects []engine.Object
			var hidden [][]byte
			files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
			for _, name := range files {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				found, rejected := engine.ParseManifests(name, text)
				if len(rejected) > 0 {
					t.Fatal(rejected)
				}
				for _, o := range found {
					stored, h := asStored(t, o)
					objects, hidden = append(objects, stored), append(hidden, h...)
				}
			}
			secrets += len(hidden)
			reduced, err := engine.Snapshot(objects, engine.SnapshotOf{})
			if err != nil {
				t.Fatal(err)
			}
			read, file := written(t, reduced)
			for _, text := range hidden {
				if bytes.Contains(file, text) {
					t.Errorf("the snapshot holds %d bytes of a Secret", len(text))
				}
			}
			for _, note := range []string{"managedFields", "resourceVersion", "10.0.0.1", "last-applied"} {
				if bytes.Contains(file, []byte(note)) {
					t.Errorf("the snapshot holds %s", note)
				}
			}
			want, got := byRef(decideOver(t, e, objects)), byRef(decideOver(t, e, read))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-cluster +snapshot):\n%s", diff)
			}
			again, err := engine.Snapshot(read, engine.SnapshotOf{})
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := written(t, again); !bytes.Equal(file, twice) {
				t.Error("a snapshot of a snapshot is another one")
			}
		})
	}
	if secrets == 0 {
		t.Error("no example has a Secret")
	}
}

// Workloads with a sidecar, and Services whose ports lead to it, have the same patch.
func TestSnapshotOfInjected(t *testing.T) {
	e := meshEngine(t, "", "")
	plain := echo(t, "injector.tyk.io/port: \"3000\"", `containers: [{name: app, image: "registry.example/app:1", ports: [{containerPort: 3000}], args: [--password=hush], env: [{name: PASSWORD, value: hush}]}]`)
	injectedEcho := patched(t, plain, decideOver(t, e, []engine.Object{plain})[0].Patch)
	for name, o := range map[string]engine.Object{"plain": plain, "injected": injectedEcho} {
		t.Run(name, func(t *testing.T) {
			reduced, err := engine.Snapshot([]engine.Object{o}, engine.SnapshotOf{Whole: true})
			if err != nil {
				t.Fatal(err)
			}
			read, file := written(t, reduced)
			if bytes.Contains(file, []byte("hush")) {
				t.Error("the snapshot holds the environment of the app")
			}
			for _, by := range []*engine.Engine{e, meshEngine(t, "port: 9999", "")} {
				want, got := decideOver(t, by, []engine.Object{o}), decideOver(t, by, read)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-cluster +snapshot):\n%s", diff)
				}
				if name == "injected" && by == e && want[0].Patch != nil {
					t.Errorf("a workload with its sidecar is patched: %s", want[0].Patch)
				}
			}
		})
	}
}

// A snapshot of a whole cluster says that what is not in it does not exist.
func TestSnapshotIsWhole(t *testing.T) {
	ingress := ingressObject(t, routed("tea", "tea.example.com", "/tea", "Prefix", nil))
	class := manifest(t, "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: tyk}\nspec: {controller: cuegate.dev/ingress-controller}\n")
	for _, whole := range []bool{true, false} {
		reduced, err := engine.Snapshot([]engine.Object{ingress, class}, engine.SnapshotOf{Whole: whole})
		if err != nil {
			t.Fatal(err)
		}
		read, _ := written(t, reduced)
		around, rejected := engine.NewCluster(read)
		if len(rejected) > 0 {
			t.Fatal(rejected)
		}
		d, _, _ := builtinEngine().Decide(context.Background(), ingress, around)
		want := engine.Managed
		if whole {
			want = engine.Held // there is no Service
		}
		if d.Outcome != want {
			t.Errorf("whole %t: the outcome is %s: %v", whole, d.Outcome, d.Reasons)
		}
	}
}

// What cannot stand for a Secret is rejected, and so is what stands for one that is
// given too.
func TestCertificateFacts(t *testing.T) {
	const head = "apiVersion: cuegate.dev/v1\nkind: CertificateFacts\nmetadata: {name: x, namespace: cafe}\n"
	for text, want := range map[string]string{
		"":                                    "neither a certificate nor a problem",
		"certificate: {fingerprint: abc}\n":   "SHA-256",
		"certificate: {fingerprint: [abc]}\n": "must be",
		"problem: it is old\n":                "it is old",
		"certificate: {fingerprint: \"" + strings.Repeat("AB", 32) + "\"}\n":                             "lower-case",
		"certificate: {fingerprint: \"" + strings.Repeat("ab", 32) + "\"}\nmesh: {role: king, for: x}\n": "mesh.role",
	} {
		_, rejected := engine.NewCluster([]engine.Object{manifest(t, head+text)})
		if len(rejected) != 1 || !strings.Contains(rejected[0].Reason.Msg, want) {
			t.Errorf("%q: got %v, want %q", text, rejected, want)
		}
	}
	good := manifest(t, head+"certificate: {fingerprint: \""+strings.Repeat("ab", 32)+"\"}\n")
	secret := manifest(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: cafe}\ntype: Opaque\n")
	if _, rejected := engine.NewCluster([]engine.Object{good}); len(rejected) > 0 {
		t.Error(rejected)
	}
	if _, rejected := engine.NewCluster([]engine.Object{secret, good}); len(rejected) != 1 {
		t.Errorf("beside the Secret itself: %v", rejected)
	}
	// What is named so by others is not ours.
	other := manifest(t, strings.Replace(head, "cuegate.dev/v1", "example.com/v1", 1))
	if _, rejected := engine.NewCluster([]engine.Object{other}); len(rejected) > 0 {
		t.Error(rejected)
	}
}

// Annotations whose values an explanation hides are told.
func TestWithheld(t *testing.T) {
	doc := routed("tea", "tea.example.com", "/tea", "Prefix", map[string]string{
		"string.service.tyk.io/jwt-source":                                    "aHVzaA==",
		"string.service.tyk.io/name":                                          "plain",
		"object.service.tyk.io/upstream-auth":                                 `{"basic_auth": {"password": "hush"}}`,
		"string.service.tyk.io/proxy.target-url":                              "http://user:hush@tea.cafe",
		"string.service.tyk.io/version-data.versions.Default.override-target": "http://tea.cafe",
	})
	want := []string{"object.service.tyk.io/upstream-auth", "string.service.tyk.io/jwt-source", "string.service.tyk.io/proxy.target-url"}
	if diff := cmp.Diff(want, builtinEngine().Withheld(ingressObject(t, doc))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
