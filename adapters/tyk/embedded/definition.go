package embedded

import (
	"encoding/json"
	"errors"
)

// A definition is a classic API definition as the gateway understood it.
type definition struct {
	// text is its canonical form (see field.read). All its fields are written out
	// only for an answer: 6 KiB of them are zeros.
	text []byte
	api  api
}

// api holds the fields that this gateway acts on.
type api struct {
	ID             string      `json:"api_id"`
	Protocol       string      `json:"protocol"`
	ListenPort     int         `json:"listen_port"`
	AllowList      bool        `json:"enable_ip_whitelisting"`
	BlockList      bool        `json:"enable_ip_blacklisting"`
	Internal       bool        `json:"internal"`
	Domain         string      `json:"domain"`
	DomainDisabled bool        `json:"domain_disabled"`
	Certificates   []string    `json:"certificates"`
	IsOAS          bool        `json:"is_oas"`
	VersionData    versionData `json:"version_data"`
	Versioning     struct {
		Location string `json:"location"`
		Key      string `json:"key"`
	} `json:"definition"`
	Proxy proxySettings `json:"proxy"`
	keySettings
	mutualTLS
	upstreamCertificates
}

type versionData struct {
	NotVersioned bool               `json:"not_versioned"`
	Default      string             `json:"default_version"`
	Versions     map[string]version `json:"versions"`
}

type version struct {
	Paths struct {
		WhiteList []struct {
			Disabled bool   `json:"disabled"`
			Path     string `json:"path"`
		} `json:"white_list"`
	} `json:"extended_paths"`
}

type proxySettings struct {
	PreserveHost      bool     `json:"preserve_host_header"`
	ListenPath        string   `json:"listen_path"`
	Target            string   `json:"target_url"`
	DisableStripSlash bool     `json:"disable_strip_slash"`
	Strip             bool     `json:"strip_listen_path"`
	Balance           bool     `json:"enable_load_balancing"`
	Targets           []string `json:"target_list"`
	Transport         struct {
		Insecure bool `json:"ssl_insecure_skip_verify"`
	} `json:"transport"`
}

// define makes a definition of what field.decode gave.
func define(tree map[string]any) (*definition, error) {
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	d := &definition{text: text}
	return d, json.Unmarshal(text, &d.api)
}

// parseFile reads a definition from a file, where, unlike in a body, nothing may
// follow it.
func (f *field) parseFile(data []byte) (*definition, error) {
	if !json.Valid(data) {
		return nil, errors.New("unexpected end or invalid character of JSON input")
	}
	tree, err := f.decode(data)
	if err != nil {
		return nil, err
	}
	return define(tree)
}

// appendDefinition writes a definition with all its fields, and with this listen
// path, which may not be its own after a collision.
func (f *field) appendDefinition(dst []byte, d *definition, listenPath string) []byte {
	tree, err := f.decode(d.text)
	if err != nil { // it was read before
		return append(dst, "null"...)
	}
	if listenPath != d.api.Proxy.ListenPath {
		tree["proxy"].(map[string]any)["listen_path"] = listenPath
	}
	return f.expand(dst, tree)
}

// domain of the API, as the gateway sees it.
func (a *api) domain() string {
	if a.DomainDisabled {
		return ""
	}
	return a.Domain
}

// validate is the little validation that the gateway has.
func (a *api) validate() error {
	if a.Proxy.Balance && len(a.Proxy.Targets) == 0 {
		return errors.New("all load balancing targets have weight 0, at least one target must have weight > 0")
	}
	return nil
}
