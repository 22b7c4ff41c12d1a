// Package mappings holds how names of other formats become ours, as data.
package mappings

import _ "embed"

// Sigma is the mapping of Sigma's names, YAML.
//
//go:embed sigma.yaml
var Sigma []byte
