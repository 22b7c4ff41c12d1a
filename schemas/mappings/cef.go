package mappings

import _ "embed"

// CEF is the mapping of records to the Common Event Format, YAML.
//
//go:embed cef.yaml
var CEF []byte
