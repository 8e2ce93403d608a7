package box

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
)

// runGo runs the go command in the folder, "" for the working directory, and gives
// what it wrote to standard output. Of what the caller's environment says, that is
// left out which would change the build: a module that is nested has only its own
// go.mod. The error of a command that fails ends with what it wrote.
func runGo(dir string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s%s", args[0], err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String(), nil
}
