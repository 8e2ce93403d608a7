// Command cuegate is the ingress and service-mesh controller for the Tyk API
// gateway, and the tool to try, check and explain its rules offline.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK      = 0
	exitRefused = 1 // something was refused, or a bundle has problems
	exitUsage   = 2 // wrong usage, unreadable input, or a broken bundle
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		// The first signal lets a batch come to its end; a second one does not.
		<-ctx.Done()
		stop()
	}()
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exitError carries an exit code; message may be empty when all was said.
type exitError struct {
	code    int
	message string
}

func (e *exitError) Error() string { return e.message }

// run is main without the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := newRoot()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitUsage
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	if err.Error() != "" {
		fmt.Fprintf(stderr, "cuegate: %s\n", err)
	}
	return code
}

func newRoot() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cuegate",
		Short: "Ingresses in, validated Tyk API definitions out, by rules in CUE and Rego",
		Long: `Cuegate turns Kubernetes Ingresses into API definitions for the Tyk gateway, and
gives workloads that ask for one a sidecar, through which they call each other.
CUE templates say what a definition looks like, Rego policies say whose an object
is, which template it gets and what its annotations may change. The commands here
run the same engine offline that the controller runs in the cluster.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	running := newRun()
	cmd.AddCommand(
		running,
		newApply(),
		newDiff(),
		newRoute(),
		newDoctor(),
		newBootstrap(),
		newRender(),
		newPlan(),
		newSnapshot(),
		newInject(),
		newMigrate(),
		newExplain(),
		newVet(),
		newTest(),
		newInit(),
		newSchema(),
		newConfig(),
		newVersion(),
	)
	configure(cmd, running.Flags())
	return cmd
}
