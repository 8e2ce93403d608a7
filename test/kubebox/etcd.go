package main

import (
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcdURL is a unix socket in the data folder, so that etcd needs neither a port
// nor keys. etcd replaces a socket that a killed process left behind.
const etcdURL = "unix://etcd.sock"

// startEtcd returns when etcd serves; what fails later goes to failed.
func startEtcd(failed chan<- error) error {
	client, peer := socket(etcdURL), socket("unix://peer.sock")
	c := embed.NewConfig()
	c.Name = "kubebox"
	c.Dir = "etcd"
	c.ListenClientUrls, c.AdvertiseClientUrls = client, client
	c.ListenPeerUrls, c.AdvertisePeerUrls = peer, peer
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.EnableGRPCGateway = false
	c.LogLevel = "error"
	// A process may be killed without loss as its writes have reached the kernel.
	// Only a power cut would take them, and nobody continues a test after one.
	c.UnsafeNoFsync = true
	// An election of one candidate need not wait for others.
	c.TickMs, c.ElectionMs = 10, 100

	etcd, err := embed.StartEtcd(c)
	if err != nil {
		return fmt.Errorf("starting etcd: %w", err)
	}
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		return fmt.Errorf("starting etcd: %w", err)
	case <-time.After(time.Minute):
		return fmt.Errorf("etcd was not ready after a minute")
	}
	go func() { failed <- fmt.Errorf("etcd: %w", <-etcd.Err()) }()
	return nil
}

func socket(address string) []url.URL {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return []url.URL{*u}
}
