package cuegate.override

# METADATA
# title: Values that policy sets
# description: |
#   settings.set lists values {path, value, id, msg} that go into every
#   definition and win over annotations. Rules that give some objects such
#   values add to this set.
# custom:
#   id: set
# labels:
#   id: set
set contains entry if some entry in data.settings.set
