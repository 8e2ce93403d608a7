package engine

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// targetCluster is a cluster with the namespaces shop, victim and default, and bare, of
// which no Services are known.
func targetCluster(t *testing.T) Cluster {
	t.Helper()
	objects, rejected := ParseManifests("cluster.yaml", []byte(`
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: bare}
---
apiVersion: v1
kind: Service
metadata: {name: tea-svc, namespace: shop}
spec: {clusterIP: 10.96.1.1, clusterIPs: [10.96.1.1, "fd00:96::1"], ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: shop}
spec: {type: ExternalName, externalName: 169.254.169.254.nip.io}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: victim}
spec: {clusterIP: 10.96.7.7, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: victim}
spec: {clusterIP: None, clusterIPs: [None], ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: public, namespace: victim}
spec: {clusterIPs: [198.18.0.1], ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: odd, namespace: victim}
spec: {clusterIPs: [169.254.169.254, 127.0.0.1, 10.96.9.9], ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: odd, namespace: shop}
spec: {clusterIP: 10.96.9.9, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{port: 443}]}
`))
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	c, rejected := NewCluster(objects)
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	return c
}

func TestTargetKinds(t *testing.T) {
	kinds := map[string][]string{
		"loopback": {
			"localhost", "LOCALHOST", "LocalHost.", "a.localhost", "a.b.localhost", "localhost.localdomain",
			"127.0.0.1", "127.0.0.1.", "127-0-0-1.shop.pod.cluster.local", "127-0-0-1.shop.pod", "--1.shop.pod", "127.255.255.254", "127.1", "127.0.1", "127.65535",
			"2130706433", "0x7f000001", "0X7F000001", "0x7f.1", "0x7f.0.0.0x1", "017700000001", "0177.0.0.1", "0177.0.0.01", "127.0.0.0x1",
			"[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
			"[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[::127.0.0.1]", "[::7f00:1]",
		},
		"unspecified": {
			"0", "0.0", "0.0.0.0", "0x0", "00", "0.0.0.0.", "[::]", "[::0.0.0.0]", "[::ffff:0.0.0.0]", "[64:ff9b::]", "0.1.2.3", "0.0.0.1", "256",
		},
		"linkLocal": {
			"169.254.0.1", "169.254.255.255", "0xa9fe0001", "169.16646145", "[fe80::1]", "[FE80::1]", "[fe80::1%25eth0]", "[::ffff:169.254.0.1]",
			"[64:ff9b::a9fe:1]", "224.0.0.1", "[ff02::1]",
		},
		"metadata": {
			"169.254.169.254", "169.254.169.254.", "2852039166", "0xa9fea9fe", "0xA9FEA9FE", "025177524776", "0251.0376.0251.0376", "169.254.43518", "169.16689662",
			"[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::169.254.169.254]", "[::169.254.169.254]", "[2002:a9fe:a9fe::1]",
			"[fd00:ec2::254]", "[FD00:EC2:0:0::254]", "[fd00:ec2::254%25eth0]", "100.100.100.200", "192.0.0.192", "168.63.129.16", "169.254.170.2",
			"169-254-169-254.shop.pod.cluster.local", "169-254-169-254.shop.pod.other.local", "metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data", "instance-data.ec2.internal",
		},
		"private": {
			"10.0.0.1", "0xa000001", "012.0.0.1", "10.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "192.168.257", "3232235777", "100.64.0.1", "100.127.255.255",
			"[fd00::1]", "[fc00::1]", "[::ffff:10.0.0.1]", "[64:ff9b::10.0.0.1]", "[2002:a00:1::]",
		},
		"public": {
			"93.184.216.34", "1.1.1.1", "0x01010101", "16843009", "100.128.0.1", "172.32.0.1", "[2606:4700:4700::1111]", "[::ffff:93.184.216.34]", "[64:ff9b::5db8:d822]",
		},
		"name": {
			"www.example.com", "a.b.c.example.org", "93.184.216.34.example.com", "127.0.0.1.example.com", "xn--bcher-kva.example.com",
			"localhosts.example.com", "notlocalhost.example.com", "metadata.example.com", "256.256.256.256.256", "1.2.3.4.5",
			"tea-svc.shop.example.com", "db.victim.example.com", "no-such-svc.shop", "web-0.no-such-svc.shop", "tea-svc.nowhere", "web-0.tea-svc.nowhere",
			"svc.example.com", "www.svc.example", "pod.example.com", "svc.cluster.local.example.com",
		},
		"kubernetesAPI": {
			"kubernetes", "KUBERNETES", "kubernetes.", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.", "Kubernetes.Default.svc",
			"kubernetes.default.svc.cluster.local", "kubernetes.default.svc.cluster.local.", "kubernetes.default.svc.other.local",
			"_https._tcp.kubernetes.default.svc", "x.kubernetes.default", "kubernetes.svc",
			"10.96.0.1", "0x0a600001", "10.96.1", "[::ffff:10.96.0.1]", "[64:ff9b::10.96.0.1]", "10-96-0-1.shop.pod.cluster.local",
		},
		"service": {"tea-svc", "tea-svc.shop", "tea-svc.shop.", "TEA-SVC.SHOP", "tea-svc.shop.svc", "tea-svc.anywhere.svc.cluster.local"},
		"invalid": {"１２７.０.０.１", "127。0。0。1", "ⓛocalhost", "bücher.example.com", "a..b", "$1", "a$1.example.com", "{host}", "%EF%BC%91.example.com"},
	}
	around := targetCluster(t)
	for kind, hosts := range kinds {
		for _, host := range hosts {
			for _, form := range []string{"http://%s", "https://%s/", "HTTP://%s:8080/a?b#c", "http://user:pass@%s/", "http://www.example.com@%s/", "%s", "%s:80"} {
				text := fmt.Sprintf(form, host)
				got := parseTarget(text, around)
				if got.Kind != kind {
					t.Errorf("%s is %s, want %s", text, got.Kind, kind)
				}
				if strings.HasSuffix(got.Host, ".") || strings.ContainsAny(got.Host, "[]@") || got.Host != strings.ToLower(got.Host) {
					t.Errorf("%s has the host %q", text, got.Host)
				}
			}
		}
	}
}

