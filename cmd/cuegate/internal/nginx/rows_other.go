package nginx

// splitRows divide requests among several backends.
func splitRows() []Row {
	const canary = "The gateway sends all requests of a path to one Service. Divide them behind it, such as with a Service that selects the pods of both."
	const sticky = "The gateway sends requests to the Service, which chooses the pod. sessionAffinity: ClientIP in the Service is near to it."
	const mirror = "The gateway sends no copies of requests."
	const balance = "The Service chooses the pod."
	rows := []Row{
		{Name: "canary", Outcome: LeftOut, Note: canary, convert: boolean},
		{Name: "affinity", Outcome: Unsupported, Note: sticky},
		{Name: "load-balance", Outcome: Unsupported, Note: balance},
		{Name: "upstream-hash-by", Outcome: Unsupported, Note: balance},
		{Name: "upstream-hash-by-subset", Outcome: Needless, Note: "A detail of upstream-hash-by."},
		{Name: "upstream-hash-by-subset-size", Outcome: Needless, Note: "A detail of upstream-hash-by."},
		{Name: "mirror-target", Outcome: Unsupported, Hidden: true, Note: mirror},
		{Name: "mirror-host", Outcome: Needless, Note: "A detail of mirror-target."},
		{Name: "mirror-request-body", Outcome: Needless, Note: "A detail of mirror-target."},
	}
	for _, name := range []string{"canary-by-cookie", "canary-by-header", "canary-by-header-pattern", "canary-by-header-value", "canary-weight", "canary-weight-total"} {
		rows = append(rows, Row{Name: name, Outcome: LeftOut, Hidden: name == "canary-by-header-value", Note: "A detail of canary: see there.", convert: withCanary})
	}
	for _, name := range []string{
		"affinity-mode", "affinity-canary-behavior", "session-cookie-name", "session-cookie-path", "session-cookie-domain", "session-cookie-expires", "session-cookie-max-age",
		"session-cookie-samesite", "session-cookie-conditional-samesite-none", "session-cookie-secure", "session-cookie-partitioned", "session-cookie-change-on-failure",
	} {
		rows = append(rows, Row{Name: name, Outcome: Unsupported, Note: "A detail of affinity: see there."})
	}
	return rows
}

func withCanary(d *draft, _ string) verdict {
	if d.in.annotations["canary"] != "true" {
		return verdict{outcome: Needless, note: "There is no canary beside it."}
	}
	return verdict{}
}

// tuningRows are of memory and files of nginx.
func tuningRows() []Row {
	var rows []Row
	for _, name := range []string{"client-body-buffer-size", "proxy-buffering", "proxy-buffers-number", "proxy-buffer-size", "proxy-busy-buffers-size", "proxy-max-temp-file-size", "proxy-request-buffering"} {
		rows = append(rows, Row{Name: name, Outcome: Needless, Note: "The gateway passes bodies on as they come, and has no such buffers."})
	}
	return rows
}

// watchRows are of logs and traces.
func watchRows() []Row {
	rows := []Row{
		{Name: "enable-access-log", Outcome: Mapped, Note: "false: do_not_track, so that no record is kept of the requests.", convert: accessLog},
		{Name: "enable-rewrite-log", Outcome: Needless, Note: "A help for debugging; cuegate explain and cuegate route tell more."},
	}
	for _, name := range []string{
		"enable-opentelemetry", "opentelemetry-operation-name", "opentelemetry-trust-incoming-span", "opentelemetry-trust-incoming-spans",
		"enable-opentracing", "opentracing-trust-incoming-span",
	} {
		rows = append(rows, Row{Name: name, Outcome: Needless, Note: "A setting of the gateway for all APIs: opentelemetry in tyk.conf."})
	}
	for _, name := range []string{"enable-influxdb", "influxdb-measurement", "influxdb-port", "influxdb-host", "influxdb-server-name"} {
		rows = append(rows, Row{Name: name, Outcome: Needless, Note: "Tyk Pump brings the records of requests to where they are wanted."})
	}
	return rows
}

func accessLog(d *draft, value string) verdict {
	if value == "false" {
		d.overrides["do_not_track"] = true
	}
	return verdict{}
}

// removedRows are of old versions of ingress-nginx, which new ones do not read; they may
// still stand in manifests.
func removedRows() []Row {
	const ignored = "Removed before v1.0, so that it did nothing any more."
	var rows []Row
	for _, name := range []string{"add-base-url", "base-url-scheme", "grpc-backend", "secure-backends", "secure-verify-ca-secret", "session-cookie-hash", "upstream-max-fails", "upstream-fail-timeout"} {
		rows = append(rows, Row{Name: name, Outcome: Needless, Note: ignored})
	}
	for _, name := range []string{
		"lua-resty-waf", "lua-resty-waf-debug", "lua-resty-waf-ignore-rulesets", "lua-resty-waf-extra-rules", "lua-resty-waf-allow-unknown-content-types",
		"lua-resty-waf-score-threshold", "lua-resty-waf-process-multipart-body",
	} {
		rows = append(rows, Row{Name: name, Outcome: Unsupported, Accept: "modsecurity", Closes: true, Hidden: true, Note: "Removed before v1.0. See enable-modsecurity."})
	}
	return rows
}
