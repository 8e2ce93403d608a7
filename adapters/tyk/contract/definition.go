package contract

import (
	"encoding/json"
	"net/url"
	"strings"
)

// A definition is a classic API definition, as encoding/json reads JSON.
type definition map[string]any

// absent takes a field away.
const absent = "(absent)"

// object is short for what JSON calls so.
type object = map[string]any

// api is the smallest definition that serves. Its upstream is told the name in the
// query.
func (p probe) api(name, listenPath string) definition {
	return definition{
		"name": p.prefix + " " + name, "api_id": p.id(name), "org_id": p.gateway.OrgID,
		"use_keyless": true, "active": true,
		"version_data": object{
			"not_versioned": true,
			"versions":      object{"Default": object{"name": "Default", "use_extended_paths": true}},
		},
		"proxy": object{"listen_path": listenPath, "target_url": p.target(name, "/"), "strip_listen_path": true},
	}
}

// target is a URL of the upstream that tells it the name of the API.
func (p probe) target(name, path string) string {
	return p.upstream + path + "?api=" + url.QueryEscape(name)
}

// with changes one field; the path has dots.
func (d definition) with(path string, value any) definition {
	at := object(d)
	for {
		name, rest, more := strings.Cut(path, ".")
		if !more {
			break
		}
		at, path = at[name].(object), rest
	}
	if value == absent {
		delete(at, path)
	} else {
		at[path] = value
	}
	return d
}

func (d definition) id() string { return d["api_id"].(string) }

func (d definition) json() string {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // the groups write plain values only
	}
	return string(text)
}
