// How the program teaches its use: help that fits the terminal, and errors about the command line that say what it should have been.

package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

const exitCodes = "Exit codes: 0 ok, 1 failure, 2 usage or configuration, 3 already running, 4 not reachable, 5 a check failed."

// teach gives every command of the tree its help and its errors about arguments.
func teach(root *cobra.Command) {
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { writeHelp(c.OutOrStdout(), c, helpWidth()) })
	each(root, func(c *cobra.Command) {
		if c.HasSubCommands() && !c.Runnable() {
			group(c)
		} else if check := c.Args; check != nil {
			c.Args = func(c *cobra.Command, args []string) error { return argsError(c, args, check(c, args)) }
		}
	})
}

// isGroup marks commands that only hold others.
const isGroup = "group"

// group has a command that only holds others show its help, and refuse what it does not hold.
func group(c *cobra.Command) {
	c.Annotations = map[string]string{isGroup: ""}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		c.SuggestionsMinimumDistance = 2
		hint := ""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return withCode(exitUsage, fmt.Errorf("`%s` has no command %q%s (see `%s --help`)", c.CommandPath(), args[0], hint, c.CommandPath()))
	}
}

// each visits a command and all below it.
func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		each(sub, f)
	}
}

// argsError says how the command is used where Cobra says how many arguments it counted. What was given is not repeated: it may be a secret.
func argsError(c *cobra.Command, args []string, err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "unknown command") && c.HasSubCommands():
		return withCode(exitUsage, fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath()))
	case strings.HasPrefix(text, "unknown command"):
		return withCode(exitUsage, fmt.Errorf("`%s` takes no arguments, only flags (see `%s --help`)", c.CommandPath(), c.CommandPath()))
	case strings.HasPrefix(text, "accepts"), strings.HasPrefix(text, "requires"):
		return withCode(exitUsage, fmt.Errorf("%d arguments are given; use it as: %s (see `%s --help`)", len(args), useLine(c), c.CommandPath()))
	}
	return withCode(exitUsage, err)
}

func useLine(c *cobra.Command) string { return strings.TrimSuffix(c.UseLine(), " [flags]") }

// needed checks what Cobra checks only after a command has begun, so that it is an error of usage.
func needed(c *cobra.Command) error {
	var missing []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if r := f.Annotations[cobra.BashCompOneRequiredFlag]; len(r) > 0 && r[0] == "true" && !f.Changed {
			name, _ := metavar(f)
			missing = append(missing, strings.TrimSpace("--"+f.Name+" "+name))
		}
	})
	if len(missing) > 0 {
		return fmt.Errorf("%s must be given (see `%s --help`)", strings.Join(missing, ", "), c.CommandPath())
	}
	return c.ValidateFlagGroups()
}

// helpWidth is the terminal's, within what is good to read.
func helpWidth() int {
	width := 80
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		width = n
	} else if n, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		width = n
	}
	return min(max(width, 60), 120)
}

func writeHelp(w io.Writer, c *cobra.Command, width int) {
	text := c.Long
	if text == "" {
		text = c.Short
		if !strings.HasSuffix(text, ".") {
			text += "."
		}
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n", reflow(strings.TrimSpace(text), width))
	if _, only := c.Annotations[isGroup]; !only {
		fmt.Fprintf(w, "  %s\n", c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND\n", c.CommandPath())
	}
	if c.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", strings.TrimRight(c.Example, "\n"))
	}
	writeCommands(w, c, width)
	writeFlags(w, c.LocalFlags(), width)
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n%s\n", reflow(fmt.Sprintf("`%s COMMAND --help` tells more about a command.", c.CommandPath()), width))
	}
	if !strings.Contains(c.Long, exitCodes) {
		fmt.Fprintf(w, "\n%s\n", reflow(exitCodes, width))
	}
}

func writeCommands(w io.Writer, c *cobra.Command, width int) {
	longest := 0
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			longest = max(longest, len(sub.Name()))
		}
	}
	list := func(title, group string) {
		for _, sub := range c.Commands() {
			if sub.GroupID != group || !sub.IsAvailableCommand() && sub.Name() != "help" {
				continue
			}
			if title != "" {
				fmt.Fprintf(w, "\n%s:\n", title)
				title = ""
			}
			writeEntry(w, "  "+sub.Name(), longest+4, sub.Short, width)
		}
	}
	for _, g := range c.Groups() {
		list(g.Title, g.ID)
	}
	title := "Commands"
	if len(c.Groups()) > 0 {
		title = "Other"
	}
	list(title, "")
}

