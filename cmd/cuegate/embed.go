package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/adapters/tyk/embedded"
)

// reloadTick is shorter than the second of the real gateway: who edits a file waits
// for it.
const reloadTick = 50 * time.Millisecond

// embed starts the embedded gateway, with a secret that nobody else knows. What it
// listens on is written to r.
func (r *running) embed(c config) ([]tyk.Settings, func(), error) {
	plain, err := listen(&r.listen, "listen")
	if err != nil {
		return nil, nil, err
	}
	var secure net.Listener
	if r.listenTLS != "" {
		if secure, err = listen(&r.listenTLS, "listen-tls"); err != nil {
			_ = plain.Close()
			return nil, nil, err
		}
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails
	secret := hex.EncodeToString(random)
	gateway := embedded.New(embedded.Config{Secret: secret, CustomDomains: true, ReloadTick: reloadTick, Transport: newEchoTransport()})
	server := &http.Server{
		Handler: gateway, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:  log.New(io.Discard, "", 0), // clients that hang up
		TLSConfig: &tls.Config{GetCertificate: gateway.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
	}
	go func() { _ = server.Serve(plain) }()
	if secure != nil {
		go func() { _ = server.ServeTLS(secure, "", "") }()
	}
	settings := tyk.Settings{Name: embeddedName, URL: "http://" + r.listen, Secret: tyk.NewSecret(secret), OrgID: c.OrgID, Mode: tyk.Gateway}
	return []tyk.Settings{settings}, func() { _ = server.Close(); gateway.Close() }, nil
}

// listen opens what the flag names, and writes what it got.
func listen(address *string, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", *address)
	if err != nil {
		return nil, fmt.Errorf("the embedded gateway cannot listen (--%s names another address): %w", flag, err)
	}
	*address = l.Addr().String()
	return l, nil
}
