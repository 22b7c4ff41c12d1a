package engine

import "fmt"

// Share is one of Partitions parts of all keys. Engines with the shares of all partitions, each given every event, raise together what one
// engine without a share raises: which share a key is in depends on the rule and the key alone, and clocks, duplicates and what a detector
// knows of a tenant follow from all events in each of them.
type Share struct{ Partition, Partitions int }

// MaxPartitions bounds Share.Partitions.
const MaxPartitions = 256

func (s Share) check() error {
	if s.Partitions < 0 || s.Partitions > MaxPartitions || s.Partition < 0 || s.Partition > 0 && s.Partition >= s.Partitions {
		return fmt.Errorf("cannot start the engine: there is no partition %d of %d (at most %d, counted from 0)", s.Partition, s.Partitions, MaxPartitions)
	}
	return nil
}

// has reports whether the key of the rule is in the share. Of a rule without keys, all events of a tenant are one key: findings about the
// same thing are then raised once.
func (s Share) has(spec *Spec, tenant string, key []byte) bool {
	if s.Partitions <= 1 {
		return true
	}
	// FNV-1a: the same in every process.
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := range len(spec.ID) {
		h = (h ^ uint64(spec.ID[i])) * prime
	}
	h = (h ^ 0xff) * prime
	if spec.Key == KeyMessage {
		for i := range len(tenant) {
			h = (h ^ uint64(tenant[i])) * prime
		}
	} else {
		for _, c := range key {
			h = (h ^ uint64(c)) * prime
		}
	}
	h ^= h >> 32 // its low bits alone are weak
	return int(h%uint64(s.Partitions)) == s.Partition
}
