package engine

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Certificate is one that definitions of an object name.
type Certificate struct {
	// ID is the one that Tyk will give it: the organisation, and the SHA-256 of the
	// leaf's DER in lower-case hexadecimal (Tyk Gateway v5.11.1, measured).
	ID string
	// Secret is the "namespace/name" that it comes from.
	Secret string
	// NotAfter is when it expires.
	NotAfter time.Time
	// PEM holds the chain, the leaf first, and the key; it is empty where the Secret
	// has no key.
	PEM PrivatePEM
	// Public is set for one that a definition lets in: PEM has no key, which is none of
	// the callee's business. The same certificate may be there with its key, for the
	// callers.
	Public bool
}

// PrivatePEM holds a private key, and prints as "[redacted]".
type PrivatePEM []byte

// Format implements fmt.Formatter, for every verb.
func (p PrivatePEM) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// MarshalJSON implements json.Marshaler.
func (p PrivatePEM) MarshalJSON() ([]byte, error) { return json.Marshal("[redacted]") }

// keyPair is what a TLS secret holds.
type keyPair struct {
	fingerprint string // SHA-256 of the leaf's DER, in lower-case hexadecimal
	notAfter    time.Time
	hosts       []string // that the certificate is for
	pem         PrivatePEM
}

var (
	errSecret        = errors.New("it is not of the form of a Secret")
	errNoCertificate = errors.New("tls.crt holds no PEM certificate")
	errBadKey        = errors.New("tls.key holds no PEM private key that can be read")
	errOtherKey      = errors.New("tls.key does not belong to the first certificate of tls.crt")
	errKind          = errors.New("the key is neither RSA nor ECDSA, and the gateway serves no other: it takes an Ed25519 key and never serves it")
)

// parseKeyPair checks that certificate and key belong together and are of a kind
// that the gateway serves. No error quotes any of it. A key that is empty is let
// pass: manifests under version control have none.
func parseKeyPair(cert, key []byte) (keyPair, error) {
	var p keyPair
	leaf, chain, err := parseChain(cert)
	if err != nil {
		return p, err
	}
	sum := sha256.Sum256(leaf.Raw)
	p.fingerprint, p.notAfter, p.hosts = hex.EncodeToString(sum[:]), leaf.NotAfter, leaf.DNSNames
	switch leaf.PublicKey.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
	default:
		return p, errKind
	}
	if len(bytes.TrimSpace(key)) == 0 {
		return p, nil
	}
	block, private, err := parseKey(key)
	if err != nil {
		return p, err
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(private.Public()) {
		return p, errOtherKey
	}
	p.pem = append(chain, pem.EncodeToMemory(block)...)
	return p, nil
}

// parseChain reads the certificates, and writes them again without anything else.
func parseChain(text []byte) (leaf *x509.Certificate, chain []byte, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if leaf == nil {
			if leaf, err = x509.ParseCertificate(block.Bytes); err != nil {
				return nil, nil, errNoCertificate
			}
		}
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if leaf == nil {
		return nil, nil, errNoCertificate
	}
	return leaf, chain, nil
}

// parseKey reads the first private key, in any of the usual forms.
func parseKey(text []byte) (*pem.Block, crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return block, signer, nil
			}
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return block, key, nil
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return block, key, nil
		}
	}
	return nil, nil, errBadKey
}
