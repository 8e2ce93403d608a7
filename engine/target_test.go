package engine

import (
	"fmt"
	"strings"
	"testing"
)

// targetCluster is a cluster in which the namespaces shop and default are known.
func targetCluster(t *testing.T) Cluster {
	t.Helper()
	objects, rejected := ParseManifests("cluster.yaml", []byte(`
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: tea-svc, namespace: shop}
spec: {ports: [{port: 80}]}
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
			"127.0.0.1", "127.0.0.1.", "127.255.255.254", "127.1", "127.0.1", "127.65535",
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
			"metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data", "instance-data.ec2.internal",
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
			"tea-svc.shop.example.com", "svc.cluster.local.example.com",
		},
		"kubernetesAPI": {
			"kubernetes", "KUBERNETES", "kubernetes.", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.", "Kubernetes.Default.svc",
			"kubernetes.default.svc.cluster.local", "kubernetes.default.svc.cluster.local.",
		},
		"service": {"tea-svc", "tea-svc.shop", "tea-svc.shop.", "TEA-SVC.SHOP", "tea-svc.shop.svc", "tea-svc.anywhere.svc.cluster.local"},
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
		"tea-svc.":                                {Name: "tea-svc"},
		"tea-svc.shop":                            {Name: "tea-svc", Namespace: "shop"},
		"TEA-SVC.Shop.":                           {Name: "tea-svc", Namespace: "shop"},
		"other-svc.shop":                          {Name: "other-svc", Namespace: "shop"},
		"tea-svc.shop.svc":                        {Name: "tea-svc", Namespace: "shop"},
		"tea-svc.shop.svc.cluster.local":          {Name: "tea-svc", Namespace: "shop"},
		"tea-svc.shop.svc.cluster.local.":         {Name: "tea-svc", Namespace: "shop"},
		"tea-svc.unknown.svc":                     {Name: "tea-svc", Namespace: "unknown"},
		"tea-svc.unknown.svc.cluster.local":       {Name: "tea-svc", Namespace: "unknown"},
		"web-0.tea-svc.shop.svc":                  {Name: "tea-svc", Namespace: "shop"},
		"web-0.tea-svc.shop.svc.cluster.local":    {Name: "tea-svc", Namespace: "shop"},
		"_http._tcp.tea-svc.shop.svc":             {Name: "tea-svc", Namespace: "shop"},
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

// TestTargetFields: every field that names an address is seen, whatever stands
// around it, and only what looks like an address.
func TestTargetFields(t *testing.T) {
	for _, field := range targetFields {
		path := make([]string, len(field))
		var doc any = "http://127.0.0.1/"
		for i := len(field) - 1; i >= 0; i-- {
			if path[i] = field[i]; field[i] != "*" {
				doc = map[string]any{field[i]: doc}
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
