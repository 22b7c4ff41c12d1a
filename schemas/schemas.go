// Package schemas holds the schemas of events and findings and the ClickHouse migrations, embedded for the tools that check
// and apply them.
package schemas

//go:generate go run ./gen
