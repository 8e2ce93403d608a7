package chart

import (
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// All pods are let into a namespace that enforces the standard "restricted".
func TestPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	forEditions(t, func(t *testing.T, given string) {
		deployments := of[*appsv1.Deployment](objects(t, given))
		if len(deployments) == 0 {
			t.Error("there are no pods")
		}
		for _, d := range deployments {
			p := d.Spec.Template
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &p.ObjectMeta, &p.Spec))
			if !result.Allowed {
				t.Errorf("%s: %s: %s", d.Name, result.ForbiddenReason(), result.ForbiddenDetail())
			}
			for _, c := range p.Spec.Containers {
				if c.Name != "gateway" && (c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem) {
					t.Errorf("%s: %s may write to its image", d.Name, c.Name)
				}
			}
		}
	})
}

// The program knows every flag that it is given, and takes them together.
func TestFlags(t *testing.T) {
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, +)?--([a-z-]+)`).FindAllStringSubmatch(cuegate(t, "run", "--help"), -1) {
		known[m[1]] = true
	}
	if len(known) < 30 {
		t.Fatalf("only the flags %v were found", known)
	}
	forEditions(t, func(t *testing.T, given string) {
		args := controller(t, objects(t, given)).Args
		if len(args) < 5 || args[0] != "run" {
			t.Fatalf("the arguments are %q", args)
		}
		for _, arg := range args[1:] {
			name, ok := strings.CutPrefix(arg, "--")
			name, _, _ = strings.Cut(name, "=")
			if !ok || !known[name] {
				t.Errorf("the program does not know %s", arg)
			}
		}
		// Flags are looked at before anything is reached: only this file is not there.
		args = append(slices.Clone(args), "--config=/nowhere/cuegate.yaml")
		output, err := exec.Command(program(t), args...).CombinedOutput()
		if err == nil || !strings.Contains(string(output), "/nowhere/cuegate.yaml") {
			t.Errorf("cuegate %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	})
}

// What pods, containers, Services, budgets and network policies name is there.
func TestReferences(t *testing.T) {
	forEditions(t, func(t *testing.T, given string) {
		all := objects(t, given)
		var pods []appsv1.Deployment
		for _, d := range of[*appsv1.Deployment](all) {
			pods = append(pods, *d)
			spec := d.Spec.Template.Spec
			var volumes []string
			for _, v := range spec.Volumes {
				volumes = append(volumes, v.Name)
			}
			used := map[string]bool{}
			for _, c := range spec.Containers {
				for _, m := range c.VolumeMounts {
					used[m.Name] = true
				}
			}
			slices.Sort(volumes)
			if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, volumes) {
				t.Errorf("%s has the volumes %v, and mounts %v", d.Name, volumes, got)
			}
			if !selects(t, d.Spec.Selector, d.Spec.Template.Labels) {
				t.Errorf("%s does not choose its own pods", d.Name)
			}
		}
		chosen := func(what string, selector *metav1.LabelSelector, ports ...string) {
			t.Helper()
			found := 0
			for _, d := range pods {
				if !selects(t, selector, d.Spec.Template.Labels) {
					continue
				}
				found++
				for _, port := range ports {
					if !slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
						return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port })
					}) {
						t.Errorf("%s: %s has no port %s", what, d.Name, port)
					}
				}
			}
			if found != 1 {
				t.Errorf("%s chooses the pods of %d Deployments", what, found)
			}
		}
		for _, s := range of[*corev1.Service](all) {
			chosen("Service "+s.Name, &metav1.LabelSelector{MatchLabels: s.Spec.Selector}, s.Spec.Ports[0].TargetPort.StrVal)
		}
		for _, b := range of[*policyv1.PodDisruptionBudget](all) {
			chosen("PodDisruptionBudget "+b.Name, b.Spec.Selector)
		}
		for _, p := range of[*networkingv1.NetworkPolicy](all) {
			var ports []string
			for _, rule := range p.Spec.Ingress {
				ports = append(ports, rule.Ports[0].Port.StrVal)
			}
			chosen("NetworkPolicy "+p.Name, &p.Spec.PodSelector, ports...)
		}
	})
}

// The token of the controller is no business of the gateway beside it.
func TestSidecarToken(t *testing.T) {
	all := of[*appsv1.Deployment](objects(t, editions["ce sidecar"]))
	if len(all) != 1 || len(all[0].Spec.Template.Spec.Containers) != 2 {
		t.Fatalf("there are %d Deployments", len(all))
	}
	spec := all[0].Spec.Template.Spec
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Error("the token is mounted into every container")
	}
	for _, c := range spec.Containers {
		has := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return strings.Contains(m.MountPath, "serviceaccount") })
		if has != (c.Name == "cuegate") {
			t.Errorf("%s: the token is mounted: %t", c.Name, has)
		}
	}
}

func selects(t *testing.T, selector *metav1.LabelSelector, set map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !s.Empty() && s.Matches(labels.Set(set))
}

// controller gives the container of the controller.
func controller(t *testing.T, all []runtime.Object) corev1.Container {
	t.Helper()
	var found []corev1.Container
	for _, d := range of[*appsv1.Deployment](all) {
		for _, c := range d.Spec.Template.Spec.Containers {
			if c.Name == "cuegate" {
				found = append(found, c)
			}
		}
	}
	if len(found) != 1 {
		t.Fatalf("there are %d controllers", len(found))
	}
	return found[0]
}

// build makes the program in the folder once.
var build = sync.OnceValue(func() error {
	output, err := exec.Command("go", "-C", root, "build", "-o", binary, "./cmd/cuegate").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building cuegate: %w\n%s", err, output)
	}
	return nil
})

func program(t *testing.T) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return binary
}

func cuegate(t *testing.T, args ...string) string {
	t.Helper()
	output, err := exec.Command(program(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("cuegate %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}
