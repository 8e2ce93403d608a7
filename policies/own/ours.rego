# METADATA
# title: Ownership by class
# description: |
#   An object is ours by its ingress class, and then only where the watch lists
#   let it. The annotation kubernetes.io/ingress.class has precedence over
#   spec.ingressClassName, as the Kubernetes API says:
#
#     annotation  names one of settings.classes, in any case      ours
#                 names a known IngressClass of our controller    ours
#     field       names a known IngressClass of our controller    ours
#                 names no known one, but one of settings.classes ours
#     neither     one default IngressClass, of our controller     ours
#     else                                                        not ours
package cuegate.own

# METADATA
# title: Ours
# description: |
#   Whether a class, in the form of #ClassFacts, is ours: the class of the
#   object itself or of an Ingress that claims the same host.
# scope: document
ours(class) if {
	class.known
	class.controller == data.settings.controller
}

ours(class) if {
	annotation := lower(class.annotation)
	some name in data.settings.classes
	lower(name) == annotation
}

ours(class) if {
	class.known == false
	not class.annotation
	class.name in data.settings.classes
}

ours(class) if {
	not class.annotation
	not class.name
	count(input.defaultClasses) == 1
	input.defaultClasses[0].controller == data.settings.controller
}

# METADATA
# title: The object is ours
# scope: document
mine if ours(input.class)

classless if {
	input.class
	not input.class.annotation
	not input.class.name
}

# Where the class that counts is written.
class_field := "metadata.annotations[kubernetes.io/ingress.class]" if input.class.annotation

else := "spec.ingressClassName"

class_name := input.class.annotation

class_name := input.class.name if not input.class.annotation

# The edit that makes any object ours.
# What edit makes the object ours: the annotation must go where it stands against the
# field.
class_fix := "To have Cuegate serve it, remove the annotation kubernetes.io/ingress.class, which has precedence over spec.ingressClassName." if {
	input.class.annotation
	input.class.name
} else := sprintf("To have Cuegate serve it, set spec.ingressClassName to an IngressClass of controller %q%s.", [
	data.settings.controller,
	concat("", [sprintf(", such as %q", [name]) |
		some i, name in data.settings.classes
		i == 0
		name != object.get(input.class, "name", "")
	]),
])

# METADATA
# title: Served claim
# description: |
#   The claim is of an Ingress that is ours and watched, whatever else may be wrong
#   with it.
# scope: document
served(claim) if {
	ours(claim.class)
	namespace_watched(claim.namespace)
	namespace_labels_watched(claim.namespaceLabels)
	labels_watched(claim.labels)
}
