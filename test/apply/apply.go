// Package apply writes manifests to an API server, for tests and the demo: where there
// is no kubectl.
package apply

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"

	"github.com/cuegate/cuegate/engine"
)

// kinds holds the names of the kinds in the API, and which have a namespace.
var kinds = map[string]struct {
	resource   string
	namespaced bool
}{
	"Namespace": {"namespaces", false}, "IngressClass": {"ingressclasses", false},
	"ClusterRole": {"clusterroles", false}, "ClusterRoleBinding": {"clusterrolebindings", false},
	"Role": {"roles", true}, "RoleBinding": {"rolebindings", true}, "ServiceAccount": {"serviceaccounts", true},
	"Ingress": {"ingresses", true}, "Service": {"services", true}, "Secret": {"secrets", true}, "ConfigMap": {"configmaps", true},
	"EndpointSlice": {"endpointslices", true},
	"Deployment":    {"deployments", true}, "StatefulSet": {"statefulsets", true}, "DaemonSet": {"daemonsets", true},
	"MutatingWebhookConfiguration": {"mutatingwebhookconfigurations", false},
	"ValidatingAdmissionPolicy":    {"validatingadmissionpolicies", false}, "ValidatingAdmissionPolicyBinding": {"validatingadmissionpolicybindings", false},
}

// Files reads the manifests of a file, or of a folder without those below.
func Files(path string) ([]engine.Object, error) {
	files := []string{path}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.IsDir() {
		if files, err = fs.Glob(os.DirFS(path), "*.yaml"); err != nil {
			return nil, err
		}
		for i := range files {
			files[i] = filepath.Join(path, files[i])
		}
	}
	var all []engine.Object
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		objects, err := Parse(f, string(data))
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

// Parse reads manifests; one that is broken is an error.
func Parse(name, text string) ([]engine.Object, error) {
	all, rejected := engine.ParseManifests(name, []byte(text))
	if len(rejected) > 0 {
		return nil, fmt.Errorf("%s: %s", rejected[0].Source, rejected[0].Reason.Msg)
	}
	return all, nil
}

// All creates objects, or replaces those that are there. Namespaces that are missing
// are made.
func All(ctx context.Context, client dynamic.Interface, objects []engine.Object) error {
	for _, o := range objects {
		if err := one(ctx, client, o); err != nil {
			return fmt.Errorf("%s: %w", o.Ref, err)
		}
	}
	return nil
}

func one(ctx context.Context, client dynamic.Interface, o engine.Object) error {
	kind, known := kinds[o.Kind]
	if !known {
		return fmt.Errorf("the kind is not one of those known here")
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(o.JSON); err != nil {
		return err
	}
	group, version, ok := strings.Cut(o.APIVersion, "/")
	if !ok {
		group, version = "", group
	}
	resource := client.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: kind.resource})
	var in dynamic.ResourceInterface = resource
	if kind.namespaced {
		if err := namespace(ctx, client, o.Namespace); err != nil {
			return err
		}
		u.SetNamespace(o.Namespace)
		in = resource.Namespace(o.Namespace)
	}
	_, err := in.Create(ctx, &u, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		old, err := in.Get(ctx, o.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		u.SetResourceVersion(old.GetResourceVersion())
		u.SetUID(old.GetUID())
		_, err = in.Update(ctx, &u, metav1.UpdateOptions{})
		return err
	})
}

// namespace makes one that is missing.
func namespace(ctx context.Context, client dynamic.Interface, name string) error {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	_, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Create(ctx, u, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
