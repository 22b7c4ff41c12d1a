package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// This file reads flags: --name value, --name=value, and -name for --name; each also from MCPTAP_NAME. Reading ends at -- or
// at the first argument that is no flag.

var errHelp = errors.New("help")

// flagDef is one flag of a command.
type flagDef struct {
	name, arg, usage, def string // arg is empty for a switch
	hidden                bool
	set                   func(string) error
	given                 bool
}

// flags are a command's flags and where it writes to.
type flags struct {
	all            []*flagDef
	stdout, stderr io.Writer

	recording recordingFlags
	http      httpFlags
	wrap      wrapFlags
}

func newFlags(c *command) *flags {
	f := &flags{stdout: os.Stdout, stderr: os.Stderr}
	if c.flags != nil {
		c.flags(f)
	}
	return f
}

func (f *flags) add(name, arg, usage, def string, set func(string) error) *flagDef {
	d := &flagDef{name: name, arg: arg, usage: usage, def: def, set: set}
	f.all = append(f.all, d)
	return d
}

func (f *flags) str(p *string, name, arg, def, usage string) *flagDef {
	*p = def
	return f.add(name, arg, usage, def, func(s string) error { *p = s; return nil })
}

func (f *flags) toggle(p *bool, name, usage string) *flagDef {
	return f.add(name, "", usage, "", func(s string) error {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("true or false is expected")
		}
		*p = b
		return nil
	})
}

func (f *flags) list(p *[]string, name, arg, usage string) *flagDef {
	return f.add(name, arg, usage, "", func(s string) error { *p = append(*p, s); return nil })
}

func (f *flags) duration(p *time.Duration, name string, def time.Duration, usage string) *flagDef {
	*p = def
	return f.add(name, "DURATION", usage, def.String(), func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return errors.New("a duration such as 200ms or 2s is expected")
		}
		*p = d
		return nil
	})
}

func (f *flags) size(p *int64, name, def, usage string) *flagDef {
	*p, _ = parseSize(def)
	return f.add(name, "SIZE", usage, def, func(s string) error {
		n, err := parseSize(s)
		if err == nil {
			*p = n
		}
		return err
	})
}

var units = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"B", 1}, {"", 1}}

// parseSize reads a positive number of bytes with a unit: 512KiB, 8M, 1000.
func parseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n <= 0 || n > (1<<62)/u.factor {
			break
		}
		return n * u.factor, nil
	}
	return 0, errors.New("a size such as 512KiB or 8MiB is expected")
}

// parse reads args and the environment and returns the arguments behind the flags.
func (f *flags) parse(args []string) ([]string, error) {
	for len(args) > 0 {
		a := args[0]
		if a == "--" {
			args = args[1:]
			break
		}
		if len(a) < 2 || a[0] != '-' {
			break
		}
		args = args[1:]
		name, value, has := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), "=")
		if name == "help" || name == "h" {
			return nil, errHelp
		}
		d := f.find(name)
		if d == nil {
			return nil, usage("there is no flag --%s", name)
		}
		switch {
		case has:
		case d.arg == "":
			value = "true"
		case len(args) == 0:
			return nil, usage("--%s needs a value", name)
		default:
			value, args = args[0], args[1:]
		}
		d.given = true
		if err := d.set(value); err != nil {
			return nil, usage("--%s: %w", name, err)
		}
	}
	for _, d := range f.all {
		env := "MCPTAP_" + strings.ToUpper(strings.ReplaceAll(d.name, "-", "_"))
		v, ok := os.LookupEnv(env)
		if !ok || d.given || d.hidden {
			continue
		}
		d.given = true
		if err := d.set(v); err != nil { // no reason to keep a server from running
			fmt.Fprintf(f.stderr, "mcptap: %s is ignored: %v\n", env, err)
		}
	}
	return args, nil
}

func (f *flags) find(name string) *flagDef {
	for _, d := range f.all {
		if d.name == name {
			return d
		}
	}
	return nil
}