// reaching are the flags that many commands share: which installation it is about.
var reaching = []string{"state", "nats-url", "nats-user", "nats-password-file", "clickhouse", "clickhouse-http", "clickhouse-user", "clickhouse-password-file", "database"}

func writeFlags(w io.Writer, flags *pflag.FlagSet, width int) {
	type entry struct{ name, text string }
	var own, shared []entry
	longest := 0
	shares := flags.Lookup("nats-url") != nil || flags.Lookup("database") != nil
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		arg, text := metavar(f)
		if arg != "" {
			name += " " + arg
		}
		if d := f.DefValue; !slices.Contains([]string{"", "false", "0", "0s", "[]", "-1"}, d) && !strings.Contains(text, "default") {
			text += " (default " + shortPath(strings.Trim(d, "[]")) + ")"
		}
		if shares && slices.Contains(reaching, f.Name) {
			shared = append(shared, entry{name, text})
		} else {
			own = append(own, entry{name, text})
		}
		longest = max(longest, len(name))
	})
	for _, part := range []struct {
		title string
		list  []entry
	}{{"Flags", own}, {"Flags to speak to another installation than the one that runs here", shared}} {
		if len(part.list) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n", part.title)
		for _, e := range part.list {
			writeEntry(w, e.name, min(longest+2, 36), e.text, width)
		}
	}
}

// shortPath writes the home folder as people do, and a value that could be taken for a word in quotes.
func shortPath(v string) string {
	if home, err := os.UserHomeDir(); err == nil && strings.HasPrefix(v, home+"/") {
		return "~" + strings.TrimPrefix(v, home)
	}
	if v == "default" {
		return strconv.Quote(v)
	}
	return v
}

// writeEntry writes a name and, from a column on, what it is.
func writeEntry(w io.Writer, name string, column int, text string, width int) {
	lines := wrap(text, width-column)
	if len(name)+2 > column {
		fmt.Fprintln(w, name)
	} else {
		fmt.Fprintf(w, "%-*s%s\n", column, name, lines[0])
		lines = lines[1:]
	}
	for _, l := range lines {
		fmt.Fprintf(w, "%*s%s\n", column, "", l)
	}
}

// inline are words after which the name of a flag's argument is a part of the sentence. After others it only names the argument and is not repeated in the text.
var inline = regexp.MustCompile(`(?:^|\b(?:this|these|many|most|within|matching|back|after|each|analyst's|newest|the|to|from|your|before) )$`)

// metavar takes a flag's usage apart: the name of its argument, and what the flag is for.
func metavar(f *pflag.Flag) (name, text string) {
	before, rest, ok := strings.Cut(f.Usage, "`")
	arg, after, closed := strings.Cut(rest, "`")
	if !ok || !closed || strings.Contains(arg, "--help") || f.Value.Type() == "bool" {
		name, text = pflag.UnquoteUsage(f)
		return strings.ToUpper(name), text
	}
	switch {
	case before == "" && strings.HasPrefix(after, ": "):
		return arg, after[2:]
	case inline.MatchString(before):
		return arg, before + arg + after
	}
	return arg, strings.TrimRight(before, " ") + after
}

// reflow breaks lines anew. Indented lines, and those that are set in columns, stay as they are.
func reflow(text string, width int) string {
	var out, words []string
	end := func() {
		if len(words) > 0 {
			out = append(out, wrap(strings.Join(words, " "), width)...)
			words = nil
		}
	}
	for _, l := range strings.Split(text, "\n") {
		if l == "" || l[0] == ' ' || l[0] == '\t' || l[0] == '#' || strings.Contains(strings.TrimSpace(l), "   ") {
			end()
			out = append(out, l)
			continue
		}
		words = append(words, strings.TrimSpace(l))
	}
	end()
	return strings.Join(out, "\n")
}

// wrap breaks text into lines of at most width, at blanks, and gives at least one.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, w := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch n := utf8.RuneCountInString(*last); {
		case n == 0:
			*last = w
		case n+1+utf8.RuneCountInString(w) <= width:
			*last += " " + w
		default:
			lines = append(lines, w)
		}
	}
	return lines
}
