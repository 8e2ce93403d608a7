package pods

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
)

const (
	sidecarLabel = "cuegate.dev/sidecar"
	// controlPortName is how the port of the control API is called.
	controlPortName = "tyk-control"
)

// sidecarOf is the container of the pod's sidecar, nil where it has none.
func sidecarOf(pod *corev1.Pod) *corev1.Container {
	if pod.Labels[sidecarLabel] != "true" {
		return nil
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if slices.ContainsFunc(list[i].Ports, func(p corev1.ContainerPort) bool { return p.Name == controlPortName }) {
				return &list[i]
			}
		}
	}
	return nil
}

// lookAgain is how often is looked whether what a container needs is there. A kubelet
// takes longer.
const lookAgain = 100 * time.Millisecond

// runSidecar lets the container run, as soon as what it needs is there.
func (x *pod) runSidecar(ctx context.Context, c *corev1.Container) {
	env, err := x.environment(ctx, c)
	for logged := ""; err != nil; env, err = x.environment(ctx, c) {
		if ctx.Err() != nil {
			return
		}
		if logged != err.Error() {
			logged = err.Error()
			x.log.Info("the sidecar waits", "for", logged)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookAgain):
		}
	}
	if err := x.runGateway(ctx, c, env); err != nil {
		x.log.Error("the sidecar does not start", "error", err)
	}
}

// runGateway lets the gateway run until ctx ends.
func (x *pod) runGateway(ctx context.Context, c *corev1.Container, env map[string]string) error {
	if on(env, "TYK_GW_USEDBAPPCONFIGS") {
		return errors.New("it wants its definitions from a Dashboard")
	}
	var problems error
	port := func(name string) int {
		n, err := strconv.ParseUint(env[name], 10, 16)
		if err != nil {
			problems = errors.Join(problems, fmt.Errorf("%s: %w", name, err))
		}
		return int(n)
	}
	own, control := port("TYK_GW_LISTENPORT"), port("TYK_GW_CONTROLAPIPORT")
	if problems != nil {
		return problems
	}
	config := embedded.Config{
		Secret:        env["TYK_GW_SECRET"],
		CustomDomains: on(env, "TYK_GW_ENABLECUSTOMDOMAINS"),
		StrictRoutes:  on(env, "TYK_GW_HTTPSERVEROPTIONS_ENABLESTRICTROUTES"),
		ReloadTick:    x.pods.options.ReloadTick,
		Port:          own,
		Transport:     x.transport(ctx, c, env),
		Dial:          x.dialSidecar,
		Keys:          x.pods.options.Keys,
		Store:         embedded.NewStore(),
		Log:           x.log,
	}
	if on(env, "TYK_GW_DISABLEPORTWHITELIST") {
		config.Listen = func(port int) (net.Listener, error) { return x.pods.network.listen(x.at(uint16(port))) }
	}
	defer x.hangUp()
	g := embedded.New(config)
	defer g.Close()
	var running sync.WaitGroup
	defer running.Wait()
	x.serve(ctx, &running, uint16(own), only(g, func(path string) bool { return !strings.HasPrefix(path, "/tyk/") }))
	x.serve(ctx, &running, uint16(control), only(g, func(path string) bool {
		return strings.HasPrefix(path, "/tyk/") || path == "/hello" || path == "/ready"
	}))
	x.sidecar.Store(&Sidecar{
		Pod: x.name(), IP: x.ip.String(), AppSide: x.pods.network.loopback(x.at(uint16(own))),
		Secret: config.Secret, Gateway: g, Files: config.Store,
	})
	defer x.sidecar.Store(nil)
	<-ctx.Done()
	return nil
}

func on(env map[string]string, name string) bool { return env[name] == "true" }

// only serves those paths that a port is for: a gateway whose control API has a port of
// its own serves it there alone, and nothing else there.
func only(g *embedded.Gateway, serves func(path string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !serves(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		g.ServeHTTP(w, r)
	})
}

// environment of a container. An error says what is not there yet.
func (x *pod) environment(ctx context.Context, c *corev1.Container) (map[string]string, error) {
	env := map[string]string{}
	for _, e := range c.Env {
		switch from := e.ValueFrom; {
		case from == nil:
			env[e.Name] = e.Value
		case from.SecretKeyRef != nil:
			ref := from.SecretKeyRef
			secret, err := x.pods.client.CoreV1().Secrets(x.object.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
			optional := ref.Optional != nil && *ref.Optional
			if err != nil && !(optional && apierrors.IsNotFound(err)) {
				return nil, fmt.Errorf("the Secret %s: %w", ref.Name, err)
			}
			value, found := secret.Data[ref.Key]
			if !found && !optional {
				return nil, fmt.Errorf("the Secret %s has no %s", ref.Name, ref.Key)
			}
			env[e.Name] = string(value)
		default:
			return nil, fmt.Errorf("%s comes from where nothing is known of here", e.Name)
		}
	}
	for _, name := range x.mounted(c, nil) {
		if _, err := x.configMap(ctx, name); err != nil {
			return nil, err
		}
	}
	return env, nil
}

// mounted are the names of the ConfigMaps that are mounted in these folders; nil means
// those that have to be there before the container starts, wherever they are mounted.
func (x *pod) mounted(c *corev1.Container, folders []string) []string {
	var names []string
	for _, mount := range c.VolumeMounts {
		for _, v := range x.object.Spec.Volumes {
			if v.Name != mount.Name || v.ConfigMap == nil {
				continue
			}
			needed := v.ConfigMap.Optional == nil || !*v.ConfigMap.Optional
			if folders == nil && needed || slices.Contains(folders, mount.MountPath) {
				names = append(names, v.ConfigMap.Name)
			}
		}
	}
	return names
}

func (x *pod) configMap(ctx context.Context, name string) (map[string]string, error) {
	m, err := x.pods.client.CoreV1().ConfigMaps(x.object.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("the ConfigMap %s: %w", name, err)
	}
	return m.Data, nil
}

// transport reaches upstreams, and trusts what the folders of SSL_CERT_DIR have when it
// first shakes hands. A folder that is empty then stays so for it.
func (x *pod) transport(ctx context.Context, c *corev1.Container, env map[string]string) *http.Transport {
	roots := sync.OnceValue(func() *x509.CertPool {
		pool := x509.NewCertPool()
		for _, name := range x.mounted(c, strings.Split(env["SSL_CERT_DIR"], ":")) {
			files, err := x.configMap(ctx, name)
			if err != nil {
				x.log.Error("the sidecar trusts nobody, and will not", "error", err)
			}
			for _, text := range files {
				pool.AppendCertsFromPEM([]byte(text))
			}
		}
		return pool
	})
	return &http.Transport{
		MaxIdleConnsPerHost: 100, // as the embedded gateway has it
		ForceAttemptHTTP2:   true,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// The roots are not known yet: VerifyConnection is what verifies.
			InsecureSkipVerify: true,
			VerifyConnection: func(s tls.ConnectionState) error {
				o := x509.VerifyOptions{Roots: roots(), DNSName: s.ServerName, Intermediates: x509.NewCertPool()}
				for _, c := range s.PeerCertificates[1:] {
					o.Intermediates.AddCert(c)
				}
				_, err := s.PeerCertificates[0].Verify(o)
				return err
			},
		},
	}
}
