package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// serveAPI runs kube-apiserver on the listener until it fails. The server comes up
// the way its own command does it, except that the listener is open already: thus
// the port is known before anything else is done.
func serveAPI(ctx context.Context, listener net.Listener, s settings) error {
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	o := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range o.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	if err := flags.Parse(apiFlags(listener.Addr().(*net.TCPAddr).Port, s)); err != nil {
		return err
	}
	o.SecureServing.Listener = listener
	if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return err
	}
	if err := logsapi.ValidateAndApply(o.Logs, nil); err != nil {
		return err
	}
	completed, err := o.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) != 0 {
		return errors.Join(errs...)
	}
	if err := app.Run(ctx, completed); err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	return errors.New("kube-apiserver ended")
}

func apiFlags(port int, s settings) []string {
	flags := []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		// Given, or the server would look for a network that may not be there.
		"--advertise-address=127.0.0.1",
		"--external-hostname=127.0.0.1",
		// Endpoints must not be on loopback, and no other address is ours.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + serviceRange,
		"--tls-cert-file=" + servingFile,
		"--tls-private-key-file=" + servingFile,
		"--client-ca-file=" + caFile,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + tokenKeyFile,
		"--service-account-signing-key-file=" + tokenKeyFile,
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
	}
	if !s.controllers {
		// It would wait for accounts that nobody makes.
		flags = append(flags, "--disable-admission-plugins=ServiceAccount")
	}
	return append(flags, s.apiserver...)
}

// awaitServer returns when /readyz is ok. It does not give up: if the server cannot
// come up, serveAPI says so.
func awaitServer(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
	})
}
