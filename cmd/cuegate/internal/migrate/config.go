package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/cuegate/cuegate/cmd/cuegate/internal/nearest"
	"github.com/cuegate/cuegate/engine"
)

// Configuration is what became of a configuration file of the old controller.
type Configuration struct {
	// Files: cuegate.yaml, run.sh that starts the controller, and bundle/ with settings
	// and the sidecar.
	Files *txtar.Archive
	// Lines say of every key what became of it.
	Lines []string
	// Left counts what a person has to do before the files may be used.
	Left int
}

// ConvertConfig converts a configuration file, and what the environment (NAME=VALUE) says
// in its place. Values that are secrets, or may be, go nowhere. builtin is the built-in
// bundle, with which the new one is checked.
func ConvertConfig(ctx context.Context, builtin fs.FS, name string, data []byte, environment []string) (*Configuration, error) {
	old, err := readOldConfig(name, data, environment)
	if err != nil {
		return nil, err
	}
	m := &mover{old: old, done: map[string]bool{}}
	m.server()
	m.tyk()
	m.ingress()
	m.injector()
	m.others()
	c := &Configuration{Files: m.files(), Lines: m.lines, Left: m.left}
	if err := c.check(ctx, builtin); err != nil {
		return nil, err
	}
	return c, nil
}

// check loads the bundle: what it has wrong is left to do.
func (c *Configuration) check(ctx context.Context, builtin fs.FS) error {
	all, err := txtar.FS(c.Files)
	if err != nil {
		return err
	}
	if _, err := fs.Stat(all, "bundle"); err != nil {
		return nil
	}
	bundle, err := fs.Sub(all, "bundle")
	if err != nil {
		return err
	}
	_, err = engine.LoadBundle(ctx, builtin, bundle)
	var broken *engine.BundleError
	if !errors.As(err, &broken) {
		return err
	}
	for _, p := range broken.Problems {
		c.Lines = append(c.Lines, "bundle/"+p.String())
		c.Left++
	}
	return nil
}

// mover moves a configuration, section by section.
type mover struct {
	old   *oldConfig
	lines []string
	left  int
	done  map[string]bool

	orgID, url, mode string
	insecure         bool
	flags            []string
	// settings of policies/data.yaml, and of its part mesh.
	namespaces   []string
	interception string
	tls          string
	sidecar      []line
}

// say tells what became of a key.
func (m *mover) say(v oldValue, format string, args ...any) {
	m.lines = append(m.lines, fmt.Sprintf("%s: %s: %s", v.at, v.key, fmt.Sprintf(format, args...)))
}

// todo tells what a person has to do.
func (m *mover) todo(v oldValue, format string, args ...any) {
	m.left++
	m.say(v, "TODO: "+format, args...)
}

// take gives a value that is set, and notes that it was looked at.
func (m *mover) take(key string) (oldValue, bool) {
	m.done[strings.ToLower(key)] = true
	return m.old.get(key)
}

// takeTruth gives a value that is true or false.
func (m *mover) takeTruth(key string) (v oldValue, is, ok bool) {
	v, ok = m.take(key)
	if !ok {
		return v, false, false
	}
	if is, ok = v.truth(); !ok {
		m.todo(v, "it is neither true nor false")
	}
	return v, is, ok
}

// hasMesh tells whether the file speaks of sidecars.
func (m *mover) hasMesh() bool {
	return slices.ContainsFunc(m.old.order, func(k string) bool { return strings.HasPrefix(k, "injector.") })
}

func (m *mover) server() {
	addr, hasAddr := m.take("Server.addr")
	cert, hasCert := m.take("Server.certFile")
	key, hasKey := m.take("Server.keyFile")
	if !m.hasMesh() {
		for _, key := range m.old.order {
			if v := m.old.values[key]; m.done[key] && !v.isNull() {
				m.say(v, "needs nothing: the webhook is there for sidecars only, of which the file says nothing")
			}
		}
		return
	}
	if hasAddr {
		m.flag("--webhook", addr.text())
		m.say(addr, "is now --webhook %s", addr.text())
	} else {
		m.flag("--webhook", ":9443")
	}
	switch {
	case hasCert && hasKey:
		m.flag("--webhook-cert", cert.text())
		m.flag("--webhook-key", key.text())
		m.say(cert, "is now --webhook-cert; without it the controller makes a certificate of its own, renews it and tells the API server")
		m.say(key, "is now --webhook-key")
	case hasCert:
		m.todo(cert, "there is no keyFile beside it")
	case hasKey:
		m.todo(key, "there is no certFile beside it")
	}
}

