package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/mcpsiem/mcpsiem/internal/tap"
)

func rotateKeyCommand() *command {
	return &command{
		name: "rotate-key", short: "give the spool of this machine's taps another key, while they run",
		long: `Replaces STATE/tap/key. What is in the spool stays readable: the former key lies beside the new one until all that needs it
has been sent, and is removed then. Running taps go over to the new key with the next batch that they spool.

The new key is made, or is STATE/tap/key.next if you put one there: 64 hex digits, or {"env": ...}, {"file": ...} or {"command": [...]}
that says where they are; mode 0600.`,
		example: `  mcptap rotate-key
`,
		flags: func(f *flags) {
			f.str(&f.recording.stateDir, "state-dir", "DIR", "", "STATE: folder with tap/key; without it $XDG_STATE_HOME/mcpsiem or ~/.local/state/mcpsiem")
		},
		run: func(f *flags, args []string) error {
			if len(args) > 0 {
				return usage("it takes no argument")
			}
			state := f.recording.state()
			if state == "" {
				return errors.New("cannot find the state folder, use --state-dir")
			}
			key := filepath.Join(state, "tap", "key")
			if err := tap.RotateSpoolKey(key); err != nil {
				return err
			}
			fmt.Fprintf(f.stdout, "what is spooled from now on is encrypted with the new key in %s\n", key)
			return nil
		},
	}
}
