// Package dashboardtest is a double of the API of the Tyk Dashboard, for tests.
//
// The Dashboard is closed source. Nothing here was measured: this package is what
// public documents and clients say, and where they are silent, a guess. All of it
// stands in this file; whoever has a Dashboard to measure edits this file, and the
// tests of the package then show what else it touches. The sources are
//
//	S  tyk-docs, swagger/dashboard-swagger.yml of v5.13.0
//	O  tyk-operator v0.17.1, pkg/client/dashboard and its samples
//	Y  tyk-sync v1.4.3, clients/dashboard
//	A  tyk-docs, swagger/5.13/dashboard-admin-swagger.yml
//	B  tyk-k8s-bootstrap, tyk/organisation.go and tyk/user.go
//	D  the pages of the documentation about users and the admin API, v5.6 and older
//	G  what the open-source gateway does in the same place
//	-  nothing: a guess
//
// What is assumed:
//
//	 1  The key stands bare in the header "authorization" (O, Y, the prose of S;
//	    the scheme of S says bearer). Another key, or none, is 401 (S).
//	 2  Most answers are {"Status","Message","Meta"} with capitals (S, O). Some
//	    answers about certificates are in lower case like the gateway's (S).
//	 3  A definition travels in {"api_definition":{...}} with its owners (S, O). One
//	    without that wrapper, or what is no JSON, is 400 (-); the message is what S
//	    has for malformed users and keys.
//	 4  Create answers 200 with the id in the database, 24 hexadecimal digits, as
//	    Meta (O, S). Newer ones add the api_id as ID (S): ReturnsID.
//	 5  Create keeps the api_id that was sent, or makes one (S). Older ones make one
//	    always (O and Y create, then update): ResetsID.
//	 6  Create with an api_id that is taken is 409 (S). Nothing else is compared,
//	    neither slug nor listen path: a Dashboard with enable_duplicate_slugs unset
//	    may be stricter.
//	 7  {id} is an api_id or an id in the database (S).
//	 8  Update by the id in the database may change the api_id (O, Y; S for
//	    installations on premises). In Tyk Cloud a changed api_id is ignored (S), and
//	    here a new one is the Dashboard's own as well (-): IgnoresID.
//	 9  Update is 400 if the definition's "id", or its api_id when the path names an
//	    api_id, is not that of the path (S, which says "the ID"); 409 if the api_id
//	    is another's (-). Without an api_id it keeps the one it had (-).
//	10  Unknown ids: 400 for GET, 404 for PUT and DELETE (S).
//	11  Messages end as S writes them; O's samples have "Api updated".
//	12  The list is newest first (S). p below 0 is all, in one page (S, O, Y);
//	    otherwise a page has 10, the first is 1, and so is p=0 or no p (-). A page
//	    beyond the last is empty, and p=x is 400 (-). No definition is 0 pages (-).
//	13  The database sets id and org_id; org_id becomes the user's whatever was sent
//	    (-, Y rewrites it itself). Other fields stay as they were sent, which a
//	    Dashboard is known not to do: O's samples show every field written out. So
//	    compare what an answer means, not its bytes.
//	14  Fields that are not in the schema are 400 unless
//	    accept_additional_properties=true (Y sends it always): StrictFields. Only
//	    top-level fields are looked at, and the schema is the fields of G at v5.11.1
//	    with those that exports of the Dashboard add (-).
//	15  Nothing has to be reloaded: a change is told to the gateways (O, G).
//	16  A certificate is uploaded as a file in the multipart field "cert" (S, O, Y);
//	    without it 500 (S). Its id is the organisation and the SHA-256 of the leaf's
//	    DER (S, O, G).
//	17  A certificate that is there is 404 (S). So is every other that is refused,
//	    with the gateway's reason behind the same words (-, G): no PEM, a key of
//	    another certificate, two keys. A certificate stored without its key is "there"
//	    for one with it (G). An expired one is taken here, and refused by G.
//	18  A certificate of another organisation is 400, an unknown one 404 (S). DELETE
//	    answers in lower case (S); the words are the gateway's (G).
//	19  GET /api/users lists the users of the caller's organisation with their org_id,
//	    email_address, last_name and access_key (S, D, Y). The user of Config has no
//	    name and no email address here.
//	20  GET /hello needs no key, and says {"status":"pass"} and the version (-).
//	21  An unknown path or method is answered as Go does (-).
//	22  The header "admin-auth" carries the admin secret (A, B, D); another, or none, is
//	    401 (A).
//	23  GET /admin/organisations is {"organisations":[{"id","owner_name",...}],"pages"}
//	    (A, B), null where there are none (-). POST answers with the id as Meta (A, B).
//	    Two may have the same owner_name (-). A body that is no JSON is 403 (A).
//	24  POST /admin/users answers 200 with the access key as Message, and the user as
//	    Meta with id and access_key (A, B). Older ones have no Meta (scripts that read
//	    the message and then list users): NoMeta. An email address that a user of the
//	    organisation has is 403 (A, B). A user without an organisation is one of none
//	    (D). An unknown organisation is 403 (-).
//	25  GET /admin/users/{id} tells a user with the access key; an unknown id is 404 (A,
//	    D).
//	26  POST /api/users/{id}/actions/reset sets {"new_password"} (S, B, D); it needs no
//	    current password (B). One that the user had before is refused (-, the
//	    Dashboard keeps a history [A]), and one with fewer than 6 characters (S).
//	27  PUT /api/users/{id}/actions/key/reset makes a new key, and answers without it
//	    (S). The old one is refused at once (-).
//	28  DELETE /api/users/{id} (D); an unknown id is 404 (-). A user cannot delete itself
//	    (-).
//	29  Definitions and certificates belong to the organisation of the key that made
//	    them (13, 16), but all keys see all definitions here, which a Dashboard does
//	    not let them.
//
// OAS definitions (/api/apis/oas), permissions, limits of rates, licences and
// user groups are not part of it.
package dashboardtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Behaviour has the switches between what Dashboards of different versions and
// places are said to do. The zero value does what S says, without "ID".
type Behaviour struct {
	// ResetsID: a new definition gets an api_id of the Dashboard's own (5).
	ResetsID bool
	// IgnoresID: neither a new nor a changed definition gets the api_id that was
	// sent (8).
	IgnoresID bool
	// StrictFields: fields that the schema does not know are refused (14).
	StrictFields bool
	// ReturnsID: the answer to a new definition tells its api_id (4).
	ReturnsID bool
	// NoMeta: the answer to a new user tells the access key only (24).
	NoMeta bool
}

