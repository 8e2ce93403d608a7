package migrate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func (m *mover) injector() {
	if !m.hasMesh() {
		return
	}
	m.flags = append([]string{"--mesh"}, m.flags...)
	if m.mode == "gateway" {
		m.flags = slices.Insert(m.flags, 1, "--mesh-push")
	}
	if v, ok := m.take("Injector.containers"); ok {
		m.containers(v)
	}
	if v, ok := m.take("Injector.initContainers"); ok {
		m.initContainers(v)
	}
	if v, is, ok := m.takeTruth("Injector.createRoutes"); ok {
		if is {
			m.say(v, "is so without being said: the controller makes the routes of a workload when it is there")
		} else {
			m.todo(v, "a workload with a sidecar always has its routes; who wants none has to do without the sidecar")
		}
	}
	if v, is, ok := m.takeTruth("Injector.enableMeshTLS"); ok {
		if is {
			m.tls = "tls"
			m.say(v, "is now settings.mesh.tls: \"tls\", in bundle/policies/data.yaml; \"mtls\" has callers show certificates too, and lets in those groups alone that may call")
		} else {
			m.say(v, "is so without being said")
		}
	}
	if v, ok := m.take("Injector.meshCertificateID"); ok {
		m.say(v, "needs nothing: the controller makes the certificates of the mesh and renews them")
	}
}

// made are the variables of a gateway that the sidecar of Cuegate sets as it needs them.
var made = regexp.MustCompile(`^TYK_GW_(LISTENPORT|CONTROLAPIPORT|CONTROLAPIHOSTNAME|ENABLECUSTOMDOMAINS|USEDBAPPCONFIGS|APPPATH|SECRET|DISABLEPORTSWHITELIST|POLICIES_POLICYSOURCE|DBAPPCONFOPTIONS_(TAGS|NODEISSEGMENTED)|HTTPSERVEROPTIONS_(USESSL|SSLCERTIFICATES|CERTIFICATES|ENABLESTRICTROUTES|SKIPCLIENTCAANNOUNCEMENT)|STORAGE_TYPE|SECURITY_PRIVATECERTIFICATEENCODINGSECRET)$`)

// telling matches the names of variables whose values are secrets, or may be.
var telling = regexp.MustCompile(`(?i)secret|passw|token|credential|private|license|apikey|api_key|connectionstring|mongo`)

// withCredentials matches a URL with a password in it.
var withCredentials = regexp.MustCompile(`://[^/@]*@`)

// containers moves the containers of the old sidecar: one is the gateway.
func (m *mover) containers(v oldValue) {
	all := m.old.containers(v)
	if len(all) == 0 {
		m.say(v, "is empty")
		return
	}
	i := max(0, slices.IndexFunc(all, func(c oldContainer) bool {
		return c.name == "tyk-mesh" || strings.Contains(c.image, "tyk-gateway")
	}))
	g := &gatewayMover{mover: m}
	g.move(all[i])
	for _, c := range slices.Delete(all, i, i+1) {
		m.todo(oldValue{key: "Injector.containers", at: c.at}, "the container %s is not converted: add it to extra.containers in bundle/templates/sidecar.cue", c.name)
	}
}

// gatewayMover moves the container of the gateway into a sidecar of Cuegate.
type gatewayMover struct {
	*mover
	config, gateway, env []line
	redis, dashboard     []line
	// host and port of Redis, where they are given apart.
	host, port string
}

