package cuegate.match_test

import data.cuegate.match

test_name if {
	match.name(["a", "b"], "b")
	match.name(["team-*"], "team-a")
	match.name(["*"], "any")
	not match.name(["team-*"], "xteam-a")
	not match.name([], "a")
	not match.name(["te?m"], "team")
}

test_host if {
	match.host(["a.example.com"], "a.example.com")
	match.host(["*.example.com"], "a.example.com")
	match.host(["*.example.com"], "*.example.com")
	match.host(["**.example.com"], "a.b.example.com")
	match.host(["*"], "a.b.example.com")
	match.host(["*"], "")
	not match.host(["*.example.com"], "a.b.example.com")
	not match.host(["*.example.com"], "example.com")
	not match.host(["a.example.com"], "")
}

test_labels if {
	match.labels({}, {"a": "1"})
	match.labels({"a": "1"}, {"a": "1", "b": "2"})
	not match.labels({"a": "1"}, {"a": "2"})
	not match.labels({"a": "1"}, {})
	not match.labels(null, {})
	not match.labels([], {})
}
