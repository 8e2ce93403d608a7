package dashboardtest

import (
	"encoding/json"
	"net/http"
)

// An answer is a status and a body that becomes JSON.
type answer struct {
	status int
	body   any
}

// write sends the answer. The client may be gone; that is its own affair.
func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

// An envelope is what most answers are wrapped in. Its keys are capitalised,
// unlike those of the gateway.
type envelope struct {
	Status  string
	Message string
	Meta    any
	ID      string   `json:",omitempty"`
	Errors  []string `json:",omitempty"`
}

func success(message string) answer {
	return answer{http.StatusOK, envelope{Status: envelopeOK, Message: message}}
}

func failure(status int, message string) answer {
	return answer{status, envelope{Status: envelopeError, Message: message}}
}

// refused names what the schema of the Dashboard does not know.
func refused(errors []string) answer {
	return answer{statusMalformed, envelope{Status: envelopeError, Message: messageMalformed, Errors: errors}}
}