func (g *gatewayMover) move(c oldContainer) {
	at := func(key string) oldValue { return oldValue{key: "Injector.containers." + key, at: c.at} }
	if c.name != "" && c.name != "tyk-mesh" {
		g.config = append(g.config, line{label: "name", value: quote(c.name)})
		g.say(at("name"), "is now config.name, in bundle/templates/sidecar.cue")
	}
	if c.image != "" {
		g.config = append(g.config, line{label: "image", value: quote(c.image)})
		g.say(at("image"), "is now, about, config.image: try it with Cuegate, or leave it out; the sidecar is then the gateway that Cuegate was tried with")
	}
	edition := "dashboard"
	if g.mode == "gateway" {
		edition = "gateway"
	}
	g.config = append(g.config, line{label: "edition", value: quote(edition)})
	for _, e := range c.env {
		g.variable(e)
	}
	if g.host != "" {
		g.redis = append(g.redis, line{label: "addresses", value: "[" + quote(g.host+":"+orDefault(g.port, "6379")) + "]"})
	}
	for _, r := range c.rest {
		g.rest(r)
	}
	if len(g.redis) > 0 {
		g.config = append(g.config, line{label: "redis", body: g.redis})
	}
	if len(g.dashboard) > 0 {
		g.config = append(g.config, line{label: "dashboard", body: g.dashboard})
	}
	g.sidecar = []line{{label: "config", body: g.config}}
	if len(g.gateway) > 0 {
		g.sidecar = append(g.sidecar, line{label: "gateway", body: g.gateway})
	}
	if len(g.env) > 0 {
		g.sidecar = append(g.sidecar, line{label: "env", body: g.env})
	}
}