func TestTargetServices(t *testing.T) {
	around := targetCluster(t)
	for host, want := range map[string]TargetService{
		"tea-svc":                                 {Name: "tea-svc"},
		"db.svc":                                  {Name: "db"},
		"db.svc.cluster.local":                    {Name: "db"},
		"db.victim":                               {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"db.bare":                                 {Name: "db", Namespace: "bare"},
		"db-0.db.bare":                            {Name: "db", Namespace: "bare"},
		"db-0.db.victim":                          {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"a.b.c.db.victim":                         {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"db.victim.svc.other.local":               {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"db-0.db.victim.svc.a.b.c.d":              {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"10-0-0-1.victim.pod.cluster.local":       {Name: "10-0-0-1", Namespace: "victim"},
		"10-0-0-1.victim.pod.other.local":         {Name: "10-0-0-1", Namespace: "victim"},
		"10-96-7-7.shop.pod":                      {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"db.victim.svc.shop.svc":                  {Name: "db"},
		"svc.shop.svc":                            {Name: "svc", Namespace: "shop"},
		"ext.shop.svc":                            {Name: "ext", Namespace: "shop", Type: "ExternalName"},
		"ext.shop":                                {Name: "ext", Namespace: "shop", Type: "ExternalName"},
		"10.96.7.7":                               {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"10.96.1.1":                               {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"0x0a600707":                              {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"[::ffff:10.96.7.7]":                      {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"[2002:a60:707::]":                        {Name: "db", Namespace: "victim", Type: "ClusterIP"},
		"[FD00:96:0::1]":                          {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"198.18.0.1":                              {Name: "public", Namespace: "victim", Type: "ClusterIP"},
		"10.96.9.9":                               {},
		"tea-svc.":                                {Name: "tea-svc"},
		"tea-svc.shop":                            {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"TEA-SVC.Shop.":                           {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"tea-svc.shop.svc":                        {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"tea-svc.shop.svc.cluster.local":          {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"tea-svc.shop.svc.cluster.local.":         {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"tea-svc.unknown.svc":                     {Name: "tea-svc", Namespace: "unknown"},
		"tea-svc.unknown.svc.cluster.local":       {Name: "tea-svc", Namespace: "unknown"},
		"web-0.tea-svc.shop.svc":                  {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"web-0.tea-svc.shop.svc.cluster.local":    {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"_http._tcp.tea-svc.shop.svc":             {Name: "tea-svc", Namespace: "shop", Type: "ClusterIP"},
		"kubernetes.shop.svc":                     {Name: "kubernetes", Namespace: "shop"},
		"kubernetes.kube-system.svc":              {Name: "kubernetes", Namespace: "kube-system"},
		"default.kubernetes.svc":                  {Name: "default", Namespace: "kubernetes"},
		"kube-dns.kube-system.svc.cluster.local.": {Name: "kube-dns", Namespace: "kube-system"},
	} {
		got := parseTarget("http://"+host+":80/", around)
		if got.Kind != "service" || got.Service == nil || *got.Service != want {
			t.Errorf("%s is %s %v, want service %v", host, got.Kind, got.Service, want)
		}
	}
	for _, host := range []string{"localhost", "kubernetes", "127.0.0.1", "www.example.com", "metadata.google.internal"} {
		if got := parseTarget("http://"+host, around); got.Service != nil {
			t.Errorf("%s is the service %v", host, *got.Service)
		}
	}
}

func TestTargetParts(t *testing.T) {
	for text, want := range map[string]TargetFacts{
		"https://www.Example.com:8443/a?b": {Scheme: "https", Host: "www.example.com", Port: "8443", Kind: "name"},
		"HTTPS://www.example.com.":         {Scheme: "https", Host: "www.example.com", Kind: "name"},
		"www.example.com:8080":             {Scheme: "http", Host: "www.example.com", Port: "8080", Kind: "name"},
		"h2c://[2606:4700::1]:80":          {Scheme: "h2c", Host: "2606:4700::1", Port: "80", Kind: "public"},
		"http://127.0.0.1#@example.com/":   {Scheme: "http", Host: "127.0.0.1", Kind: "loopback"},
		"http://127.0.0.1?@example.com/":   {Scheme: "http", Host: "127.0.0.1", Kind: "loopback"},
		"http://example.com@127.0.0.1:1/":  {Scheme: "http", Host: "127.0.0.1", Port: "1", Kind: "loopback"},
		"http://a:b@c@127.0.0.1/":          {Scheme: "http", Host: "127.0.0.1", Kind: "loopback"},

		"tyk://self/path":       {Scheme: "tyk", Host: "self", Kind: "gateway"},
		"TYK://0123abcd":        {Scheme: "tyk", Host: "0123abcd", Kind: "gateway"},
		"tyk://www.example.com": {Scheme: "tyk", Host: "www.example.com", Kind: "gateway"},
		"tyk://127.0.0.1":       {Scheme: "tyk", Host: "127.0.0.1", Kind: "gateway"},

		"":                          {Scheme: "http", Kind: "invalid"},
		"http://":                   {Scheme: "http", Kind: "invalid"},
		"http://:80/":               {Scheme: "http", Port: "80", Kind: "invalid"},
		"http:///127.0.0.1/":        {Scheme: "http", Kind: "invalid"},
		"//127.0.0.1/":              {Scheme: "http", Kind: "invalid"},
		"http://.":                  {Scheme: "http", Kind: "invalid"},
		"http://user@/":             {Scheme: "http", Kind: "invalid"},
		"http://a b/":               {Kind: "invalid"},
		"http://127.0.0.1:80:80/":   {Kind: "invalid"},
		"http://127.0.0.1\\@a.com/": {Kind: "invalid"},
		"http://%31%32%37.0.0.1/":   {Kind: "invalid"},
		"http://a.com\x00.b.com/":   {Kind: "invalid"},
		"http://a.com\n/":           {Kind: "invalid"},
		"http://[::1":               {Kind: "invalid"},
		"http://[::1]x/":            {Kind: "invalid"},
		"://127.0.0.1":              {Kind: "invalid"},
		"1http://127.0.0.1":         {Kind: "invalid"},
	} {
		got := parseTarget(text, Cluster{})
		if got.Scheme != want.Scheme || got.Host != want.Host || got.Port != want.Port || got.Kind != want.Kind {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

// TestTargetsWithoutServices: where no Services are known, the namespace is all
// that tells.
func TestTargetsWithoutServices(t *testing.T) {
	around, _ := NewCluster([]Object{{Ref: Ref{Kind: "Ingress", Namespace: "victim", Name: "x"}}})
	for host, want := range map[string]string{
		"db.victim": "service", "db-0.db.victim": "service", "db.nowhere": "name", "db-0.db.nowhere": "name", "10.96.7.7": "private",
	} {
		if got := parseTarget("http://"+host+"/", around); got.Kind != want {
			t.Errorf("%s is %s, want %s", host, got.Kind, want)
		}
	}
}

// kindAt gives the kind of the target that a field with this text is, "" for none.
func kindAt(t *testing.T, path, text string) string {
	t.Helper()
	address, ok := addressIn(strings.Split(path, "."), text)
	if !ok {
		return ""
	}
	return parseTarget(address, targetCluster(t)).Kind
}

func TestTargetsOfRewrites(t *testing.T) {
	for text, want := range map[string]string{
		"/":                                  "",
		"/my/$1":                             "",
		"/$1":                                "",
		"/$tyk_context.headers_X?a=http://b": "",
		"/a:b{c}%20":                         "",
		"my/service?value1=$1":               "",
		"my?value1=$1":                       "",
		"?value1=$1":                         "",
		"my/http://$1/":                      "",

		"https://api.example.net/$1":                       "name",
		"https://api.example.net?q=$tyk_context.headers_X": "name",
		"http://tea-svc.shop.svc/$1":                       "service",
		"http://169.254.169.254/$1":                        "metadata",
		"http://10.96.0.1/$1":                              "kubernetesAPI",
		"tyk://self/$1":                                    "gateway",

		"$1":                          "invalid",
		"$1/a":                        "invalid",
		"my$1/a":                      "invalid",
		"ht$1/a":                      "invalid",
		"$1://169.254.169.254/":       "invalid",
		"http$1://api.example.net/":   "invalid",
		"http://$1.$2/":               "invalid",
		"http://api.example.net$1/":   "invalid",
		"http://api.example.net:$1/":  "invalid",
		"http://$1@api.example.net/":  "invalid",
		"http://a\\$1@example.net/":   "invalid",
		"http://{id}/":                "invalid",
		"http:$1":                     "invalid",
		"http:/$1":                    "invalid",
		"http:///$1":                  "invalid",
		"tyk:$1":                      "invalid",
		"tyk:self/$1":                 "invalid",
		"$tyk_context.trigger-0-u-0":  "invalid",
		"$tyk_context.headers_X_Host": "invalid",
		"$tyk_meta.target/a":          "invalid",
		"//169.254.169.254/":          "invalid",
		"//$1/":                       "invalid",
		"%68ttp://127.0.0.1/":         "invalid",
		" http://127.0.0.1/":          "invalid",

		"http://$tyk_context.headers_X_Host/": "invalid",
	} {
		for _, field := range []string{"rewrite_to", "triggers.0.rewrite_to"} {
			if got := kindAt(t, "version_data.versions.Default.extended_paths.url_rewrites.0."+field, text); got != want {
				t.Errorf("%s %q is %q, want %q", field, text, got, want)
			}
		}
	}
}

func TestTargetsOfKeys(t *testing.T) {
	public := "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/+a//b\n-----END PUBLIC KEY-----\n"
	for text, want := range map[string]string{
		"text":     "",
		"dGV4dA==": "",
		"a/b+c/d=": "",
		public:     "",
		base64.StdEncoding.EncodeToString([]byte(public)): "",
		"https://login.example.net/keys":                  "name",
		"HTTP://127.0.0.1/":                               "loopback",
		"http://$1/":                                      "invalid",
	} {
		if got := kindAt(t, "jwt_source", text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		for _, path := range []string{"", "?", "??", "???>>>", "\xfb\xff"} {
			text := enc.EncodeToString([]byte("http://169.254.169.254/" + path))
			for _, field := range []string{"jwt_source", "external_oauth.providers.0.jwt.source"} {
				if got := kindAt(t, field, text[:9]+"\n"+text[9:]); got != "metadata" {
					t.Errorf("%s %q is %q, want metadata", field, text, got)
				}
			}
		}
	}
}

// TestTargetsWithoutScheme: only rewrites and keys may be something else than an
// address.
func TestTargetsWithoutScheme(t *testing.T) {
	for _, field := range addressFields {
		for text, want := range map[string]string{
			"127.0.0.1:6379": "loopback", "127.0.0.1:6379/?a=http://b.example.com": "loopback", "169.254.169.254/latest": "metadata",
			"www.example.com@127.0.0.1": "loopback", "api.example.net": "name", "api.example.net:80/a": "name", "db": "service",
			"$1": "invalid", "http://$secret/": "invalid", "/a": "invalid", "//127.0.0.1/": "invalid", "127.0.0.1:80://": "invalid",
		} {
			if got := kindAt(t, strings.Join(field, "."), text); got != want {
				t.Errorf("%v %q is %q, want %q", field, text, got, want)
			}
		}
	}
}

// TestTargetFields: every field that names an address is seen, whatever stands
// around it and in any case, and no other.
func TestTargetFields(t *testing.T) {
	for _, field := range slices.Concat(addressFields, rewriteFields, keyFields) {
		path := make([]string, len(field))
		var doc any = "http://127.0.0.1/"
		for i := len(field) - 1; i >= 0; i-- {
			if path[i] = strings.ToUpper(field[i]); field[i] != "*" {
				doc = map[string]any{path[i]: doc}
			} else if path[i] = "0"; isListBelow(field[:i]) {
				doc = []any{doc}
			} else {
				path[i] = `a.b`
				doc = map[string]any{"a.b": doc}
			}
		}
		list := targets(doc.(map[string]any), nil, Cluster{})
		if len(list) != 1 || list[0].Kind != "loopback" || list[0].Overridden {
			t.Errorf("%v: %+v", field, list)
		}
		list = targets(doc.(map[string]any), []override{{path: path}}, Cluster{})
		if len(list) != 1 || !list[0].Overridden {
			t.Errorf("%v is set by an annotation: %+v", field, list)
		}
	}
	doc := map[string]any{
		"name": "http://127.0.0.1/", "jwt_source": "dGV4dA==",
		"proxy":        map[string]any{"listen_path": "/", "target_list": []any{"127.0.0.1:80", "", "x.example.com"}},
		"version_data": map[string]any{"versions": map[string]any{"Default": map[string]any{"override_target": ""}}},
	}
	list := targets(doc, nil, Cluster{})
	if len(list) != 2 || list[0].Path != "proxy.target_list.0" || list[0].Kind != "loopback" || list[1].Kind != "name" {
		t.Errorf("%+v", list)
	}
}

// isListBelow tells whether the "*" behind path stands for an index, and not for
// a key.
func isListBelow(path []string) bool {
	switch path[len(path)-1] {
	case "versions", "events":
		return false
	}
	return true
}
