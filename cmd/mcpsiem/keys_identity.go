package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mcpsiem/mcpsiem/internal/audit"
	"github.com/mcpsiem/mcpsiem/internal/identity"
	"github.com/mcpsiem/mcpsiem/internal/keysource"
	"github.com/mcpsiem/mcpsiem/internal/state"
)

// rotateIdentity replaces the key of fingerprints. Running processes look at its file every second (identity.Keys).
func (k *keysTarget) rotateIdentity(c *cobra.Command) error {
	d := state.Dir(k.stateDir)
	file := d.Secret(state.SecretIdentityKey)
	err := keysource.Replace(file, func(string) error { return d.GenerateNext(state.SecretIdentityKey) }, func(path string) error {
		_, err := identity.LoadKey(path)
		return err
	})
	if err != nil {
		return err
	}
	k.record(c, audit.KeyRotate, state.SecretIdentityKey, nil)
	_, err = fmt.Fprintf(c.OutOrStdout(), `credentials have fingerprints under the new key in %[1]s from now on
Rules about new credentials may find some that are not. Who is enrolled or bound under the former key stays that while %[1]s%[2]s* is there;
enrol them anew (mcpsiem identity fingerprint), then remove it.
`, file, keysource.FormerMark)
	return err
}
