package whatif

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// pair is a definition under both sides: old is nil where it is created.
type pair struct {
	old, new definition
	// role is ingress, inbound or mesh.
	role string
	// scope is engine.Definition.Scope; again is set for a definition that is created of
	// an object of which others were served.
	scope string
	again bool
	// oldPlain and newPlain are engine.Config.PlainPaths of the sides.
	oldPlain, newPlain bool
}

// hit is one thing that a rule found.
type hit struct {
	message string
	// paths are of the fields that say so; what is below them counts too.
	paths [][]string
}

func hits(message string, paths ...[]string) []hit { return []hit{{message, paths}} }

func path(keys ...string) []string { return keys }

// rule finds one way in which a change opens something.
type rule struct {
	// id stays the same from version to version.
	id string
	// what it finds, in a few words.
	what  string
	check func(pair) []hit
}

// RulesOfExposure gives the ids of the rules, in the order of the report, and what they
// find.
func RulesOfExposure() (ids, what []string) {
	for _, r := range rules {
		ids, what = append(ids, r.id), append(what, r.what)
	}
	for _, r := range otherRules {
		ids, what = append(ids, r[0]), append(what, r[1])
	}
	return ids, what
}

// rules are in the order in which the report has them: the worst first.
var rules = []rule{
	{"auth-removed", "requests need no credentials any more", authRemoved},
	{"open-created", "a new definition lets requests in without credentials", openCreated},
	{"auth-weakened", "fewer or weaker kinds of credentials are asked for", authWeakened},
	{"endpoint-opened", "endpoints of a definition need no credentials any more", endpointOpened},
	{"preflight-opened", "OPTIONS requests reach the upstream without credentials", preflightOpened},
	{"signature-dropped", "the signature beside a key is not checked any more", signatureDropped},
	{"token-check-weakened", "tokens or signatures are checked less strictly", tokenCheckWeakened},
	{"token-source-changed", "the keys that tokens are checked with come from elsewhere", tokenSourceChanged},
	{"callers-widened", "more client certificates, and so more workloads of the mesh, are let in", callersWidened},
	{"addresses-widened", "more addresses may call", addressesWidened},
	{"origins-widened", "pages of more origins may call", originsWidened},
	{"endpoints-widened", "more endpoints are served", endpointsWidened},
	{"host-widened", "it answers for more hosts", hostWidened},
	{"path-widened", "it answers for more paths", pathWidened},
	{"published", "it listens where it did not: on another port, or no longer for other APIs alone", published},
	{"tags-widened", "more gateways or sidecars load it", tagsWidened},
	{"tls-dropped", "a certificate, or TLS on a way, is gone", tlsDropped},
	{"tls-weakened", "older versions of TLS are let pass", tlsWeakened},
	{"upstream-unchecked", "the certificate of the upstream is not checked any more", upstreamUnchecked},
	{"target-changed", "requests go to another host or port", targetChanged},
	{"credential-exposed", "credentials may stand in the query, or are handed on to the upstream", credentialExposed},
	{"check-dropped", "a plugin, or a check of what requests hold, is gone", checkDropped},
	{"limit-removed", "a limit is gone or higher", limitRemoved},
}

// otherRules look at more than one definition, or at pods: successor.go, podexposure.go.
var otherRules = [][2]string{
	{requestsMoved, "requests for a definition that is gone fall to one that asks for less, or is of another object"},
	{sidecarRemoved, "pods lose their sidecar"},
	{securityWeakened, "a container that the sidecar brings may do more on its node"},
}

// authRemoved: nothing is asked of callers where something was.
func authRemoved(p pair) []hit {
	if p.old == nil || len(p.old.credentials()) == 0 || len(p.new.credentials()) > 0 {
		return nil
	}
	return hits(fmt.Sprintf("Requests need no credentials any more; they needed %s.", listed(p.old.credentials())),
		path("use_keyless"), path("use_mutual_tls_auth"))
}

