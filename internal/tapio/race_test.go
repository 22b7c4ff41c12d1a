//go:build race

package tapio

const raceEnabled = true
