// Package contract says how a Tyk Gateway behaves, as assertions: what the pusher
// and those who route through the gateway rely on, and what would hurt them if they
// did not know it. The source of every assertion is Tyk Gateway v5.11.1, measured,
// in file mode. The double, adapters/tyk/embedded, passes them in every test run,
// and so stays honest; the test of this package runs them on a real gateway too:
//
//	CUEGATE_TEST_GATEWAY_URL=http://127.0.0.1:8080 CUEGATE_TEST_GATEWAY_SECRET=... \
//		go test -count=1 -run TestRealGateway ./adapters/tyk/contract/
//
// # What it does to a gateway
//
// It starts an upstream on loopback, so the gateway has to be on this machine. All
// that it creates has ids, names, paths and hosts with a random prefix, and is
// removed in the end, whatever failed. It touches nothing else and depends on
// nothing else that is served, but for one case: an API whose domain is a template
// of every host comes before those without a domain. And nobody else may reload
// the gateway meanwhile, or what must not be seen before a reload is seen.
//
// # What it leaves open
//
// What is arbitrary on a real gateway: the order of two APIs whose rank is the
// same. What needs the gateway's process, disk or Redis: restarts, files written by
// hand, a Redis that is down. And what needs a TLS listener.
package contract

import (
	"strings"
	"testing"
)

// A Gateway is what the contract is run on.
type Gateway struct {
	URL       string // of the control API, without /tyk
	Secret    string // of the header x-tyk-authorization
	DataPlane string // URL of the traffic; that of the control API where it is empty
	OrgID     string // "default" where it is empty

	// How it is set up. Run looks whether that is so.
	CustomDomains bool // enable_custom_domains
	StrictRoutes  bool // http_server_options.enable_strict_routes
}

func (g Gateway) withDefaults() Gateway {
	if g.DataPlane == "" {
		g.DataPlane = g.URL
	}
	if g.OrgID == "" {
		g.OrgID = "default"
	}
	g.URL, g.DataPlane = strings.TrimRight(g.URL, "/"), strings.TrimRight(g.DataPlane, "/")
	return g
}

// Run runs the contract as subtests, one after the other.
func Run(t *testing.T, g Gateway) {
	b := newBench(t, g.withDefaults())
	// Not a subtest, because no selection of subtests may leave it out: where domains
	// were ignored against what the caller says, a root path would take all traffic.
	settings(b.probe(t))
	for _, group := range []struct {
		name   string
		assert func(probe)
	}{
		{"Authentication", authentication},
		{"Statuses", statuses},
		{"Malformed", malformed},
		{"Create", create},
		{"Fields", fields},
		{"ReadYourWrites", readYourWrites},
		{"Update", update},
		{"Delete", deletion},

		{"BlockingReload", blockingReload},
		{"PlainReload", plainReload},
		{"GroupReload", groupReload},
		{"CoalescedReloads", coalescedReloads},
		{"ReloadUnderTraffic", reloadUnderTraffic},

		{"CollisionOfNew", collisionOfNew},
		{"CollisionWithLoaded", collisionWithLoaded},
		{"CollisionOfDomains", needsDomains(collisionOfDomains)},

		{"WhatLoads", whatLoads},
		{"Versions", versions},
		{"PanickingAPI", panickingAPI},

		{"Hosts", needsDomains(hosts)},
		{"IgnoredDomains", ignoredDomains},
		{"PlainPaths", plainPaths},
		{"TemplatedPaths", templatedPaths},
		{"RootPaths", needsDomains(rootPaths)},

		{"LongerFirst", longerFirst},
		{"DomainFirst", needsDomains(domainFirst)},
		{"WildcardAndExactHost", needsDomains(wildcardAndExactHost)},
		{"KubernetesOrder", needsDomains(kubernetesOrder)},

		{"Strip", strip},
		{"Targets", targets},
		{"HostHeader", hostHeader},
		{"UpstreamErrors", upstreamErrors},
		{"CleanedPaths", cleanedPaths},
		{"MountedByID", mountedByID},
		{"ControlPathsWin", needsDomains(controlPathsWin)},

		{"Certificates", certificates},
		{"CertificateWithoutKey", certificateWithoutKey},
		{"RefusedCertificates", refusedCertificates},
		{"ListedCertificates", listedCertificates},
		{"Health", health},
	} {
		t.Run(group.name, func(t *testing.T) { group.assert(b.probe(t)) })
	}
}

// needsDomains is for what cannot be seen, or would catch the traffic of others,
// where domains are ignored.
func needsDomains(assert func(probe)) func(probe) {
	return func(p probe) {
		if !p.gateway.CustomDomains {
			p.Skip("the gateway runs without enable_custom_domains")
		}
		assert(p)
	}
}

// settings holds what the caller says of the gateway against the gateway, and looks
// whether somebody answers for paths that are nobody's.
func settings(p probe) {
	a, err := p.ask("", p.path("/nothing"))
	if err != nil {
		p.Fatalf("the data plane: %v", err)
	}
	p.catchAll = a.status != 404
	p.load(
		p.api("strict", p.path("/f")),
		p.api("domain", p.path("/d/")).with("domain", p.host("one")),
	)
	if got := p.outcome(p.host("one"), p.path("/d/x")); got != "domain /x" {
		p.Fatalf("a new API does not serve: got %s", got)
	}
	if ignored := p.outcome(p.host("two"), p.path("/d/x")) == "domain /x"; ignored == p.gateway.CustomDomains {
		p.Fatalf("enable_custom_domains is not %v", p.gateway.CustomDomains)
	}
	if loose := p.outcome("", p.path("/fx")) == "strict /x"; loose == p.gateway.StrictRoutes {
		p.Fatalf("enable_strict_routes is not %v", p.gateway.StrictRoutes)
	}
}
