package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"time"
)

// Ports of servers that may be restarted come from below those that systems give to
// outgoing connections (from 32768 on Linux). Otherwise somebody's connection, even
// a client's that tries to reach us while we are away, could sit on our port when
// we come back.
const firstPort, ports = 20000, 12000

// listen gives a listener on the port, or on a free one for 0.
func listen(port int) (net.Listener, error) {
	if port == 0 {
		for range 100 {
			if l, err := listenOn(firstPort + rand.IntN(ports)); err == nil {
				return l, nil
			}
		}
		return nil, fmt.Errorf("found no free port from %d to %d", firstPort, firstPort+ports-1)
	}
	// The process that we follow may not be quite dead.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		l, err := listenOn(port)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return l, err
		}
	}
}

func listenOn(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
