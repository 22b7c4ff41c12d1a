package mappings

import _ "embed"

// OCSF is the mapping of our records to the Open Cybersecurity Schema Framework, YAML.
//
//go:embed ocsf.yaml
var OCSF []byte
