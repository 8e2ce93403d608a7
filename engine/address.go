package engine

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// metadata lists the addresses of instance metadata services: the common one,
// AWS over IPv6, Alibaba Cloud, Oracle Cloud, Azure's wire server, and AWS ECS.
var metadata = []string{"169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "169.254.170.2"}

var metadataNames = []string{"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// classify says what a host is; TargetFacts.Kind lists the answers.
func (c Cluster) classify(host string) (string, *TargetService) {
	// The gateway's HTTP client turns other letters and digits, such as full-width
	// ones, into ASCII before it connects.
	if host == "" || strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "invalid", nil
	}
	if addr, ok := parseAddr(host); ok {
		return c.classifyAddr(addr)
	}
	switch {
	case host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasPrefix(host, "localhost."):
		return "loopback", nil
	case slices.Contains(metadataNames, host):
		return "metadata", nil
	}
	return c.classifyName(strings.Split(host, "."))
}

// classifyName tells names inside the cluster from others. Resolvers in a cluster
// try its domain, and "svc" below it, behind every name, so tea-svc.shop and
// web-0.tea-svc.shop can mean a Service of the namespace shop.
func (c Cluster) classifyName(labels []string) (string, *TargetService) {
	if slices.Contains(labels, "") {
		return "invalid", nil
	}
	n := len(labels)
	at := clusterLabels(labels)
	switch {
	case len(at) > 1:
		// The cluster's domain says which one counts, and it is not known here.
		return "service", &TargetService{Name: labels[0]}
	case len(at) == 1 && labels[at[0]] == "pod":
		return c.pod(labels[at[0]-1], labels[at[0]-2])
	case len(at) == 1:
		return c.service(labels[at[0]-1], labels[at[0]-2])
	case n == 1, labels[n-1] == "svc", n > 2 && labels[n-2] == "cluster" && labels[n-1] == "local":
		return c.service("", labels[0]) // a bare name, or one without a namespace
	case c.mayHave(labels[n-1], labels[n-2]):
		return c.service(labels[n-1], labels[n-2])
	}
	return "name", nil
}

// clusterLabels gives the places of "svc" and "pod" that have a name and a
// namespace before them; the cluster's domain, whatever it is, comes behind.
func clusterLabels(labels []string) []int {
	var at []int
	for i, l := range labels {
		if i >= 2 && (l == "svc" || l == "pod") {
			at = append(at, i)
		}
	}
	return at
}

// mayHave tells whether the cluster could have the Service. A namespace may have
// the name of a top-level domain, so where its Services are known, the Service has
// to be one of them.
func (c Cluster) mayHave(namespace, name string) bool {
	if _, known := c.services[namespace][name]; known || isKubernetesAPI(namespace, name) {
		return true
	}
	return c.inhabited[namespace] > 0 && len(c.services[namespace]) == 0
}

// service classifies a Service by its name; the namespace of a bare name is "".
func (c Cluster) service(namespace, name string) (string, *TargetService) {
	if isKubernetesAPI(namespace, name) {
		return "kubernetesAPI", nil
	}
	return "service", &TargetService{Name: name, Namespace: namespace, Type: c.services[namespace][name].kind}
}

// isKubernetesAPI takes the bare name along: the gateway may live in any namespace.
func isKubernetesAPI(namespace, name string) bool {
	return name == "kubernetes" && (namespace == "default" || namespace == "")
}

// pod classifies the name of a pod, which spells its address with dashes. The DNS
// of a cluster may answer for addresses that no pod has.
func (c Cluster) pod(namespace, name string) (string, *TargetService) {
	for _, separator := range []string{".", ":"} {
		addr, err := netip.ParseAddr(strings.ReplaceAll(name, "-", separator))
		if err != nil {
			continue
		}
		if kind, service := c.classifyAddr(addr); kind != "private" && kind != "public" {
			return kind, service
		}
	}
	return "service", &TargetService{Name: name, Namespace: namespace}
}

// classifyAddr classifies an address by what it is for, and by the Service that
// has it.
func (c Cluster) classifyAddr(a netip.Addr) (string, *TargetService) {
	a = plainAddr(a)
	kind := kindOfAddr(a)
	if owners := c.addresses[a]; len(owners) > 0 && (kind == "private" || kind == "public") {
		if len(owners) > 1 {
			return c.service("", "") // whose it is, nobody can tell
		}
		namespace, name, _ := strings.Cut(owners[0], "/")
		return c.service(namespace, name)
	}
	return kind, nil
}

func kindOfAddr(a netip.Addr) string {
	switch {
	case slices.Contains(metadata, a.String()):
		return "metadata"
	case a.IsLoopback():
		return "loopback"
	case a.IsUnspecified() || a.Is4() && a.As4()[0] == 0:
		return "unspecified"
	case a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast():
		return "linkLocal"
	case a.IsPrivate() || sharedSpace.Contains(a):
		return "private"
	}
	return "public"
}

// plainAddr gives the address that packets to a go to: the IPv4 one inside a mapped,
// NAT64 (64:ff9b::/96), 6to4 (2002::/16) or IPv4-compatible (::/96) address.
func plainAddr(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() || a.IsLoopback() || a.IsUnspecified() {
		return a
	}
	b := a.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a), netip.MustParsePrefix("::/96").Contains(a):
		return netip.AddrFrom4([4]byte(b[12:]))
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// parseAddr reads an IP address in any spelling that a resolver takes: besides
// the usual ones 127.1, 0x7f000001, 0177.0.0.1 and 2130706433.
func parseAddr(host string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, true
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var total uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 0, 32)
		if err != nil || strings.Contains(p, "_") {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return netip.Addr{}, false
			}
			total |= n << (8 * (3 - i))
			continue
		}
		if n >= 1<<(8*(5-len(parts))) {
			return netip.Addr{}, false
		}
		total |= n
	}
	return netip.AddrFrom4([4]byte{byte(total >> 24), byte(total >> 16), byte(total >> 8), byte(total)}), true
}
