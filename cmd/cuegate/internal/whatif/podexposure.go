package whatif

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The ids of the rules for workloads.
const (
	sidecarRemoved   = "sidecar-removed"
	securityWeakened = "security-weakened"
)

// podHit is what is found in the pods of a workload.
type podHit struct {
	rule, at, message string
	// below are the paths of fields that say so.
	below []string
}

// podExposure compares the pods that both sides give a workload.
func podExposure(old, new map[string]any) []podHit {
	if hasSidecar(old) && !hasSidecar(new) {
		return []podHit{{sidecarRemoved, "", "Its pods lose their sidecar: nothing stands between them and whoever calls them.", []string{"spec.template.metadata.labels." + strings.ReplaceAll(sidecarLabel, ".", `\.`)}}}
	}
	was, is := at(old, "spec", "template", "spec"), at(new, "spec", "template", "spec")
	all := nodeExposure(was, is)
	for _, list := range []string{"containers", "initContainers"} {
		before, after := containersOf(was, list), containersOf(is, list)
		for _, name := range keysOf(after) {
			field := fmt.Sprintf("spec.template.spec.%s[%s]", list, name)
			old, known := before[name]
			for _, w := range weakened(mergedContext(was, old), mergedContext(is, after[name]), known) {
				own := field + ".securityContext"
				all = append(all, podHit{securityWeakened, name, w.message, []string{own + "." + w.key, "spec.template.spec.securityContext." + w.key, own, field}})
			}
		}
	}
	return all
}

func containersOf(pod any, list string) map[string]any {
	elements, _ := at(pod, list).([]any)
	return byName(elements)
}

// nodeExposure is about the pod as a whole.
func nodeExposure(was, is any) []podHit {
	var all []podHit
	for _, f := range []struct{ field, message string }{
		{"hostNetwork", "The pod uses the network of its node."},
		{"hostPID", "The pod sees the processes of its node."},
		{"hostIPC", "The pod shares memory with its node."},
	} {
		if !flag(was, f.field) && flag(is, f.field) {
			all = append(all, podHit{securityWeakened, "", f.message, []string{"spec.template.spec." + f.field}})
		}
	}
	volumes, _ := at(is, "volumes").([]any)
	before, _ := at(was, "volumes").([]any)
	known := byName(before)
	for _, v := range volumes {
		name, _ := at(v, "name").(string)
		if dir := at(v, "hostPath"); dir != nil && !same(dir, at(known[name], "hostPath")) {
			all = append(all, podHit{securityWeakened, "", fmt.Sprintf("The volume %s is a folder of the node.", name), []string{fmt.Sprintf("spec.template.spec.volumes[%s]", name)}})
		}
	}
	return all
}

func flag(v any, keys ...string) bool { b, _ := at(v, keys...).(bool); return b }

// mergedContext is the security context of a container over that of its pod.
func mergedContext(pod, container any) map[string]any {
	merged := map[string]any{}
	for _, v := range []any{at(pod, "securityContext"), at(container, "securityContext")} {
		m, _ := v.(map[string]any)
		for k, x := range m {
			merged[k] = x
		}
	}
	return merged
}

// weakening is one thing that a container may do that it might not.
type weakening struct {
	message string
	key     string // of the security context
}

// weakened compares two security contexts. A container that was not known is held to what
// no sidecar needs.
func weakened(old, new map[string]any, known bool) []weakening {
	var all []weakening
	found := func(key, message string) { all = append(all, weakening{message, key}) }
	if !flag(old, "privileged") && flag(new, "privileged") {
		found("privileged", "The container is privileged: it may do anything on its node.")
	}
	if more := added(textsOf(at(old, "capabilities", "add")), textsOf(at(new, "capabilities", "add"))); len(more) > 0 {
		found("capabilities", fmt.Sprintf("The container has more capabilities: %s.", listed(more)))
	}
	if at(new, "seccompProfile", "type") == "Unconfined" && at(old, "seccompProfile", "type") != "Unconfined" {
		found("seccompProfile", "The container may make any call to the kernel.")
	}
	if isRoot(new) && !(known && isRoot(old)) {
		found("runAsUser", "The container runs as root.")
	}
	if !known {
		return all
	}
	if gone := added(textsOf(at(new, "capabilities", "drop")), textsOf(at(old, "capabilities", "drop"))); len(gone) > 0 {
		found("capabilities", fmt.Sprintf("The container keeps capabilities that it gave up: %s.", listed(gone)))
	}
	if may, said := at(old, "allowPrivilegeEscalation").(bool); said && !may && at(new, "allowPrivilegeEscalation") != any(false) {
		found("allowPrivilegeEscalation", "Processes of the container may gain privileges.")
	}
	for _, f := range []struct{ key, message string }{
		{"runAsNonRoot", "The container may run as root."},
		{"readOnlyRootFilesystem", "The container may write to its own files."},
	} {
		if flag(old, f.key) && !flag(new, f.key) {
			found(f.key, f.message)
		}
	}
	if at(old, "seccompProfile", "type") != nil && at(new, "seccompProfile") == nil {
		found("seccompProfile", "The container has no seccomp profile any more.")
	}
	return all
}

func isRoot(context map[string]any) bool {
	n, is := at(context, "runAsUser").(json.Number)
	return is && n == "0"
}

// fieldsBelow gives the fields at or below any of the paths, those of the first path that
// has any.
func fieldsBelow(fields []Field, paths []string) []Field {
	for _, p := range paths {
		var found []Field
		for _, f := range fields {
			if f.Path == p || strings.HasPrefix(f.Path, p+".") || strings.HasPrefix(f.Path, p+"[") {
				found = append(found, f)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}