// openCreated: as the check keyless of the policies sees it, and as there the way to a
// workload from the mesh is left out: its callers are asked on the way in.
func openCreated(p pair) []hit {
	if p.old != nil || p.role == "mesh" || !p.new.isOpen() {
		return nil
	}
	switch {
	case len(p.new.credentials()) == 0:
		return hits("The definition is new, and requests need no credentials.", path("use_keyless"))
	case p.new.passesPreflight():
		return hits("The definition is new, and OPTIONS requests need no credentials.", path("CORS", "options_passthrough"))
	}
	return hits(fmt.Sprintf("The definition is new, and some endpoints need no credentials: %s.", listed(p.new.ignored())), path("version_data"))
}

var methodFields = [][]string{
	path("use_keyless"), path("use_mutual_tls_auth"), path("enable_jwt"), path("use_openid"), path("external_oauth"), path("enable_signature_checking"),
	path("use_oauth2"), path("use_standard_auth"), path("custom_plugin_auth_enabled"), path("use_go_plugin_auth"), path("enable_coprocess_auth"), path("use_basic_auth"),
}

// authWeakened: a request needs all kinds that are on, so fewer of them are weaker, and
// so are others when the strongest of them is weaker than it was. With alternatives one
// more is a way more.
func authWeakened(p pair) []hit {
	if p.old == nil || len(p.new.credentials()) == 0 {
		return nil
	}
	var all []hit
	old, now := p.old.credentials(), p.new.credentials()
	lost, won := added(now, old), added(old, now)
	if strength(now) < strength(old) || len(lost) > 0 && len(won) == 0 {
		all = append(all, hit{fmt.Sprintf("Requests need %s; they needed %s.", listed(now), listed(old)), methodFields})
	}
	before, after := alternatives(p.old), alternatives(p.new)
	if before == nil && len(after) > 1 || before != nil && len(added(before, after)) > 0 {
		all = append(all, hit{"Requests may choose between other sets of credentials.", [][]string{path("security_requirements")}})
	}
	return all
}

func alternatives(d definition) []string {
	list, _ := d.at("security_requirements").([]any)
	var all []string
	for _, x := range list {
		names := textsOf(x)
		slices.Sort(names)
		all = append(all, strings.Join(names, " "))
	}
	return all
}

// endpointOpened: entries of the lists ignored.
func endpointOpened(p pair) []hit {
	if p.old == nil || len(p.new.credentials()) == 0 {
		return nil
	}
	if more := added(p.old.ignored(), p.new.ignored()); len(more) > 0 {
		return hits(fmt.Sprintf("These need no credentials any more, and count against no limit: %s.", listed(more)), path("version_data"))
	}
	return nil
}

// preflightOpened: CORS that hands OPTIONS requests on.
func preflightOpened(p pair) []hit {
	if p.old == nil || p.old.passesPreflight() || !p.new.passesPreflight() {
		return nil
	}
	return hits("OPTIONS requests reach the upstream without credentials.", path("CORS", "enable"), path("CORS", "options_passthrough"))
}

// places gives the objects that say where a credential stands.
func places(d definition) [][]string {
	all := [][]string{path("auth")}
	for _, k := range keysOf(d.at("auth_configs")) {
		all = append(all, path("auth_configs", k))
	}
	return all
}

// signatureDropped: validate_signature.
func signatureDropped(p pair) []hit {
	var all []hit
	for _, at := range places(p.old) {
		field := append(slices.Clone(at), "validate_signature")
		if p.old.is(field...) && !p.new.is(field...) && len(p.new.credentials()) > 0 {
			all = append(all, hit{"The signature beside the key is not checked any more.", [][]string{field}})
		}
	}
	return all
}

