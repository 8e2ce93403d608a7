//go:build e2e

package box_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/cuegate/cuegate/test/box"
)

// object is one of Kubernetes, as JSON.
type object = map[string]any

// client is somebody who talks to a server with bare HTTP.
type client struct {
	t     *testing.T
	url   string
	http  *http.Client
	token string
}

// admin may do everything.
func admin(t *testing.T, server *box.Box) client {
	t.Helper()
	c, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	return client{t: t, url: server.URL, http: c}
}

// bearer knows the server as the admin does, and is known to it by the token only.
func bearer(t *testing.T, server *box.Box, token string) client {
	t.Helper()
	c := admin(t, server)
	c.token = token
	c.http.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	return c
}

// holder uses a kubeconfig that is JSON.
func holder(t *testing.T, kubeconfig string) client {
	t.Helper()
	text, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     []byte `json:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
			}
		}
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	cluster, user := config.Clusters[0].Cluster, config.Users[0].User
	pair, err := tls.X509KeyPair(user.Certificate, user.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cluster.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	return client{t: t, url: cluster.Server, http: &http.Client{Transport: transport}}
}

// do gives the status, and 0 if there was no answer.
func (c client) do(method, path string, body any) (int, []byte) {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return response.StatusCode, answer
}

// must gives the object of an answer that says yes.
func (c client) must(method, path string, body any) object {
	c.t.Helper()
	code, text := c.do(method, path, body)
	var answer object
	if err := json.Unmarshal(text, &answer); err != nil || code/100 != 2 {
		c.t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
	return answer
}

func (c client) wants(status int, method, path string, body any) {
	c.t.Helper()
	if code, text := c.do(method, path, body); code != status {
		c.t.Errorf("%s %s: %d and not %d: %s", method, path, code, status, text)
	}
}

func (c client) items(path string) []any {
	c.t.Helper()
	items, _ := c.must("GET", path, nil)["items"].([]any)
	return items
}

// namespace makes one that no other test has, and where pods may be made.
func (c client) namespace(prefix string) string {
	c.t.Helper()
	made := c.must("POST", "/api/v1/namespaces", object{"metadata": object{"generateName": prefix + "-"}})
	name := fmt.Sprint(field(made, "metadata", "name"))
	c.eventually("the service account is there", func() bool {
		code, _ := c.do("GET", "/api/v1/namespaces/"+name+"/serviceaccounts/default", nil)
		return code == http.StatusOK
	})
	return name
}

func (c client) eventually(what string, done func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("after 30 seconds it was still not so that %s", what)
		}
	}
}

// field gives what is at the path, and nil where the path ends early.
func field(value any, path ...string) any {
	for _, name := range path {
		o, _ := value.(object)
		value = o[name]
	}
	return value
}