func (m *mover) flag(name string, value ...string) {
	m.flags = append(m.flags, strings.Join(append([]string{name}, value...), " "))
}

func (m *mover) tyk() {
	m.mode = "dashboard"
	gateway, isGateway, ok := m.takeTruth("Tyk.isGateway")
	if isGateway {
		m.mode = "gateway"
	}
	if ok {
		m.say(gateway, "is now targets[0].mode: %s, in cuegate.yaml", m.mode)
	}
	if v, ok := m.take("Tyk.url"); ok {
		m.target(v)
	}
	if v, ok := m.take("Tyk.secret"); ok {
		m.say(v, "is left to you: put it into the environment variable CUEGATE_SECRET (TK8S_TYK_SECRET is read as well), or into a file that targets[0].secretFile names; it is not repeated here")
	}
	if v, ok := m.take("Tyk.org"); ok {
		m.orgID = v.text()
		m.say(v, "is now orgID, in cuegate.yaml")
	}
	if v, ok := m.take("Tyk.templates"); ok {
		m.say(v, "is left to you: convert the folder with `cuegate migrate -o bundle %s`", v.text())
	}
	if v, is, ok := m.takeTruth("Tyk.insecureSkipVerify"); ok {
		m.insecure = is
		if is {
			m.say(v, "is now targets[0].insecureSkipVerify, in cuegate.yaml; better name the CA in targets[0].caFile")
		} else {
			m.say(v, "is so without being said")
		}
	}
	if v, is, ok := m.takeTruth("Tyk.isHybrid"); ok {
		switch {
		case !is:
			m.say(v, "is so without being said")
		case isGateway:
			m.todo(v, "it contradicts isGateway: a hybrid gateway is told what to serve by the Dashboard of Tyk Cloud")
		default:
			m.say(v, "is now, about, a Dashboard as the target; the slug is no longer the listen path: where your gateway wants that, write `slug: in.path` in your templates")
		}
	}
}

// target is where to push to.
func (m *mover) target(v oldValue) {
	u, err := url.Parse(v.text())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		m.todo(v, "it is no URL with http or https")
		return
	}
	if u.User != nil {
		u.User = nil
		m.todo(v, "it holds credentials, which are left out")
	}
	m.url = u.String()
	m.say(v, "is now targets[0].url, in cuegate.yaml")
	if m.mode != "gateway" {
		return
	}
	switch host := u.Hostname(); {
	case host != "localhost" && host != "127.0.0.1" && host != "::1":
		m.say(v, "note: that is one gateway; where a Service has several behind it, use --gateway-service NAMESPACE/NAME:PORT in place of the target")
	case m.hasMesh():
		m.todo(v, "a controller in the pod of each gateway cannot look after a mesh too: run one controller with --gateway-service NAMESPACE/NAME:PORT and --mesh-push, in place of the target")
	default:
		m.flag("--sidecar")
		m.say(v, "means that the controller runs in the pod of each gateway: --sidecar; one controller for all of them is --gateway-service NAMESPACE/NAME:PORT")
	}
}

func (m *mover) ingress() {
	v, ok := m.take("Ingress.watchNamespaces")
	if !ok {
		return
	}
	m.namespaces = v.list()
	if len(m.namespaces) == 0 {
		m.say(v, "is empty, so all namespaces are watched")
		return
	}
	m.say(v, "is now settings.watch.namespaces, in bundle/policies/data.yaml: hosts that other namespaces named first are still theirs; for a controller without rights on other namespaces use --watch-namespace in its place")
}

