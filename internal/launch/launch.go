// Package launch names the package that a command line runs, and nothing else of the command line.
package launch

import (
	"path/filepath"
	"strings"
)

// maxName is the length of a package's name with its version, bytes.
const maxName = 128

// runner is a program that fetches a package by name and runs it.
type runner struct {
	registry string
	sub      []string // words that must follow: pnpm dlx
	from     []string // options whose value is the package
	values   string   // options that take a value, between blanks
}

var runners = map[string][]runner{
	"npx":    {{registry: "npm", from: []string{"-p", "--package"}, values: " -c --call --registry --userconfig --cache "}},
	"bunx":   {{registry: "npm", from: []string{"-p", "--package"}}},
	"pnpx":   {{registry: "npm", from: []string{"--package"}}},
	"npm":    {{registry: "npm", sub: []string{"exec"}, from: []string{"-p", "--package"}}, {registry: "npm", sub: []string{"x"}, from: []string{"-p", "--package"}}},
	"pnpm":   {{registry: "npm", sub: []string{"dlx"}, from: []string{"--package"}}},
	"yarn":   {{registry: "npm", sub: []string{"dlx"}, from: []string{"-p", "--package"}}},
	"bun":    {{registry: "npm", sub: []string{"x"}, from: []string{"-p", "--package"}}},
	"uvx":    {{registry: "pypi", from: []string{"--from"}, values: uvValues}},
	"uv":     {{registry: "pypi", sub: []string{"tool", "run"}, from: []string{"--from"}, values: uvValues}},
	"pipx":   {{registry: "pypi", sub: []string{"run"}, from: []string{"--spec"}, values: " --python --index-url -i --pip-args "}},
	"docker": {{registry: "oci", sub: []string{"run"}, values: dockerValues}},
	"podman": {{registry: "oci", sub: []string{"run"}, values: dockerValues}},
}

const (
	uvValues     = " --with --python -p --index --index-url --default-index --extra-index-url --cache-dir --with-requirements --env-file --directory --project "
	dockerValues = " -e --env --env-file -v --volume -p --publish --name --network --net --mount -w --workdir -u --user --entrypoint -l --label --platform --pull --add-host --cap-add --cap-drop --security-opt -m --memory --cpus --tmpfs --dns -h --hostname --gpus --ulimit --restart --log-driver --cidfile --ipc --pid --userns "
)

// Package is the package that the command line args (the program first) runs: its registry, a colon, and the name as it was given there.
func Package(args []string) string {
	if len(args) == 0 {
		return ""
	}
	program := strings.ToLower(filepath.Base(strings.ReplaceAll(args[0], `\`, "/")))
	for _, ext := range []string{".cmd", ".exe", ".ps1"} {
		program = strings.TrimSuffix(program, ext)
	}
	if program == "cmd" && len(args) > 2 && strings.EqualFold(args[1], "/c") { // how clients start npx on Windows
		return Package(args[2:])
	}
	for _, r := range runners[program] {
		if name := r.find(args[1:]); name != "" {
			return r.registry + ":" + name
		}
	}
	return ""
}

func (r *runner) find(args []string) string {
	for _, s := range r.sub {
		if len(args) == 0 || args[0] != s {
			return ""
		}
		args = args[1:]
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			continue
		}
		if !strings.HasPrefix(a, "-") {
			return r.named(a)
		}
		opt, value, given := strings.Cut(a, "=")
		for _, f := range r.from {
			if opt == f {
				if !given && i+1 < len(args) {
					value = args[i+1]
				}
				return r.named(value)
			}
		}
		if !given && strings.Contains(r.values, " "+opt+" ") {
			i++
		}
	}
	return ""
}

// named is the name if it has the shape of one in the registry.
func (r *runner) named(s string) string {
	if s == "" || len(s) > maxName {
		return ""
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		case c == '@' || c == '/':
		case (c == '~' || c == '^' || c == '+') && r.registry == "npm", c == ':' && r.registry == "oci":
		case (c == '=' || c == '[' || c == ']' || c == '<' || c == '>' || c == ',' || c == '~') && r.registry == "pypi":
		default:
			return ""
		}
	}
	if s[0] == '.' || s[0] == '/' || strings.Contains(s, "..") || strings.Contains(s, "//") {
		return ""
	}
	slash := strings.Count(s, "/")
	switch r.registry {
	case "npm":
		if slash > 1 || (slash == 1) != (s[0] == '@') || strings.Count(s, "@") > 2 || s[0] != '@' && strings.Count(s, "@") > 1 {
			return "" // a path, a repository
		}
	case "pypi":
		if slash > 0 || s[0] == '@' || strings.HasSuffix(s, ".py") || strings.HasSuffix(s, ".whl") {
			return ""
		}
	}
	return s
}

// Name is the package's name without its version, in lower case.
func Name(pkg string) (registry, name string) {
	registry, name, ok := strings.Cut(pkg, ":")
	if !ok {
		return "", ""
	}
	switch registry {
	case "npm":
		if i := strings.LastIndexByte(name, '@'); i > 0 {
			name = name[:i]
		}
	case "pypi":
		if i := strings.IndexAny(name, "=<>~[@"); i > 0 {
			name = name[:i]
		}
	case "oci":
		if i := strings.IndexByte(name, '@'); i > 0 {
			name = name[:i]
		}
		if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
			name = name[:i]
		}
	}
	return registry, strings.ToLower(name)
}