// Names of headers, parameters and fields: 1, 12, 13, 14, 16, 22.
const (
	keyHeader           = "authorization"
	adminHeader         = "admin-auth"
	pageParameter       = "p"
	additionalParameter = "accept_additional_properties"
	certificateField    = "cert"

	fieldID    = "id"
	fieldAPIID = "api_id"
	fieldOrgID = "org_id"
)

// Status codes, each named after the case: 1, 3, 6, 9, 10, 12, 16, 17, 18, 22 to 28.
const (
	statusNotAuthorised      = http.StatusUnauthorized
	statusMalformed          = http.StatusBadRequest
	statusSameID             = http.StatusConflict
	statusInvalidID          = http.StatusBadRequest
	statusGetUnknown         = http.StatusBadRequest
	statusUpdateUnknown      = http.StatusNotFound
	statusDeleteUnknown      = http.StatusNotFound
	statusNoAPIs             = http.StatusBadRequest
	statusNoCertificate      = http.StatusInternalServerError
	statusNoCertificates     = http.StatusBadRequest
	statusCertificateRefused = http.StatusNotFound
	statusForeignCertificate = http.StatusBadRequest
	statusUnknownCertificate = http.StatusNotFound
	statusAdminMalformed     = http.StatusForbidden
	statusEmailTaken         = http.StatusForbidden
	statusUnknownUser        = http.StatusNotFound
	statusBadPassword        = http.StatusBadRequest
	statusOwnUser            = http.StatusForbidden
	statusFault              = http.StatusInternalServerError
)

