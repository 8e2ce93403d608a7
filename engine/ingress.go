package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"
	networkingv1 "k8s.io/api/networking/v1"
	networkingv1beta1 "k8s.io/api/networking/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	kubejson "sigs.k8s.io/json"

	"github.com/cuegate/cuegate/engine/internal/schema"
)

// decodeIngress reads an Ingress of any version that ever was and gives it as
// networking.k8s.io/v1. Unknown and doubled fields come as reasons; a server
// would refuse them, or drop them silently.
func decodeIngress(o Object) (*networkingv1.Ingress, []Reason, error) {
	var ing networkingv1.Ingress
	var strict []error
	var err error
	switch o.APIVersion {
	case "networking.k8s.io/v1":
		strict, err = kubejson.UnmarshalStrict(o.JSON, &ing)
	case "networking.k8s.io/v1beta1":
		var old networkingv1beta1.Ingress
		if strict, err = kubejson.UnmarshalStrict(o.JSON, &old); err == nil {
			ing = convertBeta(old)
		}
	case "extensions/v1beta1":
		var old extensionsv1beta1.Ingress
		if strict, err = kubejson.UnmarshalStrict(o.JSON, &old); err == nil {
			// The two differ in name only.
			var same networkingv1beta1.Ingress
			if err = recode(old, &same); err == nil {
				ing = convertBeta(same)
			}
		}
	default:
		return nil, nil, fmt.Errorf("apiVersion %s has no Ingress", o.APIVersion)
	}
	if err != nil {
		return nil, nil, err
	}
	ing.Namespace, ing.Name = o.Namespace, o.Name
	return &ing, strictReasons(strict), nil
}

func recode(from, to any) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}

var strictText = regexp.MustCompile(`^(unknown|duplicate) field "(.*)"$`)

func strictReasons(errs []error) []Reason {
	var reasons []Reason
	for _, err := range errs {
		r := Reason{ID: "field-unknown", Msg: "The object is not of the form of an Ingress: " + err.Error() + "."}
		if m := strictText.FindStringSubmatch(err.Error()); m != nil {
			r.Field = m[2]
			r.Msg = fmt.Sprintf("An Ingress has no field %s; names are case-sensitive.", m[2])
			if m[1] == "duplicate" {
				r.ID, r.Msg = "field-doubled", fmt.Sprintf("The field %s is written twice.", m[2])
			}
		}
		reasons = append(reasons, r)
	}
	return reasons
}

// convertBeta converts as the API server did when it dropped the old versions:
// serviceName and servicePort become a backend, and a path without a type is
// ImplementationSpecific.
func convertBeta(old networkingv1beta1.Ingress) networkingv1.Ingress {
	ing := networkingv1.Ingress{ObjectMeta: old.ObjectMeta}
	ing.Spec.IngressClassName = old.Spec.IngressClassName
	if old.Spec.Backend != nil {
		b := convertBackend(*old.Spec.Backend)
		ing.Spec.DefaultBackend = &b
	}
	for _, t := range old.Spec.TLS {
		ing.Spec.TLS = append(ing.Spec.TLS, networkingv1.IngressTLS{Hosts: t.Hosts, SecretName: t.SecretName})
	}
	for _, r := range old.Spec.Rules {
		rule := networkingv1.IngressRule{Host: r.Host}
		if r.HTTP != nil {
			rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
			for _, p := range r.HTTP.Paths {
				t := networkingv1.PathTypeImplementationSpecific
				if p.PathType != nil {
					t = networkingv1.PathType(*p.PathType)
				}
				rule.HTTP.Paths = append(rule.HTTP.Paths, networkingv1.HTTPIngressPath{
					Path: p.Path, PathType: &t, Backend: convertBackend(p.Backend),
				})
			}
		}
		ing.Spec.Rules = append(ing.Spec.Rules, rule)
	}
	return ing
}

func convertBackend(old networkingv1beta1.IngressBackend) networkingv1.IngressBackend {
	b := networkingv1.IngressBackend{Resource: old.Resource}
	if old.ServiceName == "" && old.ServicePort == (intstr.IntOrString{}) {
		return b
	}
	b.Service = &networkingv1.IngressServiceBackend{Name: old.ServiceName}
	if old.ServicePort.Type == intstr.String {
		b.Service.Port.Name = old.ServicePort.StrVal
	} else {
		b.Service.Port.Number = old.ServicePort.IntVal
	}
	return b
}

// lowerHost gives a host the form in which hosts are compared.
func lowerHost(h string) string { return strings.ToLower(h) }

// decodeHead reads of an Ingress that is wrong somewhere what says whose it is, how
// old, and which hosts it names: what is served for it keeps its rights. Labels and
// annotations that are no strings, the commonest of slips, come as reasons.
func decodeHead(o Object) (*networkingv1.Ingress, []Reason) {
	ing := &networkingv1.Ingress{}
	ing.Namespace, ing.Name = o.Namespace, o.Name
	var doc map[string]any
	// What does not fit is left out: this object is refused, or another's.
	_ = json.Unmarshal(o.JSON, &doc)
	var reasons []Reason
	ing.Annotations, reasons = onlyStrings("metadata.annotations", at(doc, "metadata", "annotations"), reasons)
	ing.Labels, reasons = onlyStrings("metadata.labels", at(doc, "metadata", "labels"), reasons)
	if t, err := time.Parse(time.RFC3339, textAt(doc, "metadata", "creationTimestamp")); err == nil {
		ing.CreationTimestamp = metav1.NewTime(t)
	}
	if name, ok := at(doc, "spec", "ingressClassName").(string); ok {
		ing.Spec.IngressClassName = &name
	}
	rules, _ := at(doc, "spec", "rules").([]any)
	for _, r := range rules {
		if host, ok := at(r, "host").(string); ok {
			ing.Spec.Rules = append(ing.Spec.Rules, networkingv1.IngressRule{Host: host})
		}
	}
	return ing, reasons
}

func onlyStrings(field string, v any, reasons []Reason) (map[string]string, []Reason) {
	kept := map[string]string{}
	m, _ := v.(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if s, ok := m[k].(string); ok {
			kept[k] = s
			continue
		}
		reasons = append(reasons, Reason{ID: "object-invalid", Field: field + "[" + clip(k) + "]",
			Msg: fmt.Sprintf("The value is %s, and must be a string.", schema.KindOf(m[k])), Fix: "Put it in quotes."})
	}
	return kept, reasons
}
