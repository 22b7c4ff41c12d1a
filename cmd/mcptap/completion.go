package main

import (
	"fmt"
	"io"
	"strings"
)

func completionCommand() *command {
	return &command{
		name: "completion", args: "bash|zsh|fish", short: "print a shell's completion script",
		long: "Prints a script that completes mcptap's commands and flags.",
		example: `  mcptap completion bash > ~/.local/share/bash-completion/completions/mcptap
  mcptap completion zsh > "${fpath[1]}/_mcptap"
  mcptap completion fish > ~/.config/fish/completions/mcptap.fish
`,
		run: func(f *flags, args []string) error {
			if len(args) == 1 {
				if write := map[string]func(io.Writer){"bash": bash, "zsh": zsh, "fish": fish}[args[0]]; write != nil {
					write(f.stdout)
					return nil
				}
			}
			return usage("which shell? bash, zsh or fish")
		},
	}
}

func names(cs []*command) string {
	var s []string
	for _, c := range cs {
		s = append(s, c.name)
	}
	return strings.Join(s, " ")
}

func visible(c *command) (fs []*flagDef) {
	for _, d := range newFlags(c).all {
		if !d.hidden {
			fs = append(fs, d)
		}
	}
	return fs
}

func bash(w io.Writer) {
	fmt.Fprintf(w, `# bash completion for mcptap
_mcptap() {
    local cur=${COMP_WORDS[COMP_CWORD]} i flags
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then
            COMPREPLY=($(compgen -c -f -- "$cur"))
            return
        fi
    done
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "%s help" -- "$cur"))
        return
    fi
    case ${COMP_WORDS[1]} in
`, names(commands()))
	for _, c := range commands() {
		var fs []string
		for _, d := range visible(c) {
			fs = append(fs, "--"+d.name)
		}
		switch c.name {
		case "completion":
			fs = []string{"bash", "zsh", "fish"}
		}
		fmt.Fprintf(w, "    %s) flags=\"%s\" ;;\n", c.name, strings.Join(append(fs, "--help"), " "))
	}
	fmt.Fprintf(w, `    help) flags="%s" ;;
    esac
    if [[ $cur == -* || ${COMP_WORDS[1]} == completion || ${COMP_WORDS[1]} == help ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    else
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
}
complete -o filenames -F _mcptap mcptap
`, names(commands()))
}

// single quotes s for zsh's _arguments and for fish.
func single(s string) string {
	return strings.NewReplacer("'", "’", "[", "(", "]", ")", ":", ",", "$", "").Replace(s)
}

func zsh(w io.Writer) {
	fmt.Fprint(w, "#compdef mcptap\n_mcptap() {\n    local -a commands\n    commands=(\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "        '%s:%s'\n", c.name, single(c.short))
	}
	fmt.Fprint(w, "        'help:explain a command'\n    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n    case $words[2] in\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "    %s)\n        _arguments -S \\\n", c.name)
		for _, d := range visible(c) {
			value := ""
			if d.arg != "" {
				value = ":" + d.arg + ":"
				if d.arg == "FILE" || d.arg == "DIR" {
					value += "_files"
				}
			}
			fmt.Fprintf(w, "            '*--%s[%s]%s' \\\n", d.name, single(d.usage), value)
		}
		rest := "'*:file:_files'"
		if c.name == "completion" {
			rest = "'*:shell:(bash zsh fish)'"
		}
		fmt.Fprintf(w, "            %s ;;\n", rest)
	}
	fmt.Fprint(w, "    help) _describe command commands ;;\n    esac\n}\nif [ \"$funcstack[1]\" = \"_mcptap\" ]; then _mcptap; else compdef _mcptap mcptap; fi\n")
}

func fish(w io.Writer) {
	fmt.Fprint(w, "# fish completion for mcptap\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "complete -c mcptap -n __fish_use_subcommand -f -a %s -d '%s'\n", c.name, single(c.short))
	}
	fmt.Fprint(w, "complete -c mcptap -n __fish_use_subcommand -f -a help -d 'explain a command'\n")
	for _, c := range commands() {
		for _, d := range visible(c) {
			value := ""
			switch {
			case d.arg == "FILE" || d.arg == "DIR":
				value = " -r"
			case d.arg != "":
				value = " -x"
			}
			fmt.Fprintf(w, "complete -c mcptap -n '__fish_seen_subcommand_from %s' -l %s%s -d '%s'\n", c.name, d.name, value, single(d.usage))
		}
	}
	fmt.Fprintf(w, "complete -c mcptap -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'\ncomplete -c mcptap -n '__fish_seen_subcommand_from help' -f -a '%s'\n", names(commands()))
}
