package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// What the data folder keeps. A certificate and its key share a file, written in
// one step, so that a kill leaves both or none.
const (
	caFile         = "ca.pem"
	servingFile    = "serving.pem"
	adminFile      = "admin.pem"
	tokenKeyFile   = "token-key.pem"
	kubeconfigFile = "kubeconfig"
)

// keys are what a client needs, in PEM.
type keys struct {
	ca        []byte
	adminCert []byte
	adminKey  []byte
}

// makeKeys makes what is missing of the keys in dir, and gives those of the admin.
func makeKeys(dir string) (keys, error) {
	_, err := keep(filepath.Join(dir, tokenKeyFile), newTokenKey)
	if err != nil {
		return keys{}, err
	}
	authority, err := keep(filepath.Join(dir, caFile), func() ([]byte, error) { return certify(authority(), nil) })
	if err != nil {
		return keys{}, err
	}
	signer, err := tls.X509KeyPair(authority, authority)
	if err != nil {
		return keys{}, fmt.Errorf("%s: %w", caFile, err)
	}
	_, err = keep(filepath.Join(dir, servingFile), func() ([]byte, error) { return certify(server(), &signer) })
	if err != nil {
		return keys{}, err
	}
	admin, err := keep(filepath.Join(dir, adminFile), func() ([]byte, error) { return certify(administrator(), &signer) })
	if err != nil {
		return keys{}, err
	}
	return keys{
		ca:        blocks(authority, certificateBlock),
		adminCert: blocks(admin, certificateBlock),
		adminKey:  blocks(admin, keyBlock),
	}, nil
}

func authority() *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "kubebox"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
}

func server() *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serviceAddress)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// administrator may do everything: the server ships with a role for its group.
func administrator() *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// certify gives the certificate and its new key. Without a signer it signs itself.
func certify(template *x509.Certificate, signer *tls.Certificate) ([]byte, error) {
	key, text, err := newKey()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.AddDate(10, 0, 0)
	parent, signature := template, crypto.Signer(key)
	if signer != nil {
		parent, signature = signer.Leaf, signer.PrivateKey.(crypto.Signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signature)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}), text...), nil
}

const certificateBlock, keyBlock = "CERTIFICATE", "PRIVATE KEY"

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return key, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), err
}

// newTokenKey signs tokens of service accounts. The server reads the public key from
// the file as well, and finds that in SEC 1 but not in PKCS 8.
func newTokenKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}

// blocks gives those blocks of a PEM text that have the type.
func blocks(text []byte, kind string) []byte {
	var found bytes.Buffer
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			found.Write(pem.EncodeToMemory(block))
		}
	}
	return found.Bytes()
}

// keep gives what the file holds, and makes it first if there is none.
func keep(name string, build func() ([]byte, error)) ([]byte, error) {
	text, err := os.ReadFile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	if text, err = build(); err != nil {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	return text, replace(name, text)
}

// replace writes the file in one step: it has its old content, or all of the new.
func replace(name string, text []byte) error {
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
