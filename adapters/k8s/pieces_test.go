package k8s

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/cuegate/cuegate/engine"
)

func TestPathOfKey(t *testing.T) {
	for key, want := range map[string]string{
		"policies__partner__target.rego": "policies/partner/target.rego",
		"templates__partner.cue":         "templates/partner.cue",
		"partner.cue":                    "templates/partner.cue",
		"partner.rego":                   "policies/partner.rego",
		"partner_test.rego":              "policies/partner_test.rego",
		"data.yaml":                      "policies/data.yaml",
		"data.json":                      "policies/data.json",
		"module.cue":                     "cue.mod/module.cue",
		"cue.mod__module.cue":            "cue.mod/module.cue",
		"README.md":                      "README.md",
		"other.yaml":                     "other.yaml",
	} {
		if got := pathOfKey(key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

func TestAssemble(t *testing.T) {
	for _, s := range []struct {
		keys []string
		want string
	}{
		{[]string{"a.cue", "policies__a__b.rego"}, ""},
		{[]string{"a.cue", "templates__a.cue"}, "templates/a.cue: the file is given twice: by ConfigMap n/c, key a.cue, and by ConfigMap n/c, key templates__a.cue"},
		{[]string{"__etc__passwd"}, "/etc/passwd: this is no path in a bundle (ConfigMap n/c, key __etc__passwd)"},
		{[]string{"templates__..__..__x.cue"}, "templates/../../x.cue: this is no path in a bundle (ConfigMap n/c, key templates__..__..__x.cue)"},
		{[]string{"policies", "policies__a.rego"}, "policies/a.rego: the file is below another file: ConfigMap n/c, key policies__a.rego, and ConfigMap n/c, key policies"},
	} {
		c := &corev1.ConfigMap{Data: map[string]string{}}
		c.Namespace, c.Name = "n", "c"
		for _, k := range s.keys {
			c.Data[k] = ""
		}
		ps := piecesOf(c)
		sortPieces(ps)
		_, problems := assemble(ps)
		if got := texts(problems); got != s.want {
			t.Errorf("%q:\ngot  %s\nwant %s", s.keys, got, s.want)
		}
	}
}

func TestAtFault(t *testing.T) {
	a, b := &corev1.ConfigMap{}, &corev1.ConfigMap{}
	a.Name, b.Name = "a", "b"
	ps := []piece{{name: "templates/a.cue", owner: a}, {name: "templates/b.cue", owner: b}, {name: "templates/c.cue"}, {name: "templates/d.cue", owner: a}}
	for _, s := range []struct{ files, want string }{
		{"templates/a.cue", "a"},
		{"templates/a.cue templates/d.cue", "a"},
		{"templates/b.cue templates/a.cue", "a b"},
		{"templates/c.cue", ""}, // of a folder
		{"templates/c.cue templates/a.cue", "a"},
		{"policies/main.rego", "a b"},
		{"templates/a.cue policies/main.rego", "a b"},
	} {
		var problems []engine.Problem
		for file := range strings.FieldsSeq(s.files) {
			problems = append(problems, engine.Problem{File: file})
		}
		var names []string
		for _, c := range atFault(problems, ps) {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != s.want {
			t.Errorf("%s: %s, want %s", s.files, got, s.want)
		}
	}
}

func TestReadFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "-- templates/a.cue --\n-- .git/config --\n-- policies/.b.rego.swp --\n-- stray.rego --\n")
	swap(t, filepath.Join(dir, "policies", "volume"), "..2026", "-- c.rego --\n-- data.yaml --\n")
	must(t, os.Symlink(dir, filepath.Join(dir, "templates", "itself")))
	if _, err := readFolder(dir); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
		t.Errorf("a folder within itself: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, "templates", "itself")))
	ps, err := readFolder(dir)
	must(t, err)
	sortPieces(ps)
	var names []string
	for _, p := range ps {
		names = append(names, p.name)
	}
	// Of a folder that is no volume nothing is moved: that is for cuegate vet to tell.
	if got := strings.Join(names, " "); got != "policies/volume/c.rego policies/volume/data.yaml stray.rego templates/a.cue" {
		t.Errorf("read %s", got)
	}
	if _, err := readFolder(filepath.Join(dir, "nowhere")); !os.IsNotExist(err) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
