// Package prices holds the default price file of language models.
package prices

import _ "embed"

// Default is default.yaml, which is used where no other price file is configured.
//
//go:embed default.yaml
var Default []byte
