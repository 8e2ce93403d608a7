package k8s

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/engine"
)

// Rules of where a file of a bundle is
//
//	key of a ConfigMap                  file of the bundle
//	policies__partner__target.rego      policies/partner/target.rego
//	partner.cue                         templates/partner.cue
//	partner.rego                        policies/partner.rego
//	data.yaml, data.yml, data.json      policies/data.yaml, ...
//	module.cue                          cue.mod/module.cue
//	anything else                       as it is called; nothing reads it
//
// The files of a folder are where they are. A folder that is a mounted ConfigMap
// holds keys.

// piece is one file of an operator's bundle.
type piece struct {
	// name is the path in the bundle, with "/".
	name string
	data []byte
	// from says where it comes from, for people.
	from string
	// owner names the ConfigMap that it comes from; nil of one from a folder.
	owner *corev1.ConfigMap
}

// pathOfKey gives the path in the bundle of a key of a ConfigMap.
func pathOfKey(key string) string {
	if strings.Contains(key, "__") {
		return strings.ReplaceAll(key, "__", "/")
	}
	switch ext := path.Ext(key); {
	case key == "module.cue":
		return "cue.mod/" + key
	case ext == ".cue":
		return "templates/" + key
	case ext == ".rego", key == "data.yaml", key == "data.yml", key == "data.json":
		return "policies/" + key
	}
	return key
}

// piecesOf gives the files that a ConfigMap holds.
func piecesOf(c *corev1.ConfigMap) []piece {
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name, UID: c.UID}}
	var ps []piece
	add := func(key string, data []byte) {
		from := fmt.Sprintf("ConfigMap %s/%s, key %s", c.Namespace, c.Name, key)
		ps = append(ps, piece{name: pathOfKey(key), data: data, from: from, owner: owner})
	}
	for key, text := range c.Data {
		add(key, []byte(text))
	}
	for key, data := range c.BinaryData {
		add(key, data)
	}
	return ps
}

// sortPieces puts pieces in an order that depends on nothing but themselves.
func sortPieces(ps []piece) {
	slices.SortFunc(ps, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.from, b.from))
	})
}

// fingerprint tells whether sorted pieces changed, or what is wrong with them. It is
// not the digest of the bundle, which leaves out what decides nothing.
func fingerprint(ps []piece, problems []engine.Problem) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range ps {
		uid := ""
		if p.owner != nil {
			uid = string(p.owner.UID)
		}
		fmt.Fprintf(h, "%q %q %q %d\n", p.name, p.from, uid, len(p.data))
		h.Write(p.data)
	}
	fmt.Fprintf(h, "%q", problems)
	return [sha256.Size]byte(h.Sum(nil))
}

// assemble lays sorted pieces out as a bundle.
func assemble(ps []piece) (fs.FS, []engine.Problem) {
	var problems []engine.Problem
	bad := func(p piece, format string, args ...any) {
		problems = append(problems, engine.Problem{File: p.name, Message: fmt.Sprintf(format, args...)})
	}
	a := &txtar.Archive{}
	for i, p := range ps {
		switch {
		case !fs.ValidPath(p.name) || p.name == ".":
			bad(p, "this is no path in a bundle (%s)", p.from)
		case i > 0 && ps[i-1].name == p.name:
			bad(p, "the file is given twice: by %s, and by %s", ps[i-1].from, p.from)
		default:
			if other := fileAbove(ps, p.name); other != nil {
				bad(p, "the file is below another file: %s, and %s", p.from, other.from)
				continue
			}
			a.Files = append(a.Files, txtar.File{Name: p.name, Data: p.data})
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	fsys, err := txtar.FS(a)
	if err != nil {
		return nil, []engine.Problem{{Message: err.Error()}}
	}
	return fsys, nil
}

// fileAbove gives a file that stands where a path needs a folder, or nil.
func fileAbove(ps []piece, name string) *piece {
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		i, found := slices.BinarySearchFunc(ps, dir, func(p piece, dir string) int { return cmp.Compare(p.name, dir) })
		if found {
			return &ps[i]
		}
	}
	return nil
}

// atFault gives the ConfigMaps whose files the problems are about, and all of them
// when a problem is about no file that is known.
func atFault(problems []engine.Problem, ps []piece) []*corev1.ConfigMap {
	named := map[string]bool{}
	for _, p := range problems {
		if !slices.ContainsFunc(ps, func(x piece) bool { return x.name == p.File }) {
			return owners(ps)
		}
		named[p.File] = true
	}
	return owners(slices.DeleteFunc(slices.Clone(ps), func(p piece) bool { return !named[p.name] }))
}

// owners gives the ConfigMaps that pieces come from, each once.
func owners(ps []piece) []*corev1.ConfigMap {
	var all []*corev1.ConfigMap
	for _, p := range ps {
		if p.owner != nil && !slices.ContainsFunc(all, func(o *corev1.ConfigMap) bool {
			return o.UID == p.owner.UID && o.Namespace == p.owner.Namespace && o.Name == p.owner.Name
		}) {
			all = append(all, p.owner)
		}
	}
	return all
}