// others are the keys below CA, those that are empty, and those that nobody knows.
func (m *mover) others() {
	hadCA := false
	for _, k := range m.old.order {
		v := m.old.values[k]
		switch {
		case m.done[k] && v.isNull():
			m.say(v, "is empty, and says nothing")
		case m.done[k]:
		case strings.HasPrefix(k, "ca."):
			hadCA = true
			m.say(v, "needs nothing: the controller keeps the CA and the certificates of the mesh, or takes a CA of yours from the Secret cuegate-mesh-ca")
		default:
			near := nearest.Name(v.key, oldKeys)
			if near != "" {
				near = fmt.Sprintf("; did you mean %s?", near)
			}
			m.todo(v, "the old controller had no such key, and nothing comes of it%s", near)
		}
	}
	if hadCA {
		m.lines = append(m.lines, m.old.file+": note: trust the old CA no longer: its keys lay in a database in clear")
	}
}

// files writes what was moved.
func (m *mover) files() *txtar.Archive {
	a := &txtar.Archive{}
	add := func(name, text string) {
		a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
	}
	add("cuegate.yaml", m.config())
	bundle := ""
	if data := m.data(); data != "" {
		add("bundle/policies/data.yaml", data)
		bundle = "bundle"
	}
	if len(m.sidecar) > 0 {
		var b strings.Builder
		b.WriteString("package templates\n\nimport \"github.com/cuegate/cuegate/cue/sidecar\"\n\n")
		fmt.Fprintf(&b, "// The sidecar was converted from %s.\n", m.old.file)
		b.WriteString("inject: sidecar.#Sidecar & {\n")
		printLines(&b, m.sidecar, "\t")
		b.WriteString("}\n")
		add("bundle/templates/sidecar.cue", b.String())
		add("bundle/cue.mod/module.cue", Module)
		bundle = "bundle"
	}
	add("run.sh", m.script(bundle))
	return a
}

func (m *mover) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Converted from %s. The secret comes from the environment variable CUEGATE_SECRET.\n", m.old.file)
	b.WriteString("# Tells what is of this cluster from what is of another one on the same gateways.\nclusterID: default\n")
	fmt.Fprintf(&b, "orgID: %s\n", jsonText(cmp.Or(m.orgID, "default")))
	if m.url == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "targets:\n  - url: %s\n    mode: %s\n", jsonText(m.url), m.mode)
	if m.insecure {
		b.WriteString("    insecureSkipVerify: true\n")
	}
	return b.String()
}

// data writes the settings that differ from the built-in ones.
func (m *mover) data() string {
	var b strings.Builder
	if len(m.namespaces) > 0 {
		fmt.Fprintf(&b, "  watch:\n    namespaces: %s\n", spaced(jsonText(m.namespaces)))
	}
	if m.interception+m.tls != "" {
		b.WriteString("  mesh:\n")
		if m.interception != "" {
			fmt.Fprintf(&b, "    interception: %s\n", m.interception)
		}
		if m.tls != "" {
			fmt.Fprintf(&b, "    tls: %q\n", m.tls)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "settings:\n" + b.String()
}

func (m *mover) script(bundle string) string {
	all := []string{"--config cuegate.yaml"}
	if bundle != "" {
		all = append(all, "--bundle "+bundle)
	}
	for _, f := range m.flags {
		name, value, ok := strings.Cut(f, " ")
		if ok {
			name += " " + shellText(value)
		}
		all = append(all, name)
	}
	return "#!/bin/sh\n# Wants the secret in the environment variable CUEGATE_SECRET.\nexec cuegate run --source kubernetes \\\n\t" + strings.Join(all, " \\\n\t") + "\n"
}

var plainShell = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

func shellText(text string) string {
	if plainShell.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// jsonText writes a value as JSON, which YAML and CUE read as well.
func jsonText(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and lists of them always have a form in JSON
	}
	return string(data)
}

// nodeText writes a node of YAML as JSON.
func nodeText(n *yaml.Node) (string, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return "", err
	}
	data, err := json.Marshal(v)
	return string(data), err
}