// tokenCheckWeakened: what a token or a signature has to be.
func tokenCheckWeakened(p pair) []hit {
	if p.old == nil {
		return nil
	}
	var all []hit
	found := func(message string, keys ...string) { all = append(all, hit{message, [][]string{keys}}) }
	both := func(field string) bool { return p.old.is(field) && p.new.is(field) }
	if both("enable_jwt") || both("use_openid") {
		if !p.old.is("jwt_skip_kid") && p.new.is("jwt_skip_kid") {
			found("A token's key id (kid) does not say any more who calls.", "jwt_skip_kid")
		}
		for _, claim := range []string{"issued_at", "expires_at", "not_before"} {
			if f := "jwt_" + claim + "_validation_skew"; p.new.number(f) > p.old.number(f) {
				found("Tokens count for longer outside of their time.", f)
			}
			if f := "jwt_disable_" + claim + "_validation"; !p.old.is(f) && p.new.is(f) {
				found("The time of tokens is not checked any more.", f)
			}
		}
		old, now := p.old.text("jwt_signing_method"), p.new.text("jwt_signing_method")
		if old != now && (now == "" || now == "hmac") {
			found("Tokens are checked by another family of signatures.", "jwt_signing_method")
		}
		if more := added(p.old.texts("jwt_default_policies"), p.new.texts("jwt_default_policies")); len(more) > 0 {
			found("Tokens that name no policy have more of them.", "jwt_default_policies")
		}
	}
	if both("enable_signature_checking") {
		// 0 and -1 mean that any clock does.
		old, now := p.old.number("hmac_allowed_clock_skew"), p.new.number("hmac_allowed_clock_skew")
		if old > 0 && (now <= 0 || now > old) {
			found("The clocks of callers may differ by more.", "hmac_allowed_clock_skew")
		}
		before, after := p.old.texts("hmac_allowed_algorithms"), p.new.texts("hmac_allowed_algorithms")
		if len(before) > 0 && (len(after) == 0 || len(added(before, after)) > 0) {
			found("Callers may sign by more algorithms.", "hmac_allowed_algorithms")
		}
	}
	if both("use_oauth2") {
		for _, f := range []string{"allowed_access_types", "allowed_authorize_types"} {
			if more := added(p.old.texts("oauth_meta", f), p.new.texts("oauth_meta", f)); len(more) > 0 {
				found(fmt.Sprintf("Tokens are handed out by more grants: %s.", listed(more)), "oauth_meta", f)
			}
		}
	}
	return all
}

// tokenSourceChanged: whoever holds the keys makes tokens that count.
func tokenSourceChanged(p pair) []hit {
	if p.old == nil {
		return nil
	}
	var all []hit
	for _, s := range []struct{ on, at []string }{
		{path("enable_jwt"), path("jwt_source")},
		{path("enable_jwt"), path("jwt_jwks_uris")},
		{path("use_openid"), path("openid_options", "providers")},
		{path("external_oauth", "enabled"), path("external_oauth", "providers")},
	} {
		if p.old.is(s.on...) && p.new.is(s.on...) && !same(p.old.at(s.at...), p.new.at(s.at...)) {
			all = append(all, hit{"Tokens are checked with other keys, or are those of other issuers.", [][]string{s.at}})
		}
	}
	return all
}

// callersWidened: the certificates that may be shown, and the sidecars that have a way to
// a workload.
func callersWidened(p pair) []hit {
	if p.again && p.role == "mesh" {
		return hits(fmt.Sprintf("Sidecars with the tag %s have a way to it.", p.scope), path("tags"))
	}
	if p.old == nil || !p.old.is("use_mutual_tls_auth") || !p.new.is("use_mutual_tls_auth") {
		return nil
	}
	more := added(p.old.texts("client_certificates"), p.new.texts("client_certificates"))
	if len(more) == 0 {
		return nil
	}
	return hits(fmt.Sprintf("Callers with %s more are let in.", counted(len(more), "client certificate")), path("client_certificates"))
}

var addressFields = [][]string{path("enable_ip_whitelisting"), path("allowed_ips"), path("ip_access_control_disabled"), path("enable_ip_blacklisting"), path("blacklisted_ips")}

// addressesWidened: both lists of addresses.
func addressesWidened(p pair) []hit {
	if p.old == nil {
		return nil
	}
	old, any := p.old.allowed()
	now, anyNow := p.new.allowed()
	switch {
	case !any && anyNow:
		return hits("Any address may call; some might not.", addressFields...)
	case !any && !coversAll(old, now):
		return hits("More addresses may call.", addressFields...)
	case !coversAll(p.new.blocked(), p.old.blocked()):
		return hits("Addresses that were shut out may call.", addressFields...)
	}
	return nil
}

