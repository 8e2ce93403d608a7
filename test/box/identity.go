package box

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The program keeps each certificate in one file with its key.
const (
	authorityFile = "ca.pem"
	adminFile     = "admin.pem"
)

// Client speaks as the admin, whom nothing is forbidden.
func (b *Box) Client() (*http.Client, error) {
	admin, err := pair(filepath.Join(b.Dir, adminFile))
	if err != nil {
		return nil, err
	}
	authority, err := pair(filepath.Join(b.Dir, authorityFile))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{admin}},
		ForceAttemptHTTP2: true,
	}}, nil
}

// KubeconfigFor writes a kubeconfig into the folder of the server and gives its path.
// Its user is known by a certificate, good for a year, and may do what roles allow to
// that name or the groups. A service account is the user
// "system:serviceaccount:NAMESPACE:NAME", whose own groups need not be given; its
// namespace is that of the kubeconfig.
func (b *Box) KubeconfigFor(user string, groups ...string) (string, error) {
	groups = append(accountGroups(user), groups...)
	authority, err := pair(filepath.Join(b.Dir, authorityFile))
	if err != nil {
		return "", err
	}
	certificate, key, err := sign(authority, pkix.Name{CommonName: user, Organization: groups})
	if err != nil {
		return "", err
	}
	type object = map[string]any
	config := object{
		"apiVersion": "v1", "kind": "Config", "current-context": "kubebox",
		"clusters": []object{{"name": "kubebox", "cluster": object{
			"server": b.URL, "certificate-authority-data": encode("CERTIFICATE", authority.Leaf.Raw),
		}}},
		"users": []object{{"name": user, "user": object{
			"client-certificate-data": encode("CERTIFICATE", certificate), "client-key-data": encode("PRIVATE KEY", key),
		}}},
		"contexts": []object{{"name": "kubebox", "context": object{"cluster": "kubebox", "user": user, "namespace": accountNamespace(user)}}},
	}
	text, err := json.MarshalIndent(config, "", "  ") // JSON is YAML as well
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp(b.Dir, "kubeconfig-")
	if err != nil {
		return "", err
	}
	defer file.Close()
	_, err = file.Write(text)
	return file.Name(), err
}

// accountGroups gives those that the server sees every service account in, and none
// for other users.
func accountGroups(user string) []string {
	namespace := accountNamespace(user)
	if namespace == "" {
		return nil
	}
	return []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace}
}

// accountNamespace is that of a service account, and "" for other users.
func accountNamespace(user string) string {
	account, found := strings.CutPrefix(user, "system:serviceaccount:")
	if !found {
		return ""
	}
	namespace, _, _ := strings.Cut(account, ":")
	return namespace
}

// sign gives a client's certificate and its key, in DER.
func sign(authority tls.Certificate, subject pkix.Name) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if key, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return nil, nil, err
	}
	certificate, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject:     subject,
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority.Leaf, private.Public(), authority.PrivateKey)
	return certificate, key, err
}

func pair(name string) (tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(name, name)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return c, err
}

// encode gives PEM, which JSON writes in base64, as a kubeconfig has it.
func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
