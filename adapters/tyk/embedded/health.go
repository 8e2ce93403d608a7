package embedded

import (
	"net/http"
	"time"
)

const gatewayVersion = "v5.11.1"

// health is the answer of /hello and /ready.
type health struct {
	Status      string               `json:"status"`
	Version     string               `json:"version"`
	Description string               `json:"description"`
	Details     map[string]component `json:"details"`
}

type component struct {
	Status string `json:"status"`
	Output string `json:"output,omitempty"`
	Type   string `json:"componentType"`
	Time   string `json:"time"`
}

// hello always answers 200; the body says how it is.
func (g *Gateway) hello(w http.ResponseWriter, r *http.Request) {
	if !getOnly(w, r) {
		return
	}
	writeJSON(w, http.StatusOK, g.health("Tyk GW"))
}

func (g *Gateway) ready(w http.ResponseWriter, r *http.Request) {
	if !getOnly(w, r) {
		return
	}
	if g.store.redisDown() {
		writeJSON(w, http.StatusServiceUnavailable, status{"error", "Redis connection not available"})
		return
	}
	writeJSON(w, http.StatusOK, g.health("Tyk GW Ready"))
}

func getOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet {
		return true
	}
	writeJSON(w, http.StatusMethodNotAllowed, status{"error", http.StatusText(http.StatusMethodNotAllowed)})
	return false
}

func (g *Gateway) health(description string) health {
	redis := component{Status: "pass", Type: "datastore", Time: time.Now().Format(time.RFC3339)}
	if g.store.redisDown() {
		redis.Status, redis.Output = "fail", errRedis.Error()
	}
	return health{redis.Status, gatewayVersion, description, map[string]component{"redis": redis}}
}