// originsWidened: what browsers are told.
func originsWidened(p pair) []hit {
	if p.old == nil || !p.new.is("CORS", "enable") {
		return nil
	}
	var before []string
	if p.old.is("CORS", "enable") {
		before = p.old.texts("CORS", "allowed_origins")
	}
	var all []hit
	if more := added(before, p.new.texts("CORS", "allowed_origins")); len(more) > 0 && !slices.Contains(before, "*") {
		all = append(all, hit{fmt.Sprintf("Pages of more origins may call: %s.", listed(more)), [][]string{path("CORS", "enable"), path("CORS", "allowed_origins")}})
	}
	if p.new.is("CORS", "allow_credentials") && !(p.old.is("CORS", "enable") && p.old.is("CORS", "allow_credentials")) {
		all = append(all, hit{"Pages of other origins may send cookies and credentials.", [][]string{path("CORS", "enable"), path("CORS", "allow_credentials")}})
	}
	return all
}

// endpointsWidened: the lists of paths that are served alone, refused, or reachable from
// other APIs alone.
func endpointsWidened(p pair) []hit {
	if p.old == nil {
		return nil
	}
	at := path("version_data")
	var all []hit
	before, after := p.old.endpoints("white_list"), p.new.endpoints("white_list")
	if len(before) > 0 && len(after) == 0 {
		all = append(all, hit{"All endpoints are served; some alone were.", [][]string{at}})
	} else if more := added(before, after); len(before) > 0 && len(more) > 0 {
		all = append(all, hit{fmt.Sprintf("These are served as well: %s.", listed(more)), [][]string{at}})
	}
	if gone := added(p.new.endpoints("black_list"), p.old.endpoints("black_list")); len(gone) > 0 {
		all = append(all, hit{fmt.Sprintf("These are not refused any more: %s.", listed(gone)), [][]string{at}})
	}
	if gone := added(p.new.endpoints("internal"), p.old.endpoints("internal")); len(gone) > 0 {
		all = append(all, hit{fmt.Sprintf("These were for other APIs of the gateway alone: %s.", listed(gone)), [][]string{at}})
	}
	return all
}

// hostWidened: from one host to many, to any, or to another.
func hostWidened(p pair) []hit {
	if p.old == nil || coversHost(p.old.host(), p.new.host()) {
		return nil
	}
	return hits(fmt.Sprintf("It answers for %s; it did for %s.", hostText(p.new.host()), hostText(p.old.host())), path("domain"), path("domain_disabled"))
}

func hostText(host string) string { return cmp.Or(host, "every host") }

// pathWidened: what is not known to be narrower counts as wider.
func pathWidened(p pair) []hit {
	if p.old == nil {
		return nil
	}
	if p.old.listenOf(p.oldPlain).covers(p.new.listenOf(p.newPlain)) {
		return nil
	}
	return hits("It answers for paths that it did not answer for.", path("proxy", "listen_path"))
}

// published: where it listens.
func published(p pair) []hit {
	if p.old == nil {
		return nil
	}
	var all []hit
	if p.old.is("internal") && !p.new.is("internal") {
		all = append(all, hit{"It is no longer for other APIs of the gateway alone.", [][]string{path("internal")}})
	}
	if p.old.number("listen_port") != p.new.number("listen_port") {
		all = append(all, hit{"It listens on another port.", [][]string{path("listen_port")}})
	}
	return all
}

// tagsWidened: a gateway that has any of the tags loads it.
func tagsWidened(p pair) []hit {
	if p.old == nil {
		return nil
	}
	if more := added(p.old.tags(), p.new.tags()); len(more) > 0 {
		return hits(fmt.Sprintf("Gateways with these tags load it as well: %s.", listed(more)), path("tags"), path("tags_disabled"))
	}
	return nil
}

