package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"

	"github.com/cuegate/cuegate/adapters/tyk"
)

// adminSecretVariable is where the admin secret is read from when no file is named.
const adminSecretVariable = "CUEGATE_ADMIN_SECRET"

// bootstrapping are the flags of bootstrap.
type bootstrapping struct {
	dashboard, adminSecretFile, secretFile, caFile string
	insecure                                       bool
	timeout                                        time.Duration

	organisation, email string
	rotateKey           bool
	showSecrets         bool

	out, kubeconfig             string
	secretNamespace, secretName string
}

// keeper keeps what a bootstrap knows.
type keeper interface {
	// load gives the zero state where there is nothing yet.
	load(context.Context) (tyk.BootstrapState, error)
	save(context.Context, tyk.BootstrapState) error
	// place names it in a sentence: "the Secret cuegate/dashboard". use says how a
	// controller gets the key from there, and look how a person sees the secrets.
	place() string
	use() string
	look() string
}

func newBootstrap() *cobra.Command {
	var b bootstrapping
	cmd := &cobra.Command{
		Use:   "bootstrap --dashboard URL",
		Short: "Make organisation, user and access key in a Tyk Dashboard, and keep them in a Secret",
		Long: `Bootstrap brings a Tyk Dashboard to where Cuegate can push to it: it makes an
organisation, an admin user with a password, and keeps these and the user's access key in
a Secret of the cluster, or with --out in a file. What is there already is taken as it is:
the organisation by its name or id, and a user by the access key in --secret-file.

Everything is kept before the next step is done. Run the same command again after a
failure, and it goes on; run it again after a success, and it looks whether the key is
good. A key that was renewed in the Dashboard is taken over.

Secrets are shown once, when they are new. The Dashboard's admin secret (admin_secret of
tyk_analytics.conf, or TYK_DB_ADMINSECRET) comes from the environment variable
` + adminSecretVariable + `, or from --admin-secret-file.`,
		Example: `  cuegate bootstrap --dashboard http://dashboard.tyk:3000
  cuegate bootstrap --dashboard http://localhost:3000 --out dashboard.env
  cuegate bootstrap --dashboard http://dashboard.tyk:3000 --organisation Acme --secret-file key
  cuegate bootstrap --dashboard http://dashboard.tyk:3000 --rotate-key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.check(); err != nil {
				return err
			}
			k, err := b.keeper()
			if err != nil {
				return err
			}
			return b.run(cmd.Context(), k, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	s := cmd.Flags()
	s.StringVar(&b.dashboard, "dashboard", "", "URL of the Tyk Dashboard")
	s.StringVar(&b.adminSecretFile, "admin-secret-file", "", "file with the Dashboard's admin secret; without it the environment variable "+adminSecretVariable+" counts")
	s.StringVar(&b.secretFile, "secret-file", "", "file with the access key of an admin user who is there already: no user is made then")
	s.StringVar(&b.organisation, "organisation", "", "name of the organisation, or id of one that is there (default what is kept, or Cuegate)")
	s.StringVar(&b.email, "email", "", "email address of the user, who logs in with it (default what is kept, or admin@cuegate.local)")
	s.BoolVar(&b.rotateKey, "rotate-key", false, "ask the Dashboard for a new access key, once there is one")
	s.BoolVar(&b.showSecrets, "show-secrets", true, "print new secrets once; false where the output goes to a log, as in a Job")
	s.StringVar(&b.out, "out", "", "file to keep all in, readable by its owner only, instead of a Secret")
	s.StringVar(&b.secretName, "secret-name", "cuegate-dashboard", "name of the Secret to keep all in")
	s.StringVar(&b.secretNamespace, "secret-namespace", "", "namespace of the Secret (default the controller's own)")
	s.StringVar(&b.kubeconfig, "kubeconfig", "", "kubeconfig file; without it KUBECONFIG counts, or the service account of the pod")
	s.StringVar(&b.caFile, "ca-file", "", "PEM of the certificates to trust")
	s.BoolVar(&b.insecure, "insecure-skip-verify", false, "trust any certificate of the Dashboard")
	s.DurationVar(&b.timeout, "timeout", 10*time.Second, "of one call to the Dashboard")
	for _, name := range []string{"admin-secret-file", "secret-file", "out", "kubeconfig"} {
		_ = cmd.MarkFlagFilename(name)
	}
	_ = cmd.MarkFlagFilename("ca-file", "pem", "crt")
	for _, name := range []string{"secret-name", "secret-namespace", "kubeconfig"} {
		cmd.MarkFlagsMutuallyExclusive("out", name)
	}
	cmd.MarkFlagsMutuallyExclusive("rotate-key", "secret-file")
	return cmd
}

func (b *bootstrapping) check() error {
	if b.dashboard == "" {
		return errors.New("name the Dashboard with --dashboard URL")
	}
	_, err := b.adminSecret()
	return err
}

func (b *bootstrapping) adminSecret() (tyk.Secret, error) {
	if b.adminSecretFile != "" {
		return readSecret(b.adminSecretFile)
	}
	if text := strings.TrimSpace(os.Getenv(adminSecretVariable)); text != "" {
		return tyk.NewSecret(text), nil
	}
	return tyk.Secret{}, errors.New("there is no admin secret: set " + adminSecretVariable + ", or name a file with --admin-secret-file")
}

func (b *bootstrapping) keeper() (keeper, error) {
	if b.out != "" {
		return &fileKeeper{name: b.out}, nil
	}
	where := cluster{kubeconfig: b.kubeconfig, qps: 50}
	config, own, err := where.connection()
	if err != nil {
		return nil, fmt.Errorf("%w; without a cluster, keep all in a file with --out FILE", err)
	}
	config.Timeout = b.timeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &secretKeeper{client: client, namespace: cmp.Or(b.secretNamespace, own), name: b.secretName}, nil
}

// run bootstraps, and tells what is to be kept.
func (b *bootstrapping) run(ctx context.Context, k keeper, stdout, stderr io.Writer) error {
	task, err := b.task(stderr)
	if err != nil {
		return err
	}
	known, err := k.load(ctx)
	if err != nil {
		return err
	}
	kept := known.Pending != ""
	task.Save = func(ctx context.Context, s tyk.BootstrapState) error {
		if err := k.save(ctx, s); err != nil {
			return err
		}
		kept = true
		return nil
	}
	done, err := task.Run(ctx, known)
	if errors.Is(err, tyk.ErrEmailTaken) {
		err = fmt.Errorf("%w; give the access key of that user in --secret-file, or another address with --email", err)
	}
	if err != nil {
		if kept {
			fmt.Fprintf(stderr, "cuegate: what was done so far is kept in %s; the same command goes on from there\n", k.place())
		}
		return err
	}
	return b.tell(stdout, done, k)
}

// task is the bootstrap as the flags say it.
func (b *bootstrapping) task(stderr io.Writer) (tyk.Bootstrap, error) {
	admin, err := b.adminSecret()
	if err != nil {
		return tyk.Bootstrap{}, err
	}
	task := tyk.Bootstrap{
		Dashboard:    tyk.Settings{URL: b.dashboard, Secret: admin, Mode: tyk.Dashboard, InsecureSkipVerify: b.insecure, Timeout: b.timeout},
		Organisation: b.organisation, Email: b.email, RotateKey: b.rotateKey,
		Progress: func(text string) { fmt.Fprintf(stderr, "cuegate: %s\n", text) },
	}
	if b.caFile != "" {
		if task.Dashboard.CA, err = os.ReadFile(b.caFile); err != nil {
			return task, err
		}
	}
	if b.secretFile != "" {
		if task.Key, err = readSecret(b.secretFile); err != nil {
			return task, err
		}
	}
	for _, f := range task.Dashboard.Warnings() {
		fmt.Fprintf(stderr, "cuegate: warning: %s (%s)\n", f.Msg, f.ID)
	}
	return task, nil
}

// tell says what there is, and shows what nobody was shown yet.
func (b *bootstrapping) tell(w io.Writer, done tyk.Bootstrapped, k keeper) error {
	data := done.State.Data()
	p := printer{w: w}
	shown := b.showSecrets && (done.NewKey || done.NewPassword)
	switch {
	case done.NewKey || done.NewPassword:
		p.printf("Cuegate can push to the Dashboard now.\n")
	default:
		p.printf("The Dashboard is as it should be, and takes the key.\n")
	}
	p.printf("  organisation  %s\n  orgID         %s\n  user          %s\n", data["organisation"], data["orgID"], data["email"])
	if b.showSecrets && done.NewPassword {
		p.printf("  password      %s\n", data["password"])
	}
	if b.showSecrets && done.NewKey {
		p.printf("  access key    %s\n", data["secret"])
	}
	p.printf("All of it is in %s.", k.place())
	if shown {
		p.printf(" Secrets are not shown again.\n")
	} else {
		p.printf(" Secrets are not shown; to see them:\n  %s\n", k.look())
	}
	p.printf("To use the key:\n  %s\nwith `orgID: %s` in the file of --config.\n", fmt.Sprintf(k.use(), b.dashboard), data["orgID"])
	return p.err
}
