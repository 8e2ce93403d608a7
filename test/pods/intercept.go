package pods

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// rule is one of iptables.
type rule struct {
	// to and port are the destination that it is for.
	to   netip.Prefix
	port uint16
	// redirect is the port of the pod that gets it.
	redirect uint16
	// all: the sidecar's own requests are not excepted.
	all bool
}

var (
	outputForm = regexp.MustCompile(`-A OUTPUT .*-d (\S+) --dport (\d+) (-m owner ! --uid-owner \d+ )?-j REDIRECT --to-ports (\d+)`)
	inputForm  = regexp.MustCompile(`-A INPUT -p tcp ! -i lo --dport (\d+) -j DROP`)
)

// interception reads the rules that an init container of the sidecar writes: where
// requests of the pod go, and which ports nobody else reaches.
func interception(pod *corev1.Pod) (rules []rule, dropped []uint16) {
	number := func(text string) uint16 {
		n, _ := strconv.ParseUint(text, 10, 16)
		return uint16(n)
	}
	for _, c := range pod.Spec.InitContainers {
		for _, line := range strings.Split(strings.Join(c.Command, "\n"), "\n") {
			if m := outputForm.FindStringSubmatch(line); m != nil {
				if to, err := netip.ParsePrefix(m[1]); err == nil {
					rules = append(rules, rule{to, number(m[2]), number(m[4]), m[3] == ""})
				}
			}
			if m := inputForm.FindStringSubmatch(line); m != nil {
				dropped = append(dropped, number(m[1]))
			}
		}
	}
	return rules, dropped
}