// tlsDropped: certificates for the host, the listener's own protocol, and the way to the
// upstream.
func tlsDropped(p pair) []hit {
	if p.old == nil {
		return nil
	}
	var all []hit
	if gone := added(p.new.texts("certificates"), p.old.texts("certificates")); len(gone) > 0 && len(added(p.old.texts("certificates"), p.new.texts("certificates"))) < len(gone) {
		all = append(all, hit{"A certificate for its host is gone.", [][]string{path("certificates")}})
	}
	if old, now := p.old.text("protocol"), p.new.text("protocol"); isEncrypted(old) && !isEncrypted(now) {
		all = append(all, hit{"The listener does not ask for TLS itself any more.", [][]string{path("protocol")}})
	}
	plain := map[string]bool{}
	for _, t := range p.old.targets() {
		plain[joined(t.path)] = plain[joined(t.path)] || !isEncrypted(t.scheme)
	}
	for _, t := range p.new.targets() {
		if was, known := plain[joined(t.path)]; known && !was && !isEncrypted(t.scheme) {
			all = append(all, hit{"Requests go to the upstream without TLS.", [][]string{t.path}})
		}
	}
	return all
}

// Versions of TLS by their numbers: 1.2 is the gateway's default for the lowest, 1.3 for
// the highest.
const tls12, tls13 = 771, 772

// tlsWeakened: the versions on the way to the upstream.
func tlsWeakened(p pair) []hit {
	if p.old == nil {
		return nil
	}
	transport := func(d definition, field string, otherwise float64) float64 {
		return cmp.Or(d.number("proxy", "transport", field), otherwise)
	}
	var all []hit
	for field, otherwise := range map[string]float64{"ssl_min_version": tls12, "ssl_max_version": tls13} {
		if transport(p.new, field, otherwise) < transport(p.old, field, otherwise) {
			all = append(all, hit{"Older versions of TLS are taken on the way to the upstream.", [][]string{path("proxy", "transport", field)}})
		}
	}
	slices.SortFunc(all, func(a, b hit) int { return cmp.Compare(joined(a.paths[0]), joined(b.paths[0])) })
	return all
}

// upstreamUnchecked: who the upstream is, as the check upstream-tls of the policies sees
// it, and its pinned keys.
func upstreamUnchecked(p pair) []hit {
	skip := path("proxy", "transport", "ssl_insecure_skip_verify")
	if p.old == nil {
		if p.new.is(skip...) {
			return hits("The definition is new, and takes any certificate of the upstream.", skip)
		}
		return nil
	}
	var all []hit
	if !p.old.is(skip...) && p.new.is(skip...) {
		all = append(all, hit{"Any certificate of the upstream is taken.", [][]string{skip}})
	}
	if f := path("proxy", "transport", "ssl_force_common_name_check"); p.old.is(f...) && !p.new.is(f...) {
		all = append(all, hit{"The name in the certificate of the upstream is not checked any more.", [][]string{f}})
	}
	pinned := func(d definition) []string {
		if d.is("certificate_pinning_disabled") {
			return nil
		}
		return keysOf(d.at("pinned_public_keys"))
	}
	if gone := added(pinned(p.new), pinned(p.old)); len(gone) > 0 {
		all = append(all, hit{fmt.Sprintf("Any key of these hosts is taken: %s.", listed(gone)), [][]string{path("pinned_public_keys"), path("certificate_pinning_disabled")}})
	}
	return all
}

// targetChanged: the address without its scheme, of which tls-dropped tells.
func targetChanged(p pair) []hit {
	if p.old == nil {
		return nil
	}
	known := map[string]bool{}
	for _, t := range p.old.targets() {
		known[t.to] = true
	}
	var all []hit
	for _, t := range p.new.targets() {
		if !known[t.to] {
			known[t.to] = true
			all = append(all, hit{"Requests go to " + shownText(t.path, t.to) + ", where none went.", [][]string{t.path}})
		}
	}
	return all
}

// credentialExposed: where the credential is seen.
func credentialExposed(p pair) []hit {
	if p.old == nil || len(p.new.credentials()) == 0 {
		return nil
	}
	var all []hit
	for _, at := range places(p.new) {
		if f := append(slices.Clone(at), "use_param"); !p.old.is(f...) && p.new.is(f...) {
			all = append(all, hit{"Credentials may stand in the query, which logs keep.", [][]string{f}})
		}
	}
	if p.old.is("strip_auth_data") && !p.new.is("strip_auth_data") {
		all = append(all, hit{"The upstream sees the credentials of callers.", [][]string{path("strip_auth_data")}})
	}
	return all
}

