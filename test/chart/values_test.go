package chart

import (
	"strings"
	"testing"
)

// What cannot work is refused before anything is installed.
func TestRefused(t *testing.T) {
	const own = `tyk: {gatewayService: tyk/gateways, secret: {existing: tyk}}`
	const dashboard = `tyk: {dashboard: "http://dashboard.tyk:3000", secret: {existing: tyk}}`
	for given, field := range map[string]string{
		`{edition: enterprise}`:                                          "/edition",
		`{placement: daemonset}`:                                         "/placement",
		`{watchNamespace: [shop]}`:                                       "watchNamespace",
		`{tyk: {dashbord: x}}`:                                           "dashbord",
		`{replicas: two}`:                                                "/replicas",
		`{watchNamespaces: [Shop]}`:                                      "/watchNamespaces/0",
		`{edition: pro}`:                                                 "/tyk/dashboard",
		`{edition: pro, tyk: {dashboard: "http://d:3000"}}`:              "/tyk/secret",
		`{edition: hybrid, tyk: {secret: {existing: tyk}}}`:              "/tyk/dashboard",
		`{edition: pro, tyk: {dashboard: dashboard.tyk}}`:                "/tyk/dashboard",
		`{` + dashboard + `}`:                                            "/tyk/dashboard",
		`{tyk: {gatewayService: tyk/gateways}}`:                          "/tyk/secret",
		`{tyk: {gatewayService: gateways}}`:                              "/tyk/gatewayService",
		`{gateway: {enabled: false}}`:                                    "/tyk/gatewayService",
		`{gateway: {enabled: sometimes}}`:                                "/gateway/enabled",
		`{placement: sidecar, mesh: {enabled: true}}`:                    "/mesh/enabled",
		`{placement: sidecar, ` + own + `}`:                              "/tyk/gatewayService",
		`{placement: sidecar, gateway: {enabled: false}}`:                "/gateway/enabled",
		`{placement: sidecar, edition: pro, ` + dashboard + `}`:          "/edition",
		`{edition: pro, ` + dashboard + `, gateway: {enabled: true}}`:    "/gateway/redis/addresses",
		`{edition: hybrid, ` + dashboard + `, gateway: {enabled: true}}`: "/gateway/hybrid/connection",
		`{edition: hybrid, ` + dashboard + `, mesh: {enabled: true}}`:    "/mesh/enabled",
		`{edition: pro, ` + dashboard + `, mesh: {enabled: true}}`:       "/mesh/sidecar",
		`{mesh: {enabled: true}, ` + own + `}`:                           "/mesh/sidecar",
		`{mesh: {tls: on}}`:                                              "/mesh/tls",
		`{webhook: {failurePolicy: Retry}}`:                              "/webhook/failurePolicy",
		`{webhook: {timeoutSeconds: 60}}`:                                "/webhook/timeoutSeconds",
		`{webhook: {certificates: script}}`:                              "/webhook/certificates",
		`{webhook: {certificates: supplied}}`:                            "/webhook/supplied/secret",
		`{webhook: {certManager: {issuerRef: {kind: Issuer}}}}`:          "issuerRef",
		`{publish: {service: gateway}}`:                                  "/publish/service",
		`{publish: {service: tyk/gateway, addresses: [a]}}`:              "/publish/service",
		`{gateway: {service: {type: Ingress}}}`:                          "/gateway/service/type",
		`{gateway: {redis: {addresses: [redis]}}}`:                       "/gateway/redis/addresses/0",
		`{gateway: {tags: []}}`:                                          "/gateway/tags",
		`{runAsUser: 0}`:                                                 "/runAsUser",
		`{gateway: {runAsUser: 0}}`:                                      "/gateway/runAsUser",
		`{bundle: {files: {"a b.cue": ""}}}`:                             "a b.cue",
		`{extraArgs: [confirm-deletes]}`:                                 "/extraArgs/0",
		`{podDisruptionBudget: {maxUnavailable: 0}}`:                     "/podDisruptionBudget/maxUnavailable",
		`{image: {digest: latest}}`:                                      "/image/digest",
		`{driftInterval: often}`:                                         "/driftInterval",
		`{settings: {a: 1}, bundle: {files: {policies/data.yaml: ""}}}`:  "policies/data.yaml",
	} {
		_, err := render(t, given)
		if err == nil {
			t.Errorf("%s is not refused", given)
		} else if !strings.Contains(err.Error(), field) {
			t.Errorf("%s: the refusal does not speak of %s: %v", given, field, err)
		}
	}
}
