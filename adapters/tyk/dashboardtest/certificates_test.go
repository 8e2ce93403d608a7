package dashboardtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A pair is a certificate and its key, in PEM, and the id that it will have.
type pair struct{ cert, key, id string }

func selfSigned(t *testing.T) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "tea.example"},
		DNSNames:     []string{"tea.example"},
		NotBefore:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return pair{
		cert: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		id:   testOrg + hex.EncodeToString(sum[:]),
	}
}

// form is a multipart body with one file.
func form(t *testing.T, field, text string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, "cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func upload(t *testing.T, d *Dashboard, text string) *httptest.ResponseRecorder {
	t.Helper()
	contentType, body := form(t, "cert", text)
	return ask(d, "POST /api/certs", contentType, body)
}

func TestUpload(t *testing.T) {
	leaf, other := selfSigned(t), selfSigned(t)
	for _, c := range []struct {
		name, before, text string
		status             int
		want               string
	}{
		{"a certificate", "", leaf.cert, 200, `{"id":"` + leaf.id + `","message":"Certificate added.","status":"ok"}`},
		{"with its key", "", leaf.cert + leaf.key, 200, leaf.id},
		{"the key first", "", leaf.key + leaf.cert, 200, leaf.id},
		{"a chain begins with the leaf", "", leaf.cert + leaf.key + other.cert, 200, leaf.id},
		{"again", leaf.cert + leaf.key, leaf.cert + leaf.key, 404, `"Message":"Could not create certificate.Certificate with ` + leaf.id + ` ID already exists."`},
		{"again, now with its key", leaf.cert, leaf.cert + leaf.key, 404, "already exists"},
		{"after another", other.cert, leaf.cert, 200, leaf.id},
		{"no PEM", "", "tea", 404, "It should be PEM encoded."},
		{"a key alone", "", leaf.key, 404, "It should be PEM encoded."},
		{"the key of another", "", leaf.cert + other.key, 404, "private key does not match public key"},
		{"two keys", "", leaf.cert + leaf.key + other.key, 404, "Found multiple private keys"},
		{"what is no certificate", "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 404, "Could not create certificate."},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Config{Key: testKey, OrgID: testOrg})
			if c.before != "" {
				upload(t, d, c.before)
			}
			w := upload(t, d, c.text)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("status %d, want %d: %s, want %s", w.Code, c.status, w.Body, c.want)
			}
		})
	}
}

func TestUploadNeedsTheField(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	leaf := selfSigned(t)
	contentType, body := form(t, "file", leaf.cert)
	if w := ask(d, "POST /api/certs", contentType, body); w.Code != 500 {
		t.Errorf("another field: status %d", w.Code)
	}
	if w := ask(d, "POST /api/certs", "application/x-pem-file", leaf.cert); w.Code != 500 {
		t.Errorf("bare PEM: status %d", w.Code)
	}
}

func TestCertificates(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	with, without := selfSigned(t), selfSigned(t)
	upload(t, d, with.cert+with.key)
	upload(t, d, without.cert)

	var list struct {
		Certs []string
		Pages int
	}
	w := ask(d, "GET /api/certs?p=-2", "", "")
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Certs) != 2 || list.Certs[0] != with.id || list.Certs[1] != without.id || list.Pages != 1 {
		t.Errorf("the list is %+v", list)
	}
	absent := "/api/certs/" + testOrg + strings.Repeat("0", 64)
	for _, s := range []step{
		{"GET /api/certs/" + with.id, "", 200, []string{`"has_private":true`, `"id":"` + with.id + `"`, `"dns_names":["tea.example"]`, `"CommonName":"tea.example"`}, []string{"PRIVATE KEY"}},
		{"GET /api/certs/" + without.id, "", 200, []string{`"has_private":false`}, nil},
		{"GET " + absent, "", 404, []string{"not found", `"Status":"Error"`}, nil},
		{"DELETE " + absent, "", 404, []string{"Could not delete certificate."}, nil},
		{"GET /api/certs/other", "", 400, []string{"non-owned"}, nil},
		{"DELETE /api/certs/other", "", 400, []string{"non-owned"}, nil},
		{"DELETE /api/certs/" + with.id, "", 200, []string{`"status":"ok"`}, nil},
		{"GET /api/certs/" + with.id, "", 404, nil, nil},
		{"GET /api/certs?p=1", "", 200, []string{without.id}, []string{with.id}},
		{"GET /api/certs?p=x", "", 400, []string{"Could not retrieve certs."}, nil},
	} {
		s.run(t, d)
	}
}