// checkDropped: what looks at requests besides authentication.
func checkDropped(p pair) []hit {
	if p.old == nil {
		return nil
	}
	var all []hit
	for list, what := range map[string]string{
		"validate_json": "Bodies are not held to a schema any more", "validate_request": "Requests are not held to the OpenAPI document any more", "size_limits": "Bodies may be of any size",
	} {
		if gone := added(p.new.endpoints(list), p.old.endpoints(list)); len(gone) > 0 {
			all = append(all, hit{fmt.Sprintf("%s: %s.", what, listed(gone)), [][]string{path("version_data")}})
		}
	}
	for _, name := range []string{"pre", "post_key_auth", "post", "auth_check"} {
		if gone := added(functions(p.new, name), functions(p.old, name)); len(gone) > 0 {
			all = append(all, hit{fmt.Sprintf("Functions of plugins are not called any more: %s.", listed(gone)), [][]string{path("custom_middleware")}})
		}
	}
	bundle := func(d definition) string {
		if d.is("custom_middleware_bundle_disabled") {
			return ""
		}
		return d.text("custom_middleware_bundle")
	}
	if bundle(p.old) != "" && bundle(p.new) == "" {
		all = append(all, hit{"The bundle of plugins is gone.", [][]string{path("custom_middleware_bundle"), path("custom_middleware_bundle_disabled")}})
	}
	slices.SortFunc(all, func(a, b hit) int { return cmp.Compare(a.message, b.message) })
	return all
}

// functions gives the names of functions that are on.
func functions(d definition, name string) []string {
	list, isList := d.at("custom_middleware", name).([]any)
	if !isList {
		list = []any{d.at("custom_middleware", name)}
	}
	var all []string
	for _, f := range list {
		text, _ := at(f, "name").(string)
		if off, _ := at(f, "disabled").(bool); text != "" && !off {
			all = append(all, text)
		}
	}
	return all
}

// limitRemoved: rate and quota, of the API and of its endpoints.
func limitRemoved(p pair) []hit {
	if p.old == nil {
		return nil
	}
	var all []hit
	for _, f := range []struct{ field, what string }{{"disable_rate_limit", "No rate is counted any more."}, {"disable_quota", "No quota is counted any more."}} {
		if !p.old.is(f.field) && p.new.is(f.field) {
			all = append(all, hit{f.what, [][]string{path(f.field)}})
		}
	}
	old, now := rate(p.old), rate(p.new)
	if !p.new.is("disable_rate_limit") && old > 0 && (now == 0 || now > old) {
		all = append(all, hit{"The rate of all callers together is higher, or has no limit.", [][]string{path("global_rate_limit")}})
	}
	if gone := added(p.new.endpoints("rate_limit"), p.old.endpoints("rate_limit")); len(gone) > 0 {
		all = append(all, hit{fmt.Sprintf("These have no rate of their own any more: %s.", listed(gone)), [][]string{path("version_data")}})
	}
	return all
}

// rate is in requests a second; 0 is any.
func rate(d definition) float64 {
	rate, per := d.number("global_rate_limit", "rate"), d.number("global_rate_limit", "per")
	if d.is("disable_rate_limit") || d.is("global_rate_limit", "disabled") || per == 0 {
		return 0
	}
	return rate / per
}

// maxListed bounds what a message lists.
const maxListed = 5

// listed writes "a, b and c".
func listed(list []string) string {
	if n := len(list) - maxListed; n > 1 {
		list = append(slices.Clone(list[:maxListed]), fmt.Sprintf("%d others", n))
	}
	last := len(list) - 1
	if last < 1 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// shownText is a text of a definition as it may be shown, without quotes.
func shownText(at []string, text string) string {
	var s string
	if json.Unmarshal(shown(at, text), &s) != nil {
		return "[unreadable]"
	}
	return s
}
