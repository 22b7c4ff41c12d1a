package mappings

import _ "embed"

// ECS maps records to the Elastic Common Schema, YAML.
//
//go:embed ecs.yaml
var ECS []byte