// Messages, as S has them but for messageMalformed (3) and those of the gateway
// (17, 18).
const (
	envelopeOK    = "OK"
	envelopeError = "Error"
	certificateOK = "ok"

	messageNotAuthorised = "Not authorised"
	messageMalformed     = "API object validation failed, most likely malformed input."
	messageCreated       = "API created"
	messageUpdated       = "API updated"
	messageDeleted       = "API deleted"
	messageSameID        = "Found API with the same ID"
	messageInvalidID     = "Invalid `ID` value"
	messageUnknown       = "Could not retrieve API detail"
	messageUpdateUnknown = "API definition does not exist"
	messageNoAPIs        = "Could not retrieve APIs."
	messageFault         = "Failed to save new org object to DB."

	messageOrganisationCreated = "Org created"
	messageAdminMalformed      = "Request body malformed"
	messageEmailTaken          = "User email already exists for this Org"
	messageUnknownUser         = "Could not retrieve user detail"
	messagePasswordSet         = "User password updated"
	messageBadPassword         = "The password is not allowed"
	messageKeyRenewed          = "User session renewed"
	messageUserDeleted         = "User deleted"
	messageOwnUser             = "You cannot delete yourself"

	messageCertificateAdded       = "Certificate added."
	messageCertificateRemoved     = "removed"
	messageCertificateRefused     = "Could not create certificate."
	messageNoCertificate          = "Failed to read response body, body empty."
	messageNoCertificates         = "Could not retrieve certs."
	messageForeignCertificate     = "Attempted access to non-owned certificate."
	messageUnknownCertificate     = "Could not retrieve certificate details. Certificate with given SHA256 fingerprint not found."
	messageUndeletableCertificate = "Could not delete certificate."
	messageNotPEM                 = "Failed to decode certificate. It should be PEM encoded."
	messageManyKeys               = "Found multiple private keys"
)

// taken is what stands behind messageCertificateRefused when the certificate is
// there already (17).
func taken(id string) string { return "Certificate with " + id + " ID already exists." }

const (
	pageSize = 10       // 12
	maxBody  = 16 << 20 // of a request; a guard of this package, not an assumption
)

// created tells when a definition was made: each a second after the one before it,
// so that answers are the same in every run.
func created(number int) string {
	return time.Date(2026, time.January, 1, 0, 0, number, 0, time.UTC).Format(time.RFC3339)
}

// hello answers 20.
func (d *Dashboard) hello(*state, *http.Request) answer {
	return answer{http.StatusOK, map[string]string{"status": "pass", "version": "v5.13.0"}}
}

// unknownFields names the fields of a definition that the schema does not know, in
// the words of a JSON Schema validator (14).
func unknownFields(def definition) []string {
	var unknown []string
	for field := range def {
		if !slices.Contains(strings.Fields(knownFields), field) {
			unknown = append(unknown, fmt.Sprintf("(root): Additional property %s is not allowed", field))
		}
	}
	slices.Sort(unknown)
	return unknown
}

// knownFields are the fields of a definition (14); the last two lines are those
// that the Dashboard adds.
const knownFields = `
	active allowed_ips analytics_plugin api_id auth auth_configs auth_provider
	base_identity_provided_by basic_auth blacklisted_ips cache_options certificates
	certificate_pinning_disabled client_certificates config_data config_data_disabled CORS
	custom_middleware custom_middleware_bundle custom_middleware_bundle_disabled
	custom_plugin_auth_enabled definition detailed_tracing disable_quota disable_rate_limit
	domain domain_disabled dont_set_quota_on_create do_not_track enable_batch_request_support
	enable_context_vars enable_coprocess_auth enable_detailed_recording
	enable_ip_blacklisting enable_ip_whitelisting enable_jwt enable_proxy_protocol
	enable_signature_checking event_handlers expiration expire_analytics_after external_oauth
	global_rate_limit graphql hmac_allowed_algorithms hmac_allowed_clock_skew id
	idp_client_id_mapping_disabled internal ip_access_control_disabled is_oas
	jwt_client_base_field jwt_default_policies jwt_expires_at_validation_skew
	jwt_identity_base_field jwt_issued_at_validation_skew jwt_jwks_uris
	jwt_not_before_validation_skew jwt_policy_field_name jwt_scope_claim_name
	jwt_scope_to_policy_mapping jwt_signing_method jwt_skip_kid jwt_source listen_port name
	notifications oauth_meta openid_options org_id pinned_public_keys protocol proxy
	request_signing response_processors scopes security_requirements session_lifetime
	session_lifetime_respects_key_expiration session_provider slug strip_auth_data tags
	tags_disabled tag_headers upstream_auth upstream_certificates
	upstream_certificates_disabled uptime_tests use_basic_auth use_go_plugin_auth use_keyless
	use_mutual_tls_auth use_oauth2 use_openid use_standard_auth version_data
	is_site check_host_against_uptime_tests disable_expire_analytics session_lifetime_disabled hook_references
	jwt_disable_issued_at_validation jwt_disable_expires_at_validation jwt_disable_not_before_validation`
