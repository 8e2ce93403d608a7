//go:build e2e

package box

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the test's program does instead of testing when it is started again: it
// builds from the folder into the other one, or it starts a server and waits.
const (
	roleVariable = "BOX_TEST_ROLE"
	roleBuilder  = "builder"
	roleParent   = "parent"
)

func TestMain(m *testing.M) {
	if role, found := os.LookupEnv(roleVariable); found {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func play(role string, args []string) error {
	switch role {
	case roleBuilder:
		program, err := builder{args[0], args[1], os.Stderr}.build()
		fmt.Println(program)
		return err
	case roleParent:
		b, err := New()
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(b); err != nil {
			return err
		}
		select {}
	}
	return fmt.Errorf("nobody plays %q", role)
}

// playing is another process with the role.
func playing(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// TestServerEndsWithParent kills who started a server.
func TestServerEndsWithParent(t *testing.T) {
	parent := playing(t, roleParent)
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var server Box
	if err := json.Unmarshal(line, &server); err != nil {
		t.Fatal(err)
	}
	if !listens(t, server.URL) {
		t.Fatal("the server does not listen")
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	awaitEnd(t, server.URL, server.Dir)
}

// TestServerIsInterrupted is a terminal that interrupts the server and not us.
func TestServerIsInterrupted(t *testing.T) {
	server := Start(t, WithoutControllers())
	if err := server.process.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, server.URL, server.Dir)
}

// awaitEnd fails if soon the server is still there, or its folder.
func awaitEnd(t *testing.T, address, dir string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.Stat(dir)
		listening := listens(t, address)
		if os.IsNotExist(err) && !listening {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 seconds the server listens: %t; of its folder remains: %v", listening, err)
		}
	}
}

func listens(t *testing.T, address string) bool {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := net.Dial("tcp", u.Host)
	if err != nil {
		return false
	}
	connection.Close()
	return true
}

// TestStartFails shows what a test is told when the server does not come up.
func TestStartFails(t *testing.T) {
	_, err := New(Flags("--no-such-flag"))
	if err == nil {
		t.Fatal("the server runs")
	}
	for _, part := range []string{"starting the API server: it ended", "unknown flag: --no-such-flag"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q:\n%v", part, err)
		}
	}
}
