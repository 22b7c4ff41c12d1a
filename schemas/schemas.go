// Package schemas holds the schemas of events and findings and the ClickHouse migrations, embedded for the tools that check
// and apply them.
package schemas

import "embed"

//go:generate go run ./gen

// Migrations holds migrations/NNNN_name.sql, applied in order by internal/store, and migrations/grants.sql for servers of one's own.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Capabilities is the built-in catalogue of what tools can do, capabilities.yaml.
//
//go:embed capabilities.yaml
var Capabilities []byte

// CIM maps events, findings and audit records to Splunk's Common Information Model, mappings/cim.yaml.
//
//go:embed mappings/cim.yaml
var CIM []byte

// KnownServers is the built-in list of names that look-alikes imitate, known_servers.yaml.
//
//go:embed known_servers.yaml
var KnownServers []byte
