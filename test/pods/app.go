package pods

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Seen is what an app saw of a request. It says so in the body of its answer, in JSON.
type Seen struct {
	// Workload is "Kind/namespace/name", and Pod the name of the pod.
	Workload string      `json:"workload"`
	Pod      string      `json:"pod"`
	Method   string      `json:"method"`
	URL      string      `json:"url"` // path and query
	Host     string      `json:"host"`
	Header   http.Header `json:"header"`
}

// appHeader is in all answers of apps: a gateway passes it on, and has none of its own.
const appHeader = "X-App"

// app is what runs in a pod.
func app(workload, pod string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set(appHeader, pod)
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(Seen{workload, pod, r.Method, r.URL.RequestURI(), r.Host, r.Header})
	})
}

func readAnswer(r *http.Response) (Answer, error) {
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Status: r.StatusCode, Text: strings.TrimSpace(string(body))}
	if r.Header.Get(appHeader) == "" {
		return a, nil
	}
	if err := json.Unmarshal(body, &a.Seen); err != nil {
		return Answer{}, fmt.Errorf("the answer of an app: %w", err)
	}
	return a, nil
}
