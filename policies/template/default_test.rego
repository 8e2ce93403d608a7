package cuegate.template_test

import data.cuegate.template
import data.cuegate.testing

test_default_is_a_setting if {
	template.chosen == "default" with input as testing.facts
	template.chosen == "default-mesh" with input as testing.facts with data.settings.template as "default-mesh"
}

test_unknown_default_is_refused if {
	testing.ids(template.deny) == {"template-unknown"} with input as testing.facts with data.settings.template as "nope"
}