func orDefault(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// rest moves what else is said of the container.
func (g *gatewayMover) rest(r oldValue) {
	v := oldValue{key: "Injector.containers." + r.key, at: r.at, node: r.node}
	switch r.key {
	case "imagePullPolicy":
		g.config = append(g.config, line{label: r.key, value: quote(r.node.Value)})
		g.say(v, "is now config.imagePullPolicy")
	case "resources", "command", "args", "workingDir":
		text, err := nodeText(r.node)
		if err != nil {
			g.todo(v, "it cannot be read")
			return
		}
		g.gateway = append(g.gateway, line{label: r.key, value: spaced(text)})
		g.say(v, "is now gateway.%s", r.key)
	case "ports":
		g.say(v, "needs nothing: the sidecar has the ports that it needs")
	default:
		g.todo(v, "it is not converted: see whether bundle/templates/sidecar.cue needs it")
	}
}

// spaced writes compact JSON as `cue fmt` does.
func spaced(text string) string {
	var b strings.Builder
	in := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		b.WriteByte(c)
		switch {
		case in && c == '\\':
			i++
			b.WriteByte(text[i])
		case c == '"':
			in = !in
		case !in && (c == ',' || c == ':'):
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// variable moves a variable of the gateway's environment.
func (g *gatewayMover) variable(e oldEnv) {
	v := oldValue{key: e.name, at: e.at}
	name := strings.ToUpper(e.name)
	switch {
	case made.MatchString(name):
		g.say(v, "needs nothing: the sidecar sets it as it needs it")
	case name == "TYK_GW_NODESECRET":
		g.nodeSecret(v, e)
	case name == "TYK_GW_STORAGE_PASSWORD":
		g.storagePassword(v, e)
	case e.from != nil:
		text, err := nodeText(e.from)
		if err != nil {
			g.todo(v, "it cannot be read")
			return
		}
		g.env = append(g.env, line{label: labelText(e.name), value: fmt.Sprintf("{name: %s, valueFrom: %s}", quote(e.name), spaced(text))})
		g.say(v, "is now env.%s", e.name)
	case g.address(name, v, e):
	case telling.MatchString(name), withCredentials.MatchString(e.value):
		g.todo(v, "it may be a secret, so it is not repeated: put it into a Secret, and in bundle/templates/sidecar.cue `env: %s: {name: %q, valueFrom: secretKeyRef: {name: ..., key: ...}}`", e.name, e.name)
	default:
		g.env = append(g.env, line{label: labelText(e.name), value: quote(e.value)})
		g.say(v, "is now env.%s", e.name)
	}
}

func labelText(name string) string {
	if plainLabel.MatchString(name) {
		return name
	}
	return quote(name)
}

// address moves what says where Redis and the Dashboard are.
func (g *gatewayMover) address(name string, v oldValue, e oldEnv) bool {
	if withCredentials.MatchString(e.value) {
		return false
	}
	truth := func(label string) {
		g.redis = append(g.redis, line{label: label, value: fmt.Sprint(strings.EqualFold(e.value, "true"))})
		g.say(v, "is now config.redis.%s", label)
	}
	switch name {
	case "TYK_GW_DBAPPCONFOPTIONS_CONNECTIONSTRING", "TYK_GW_POLICIES_POLICYCONNECTIONSTRING":
		l := line{label: "url", value: quote(e.value)}
		same := func(x line) bool { return x.label == l.label }
		switch i := slices.IndexFunc(g.dashboard, same); {
		case i < 0:
			g.dashboard = append(g.dashboard, l)
		case g.dashboard[i].value != l.value:
			g.todo(v, "it differs from the other URL of the Dashboard, and the sidecar takes both from config.dashboard.url")
			return true
		}
		g.say(v, "is now config.dashboard.url")
	case "TYK_GW_STORAGE_HOSTS", "TYK_GW_STORAGE_ADDRS":
		var all []string
		for _, a := range strings.FieldsFunc(e.value, func(r rune) bool { return r == ',' || r == ' ' }) {
			all = append(all, quote(a))
		}
		g.redis = append(g.redis, line{label: "addresses", value: "[" + strings.Join(all, ", ") + "]"})
		g.say(v, "is now config.redis.addresses")
	case "TYK_GW_STORAGE_HOST":
		g.host = e.value
		g.say(v, "is now config.redis.addresses")
	case "TYK_GW_STORAGE_PORT":
		g.port = e.value
		g.say(v, "is now config.redis.addresses")
	case "TYK_GW_STORAGE_ENABLECLUSTER":
		truth("cluster")
	case "TYK_GW_STORAGE_USESSL":
		truth("tls")
	default:
		return false
	}
	return true
}

// nodeSecret: the sidecar reads the node secret from a Secret that config.dashboard
// names.
func (g *gatewayMover) nodeSecret(v oldValue, e oldEnv) {
	if name, key, ok := e.secretRef(); ok && key == "node-secret" {
		g.dashboard = append(g.dashboard, line{label: "secret", value: quote(name)})
		g.say(v, "is now config.dashboard.secret")
		return
	}
	g.say(v, "is left to you: put it into a Secret tyk-mesh-dashboard with the key node-secret, in each namespace of the mesh; it is not repeated here")
}

func (g *gatewayMover) storagePassword(v oldValue, e oldEnv) {
	if name, key, ok := e.secretRef(); ok && key == "password" {
		g.redis = append(g.redis, line{label: "passwordSecret", value: quote(name)})
		g.say(v, "is now config.redis.passwordSecret")
		return
	}
	g.todo(v, "put it into a Secret with the key password, in each namespace of the mesh, and name that in config.redis.passwordSecret of bundle/templates/sidecar.cue; it is not repeated here")
}

// initContainers: one that writes rules of iptables is the interception of the mesh.
func (m *mover) initContainers(v oldValue) {
	for _, c := range m.old.containers(v) {
		key := oldValue{key: "Injector.initContainers", at: c.at}
		if !m.intercepts(c) {
			m.todo(key, "the container %s is not converted", c.name)
			continue
		}
		m.interception = "iptables"
		m.say(key, "is now, about, settings.mesh.interception: iptables, in bundle/policies/data.yaml, and config.interception of the sidecar: an init container of Cuegate's own writes the rules, and needs no privileged mode")
		m.intercept()
	}
}

// intercept has all requests of the app pass through the sidecar, as before.
func (m *mover) intercept() {
	part := line{label: "interception", body: []line{{label: "destinations", value: `["0.0.0.0/0"]`}}}
	if len(m.sidecar) == 0 {
		m.sidecar = []line{{label: "config"}}
	}
	config := &m.sidecar[0]
	if !slices.ContainsFunc(config.body, func(l line) bool { return l.label == part.label }) {
		config.body = append(config.body, part)
	}
}

var intercepting = regexp.MustCompile(`(?i)iptables|NET_ADMIN|"privileged":true`)

// intercepts tells whether a container writes rules of iptables, by its name, its image,
// its script or its rights.
func (m *mover) intercepts(c oldContainer) bool {
	texts := []string{c.name, c.image}
	for _, r := range c.rest {
		if text, err := nodeText(r.node); err == nil {
			texts = append(texts, text)
		}
	}
	return slices.ContainsFunc(texts, intercepting.MatchString)
}
