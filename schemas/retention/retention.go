// Package retention holds the retention presets.
package retention

import _ "embed"

// Presets is presets.yaml.
//
//go:embed presets.yaml
var Presets []byte
