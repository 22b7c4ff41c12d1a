// docs/config.md.

package configdoc

import (
	"fmt"
	"strings"
)

const intro = "<!-- Made from the components by `go generate ./internal/configdoc`; change comments and READMEs there. -->\n" + `# Configuration

A configuration is one or more YAML files with extensions, receivers, processors, connectors, exporters and the pipelines that join them, as of any
OpenTelemetry Collector. ` + "`mcpsiem up`" + ` writes its own (config.yaml in the state folder) and lays yours over it; ` + "`mcpsiem run`" + ` takes those of
[deploy/config](../deploy/config/README.md), or yours. Later files are laid over earlier ones, key by key; a list is replaced as a whole.

    mcpsiem validate --config FILE           # names file and line of what is wrong; exit code 2

The same check runs before every start. It refuses unknown keys, and what would lose or leak data: a batch processor, an in-memory queue, a file receiver without retries, unredacted content on its way to a store.

## Values from elsewhere

| written | becomes |
|---|---|
| ` + "`${env:NAME}`" + ` | the environment variable NAME; empty where it is not set |
| ` + "`${env:NAME:-value}`" + ` | the same, with a default |
| ` + "`${file:/path}`" + ` | the content of a file, as YAML: a value, or a whole section |
| ` + "`${yaml:text}`" + ` | the text, as YAML |
| ` + "`$$`" + ` | one dollar sign |

Secrets are better named than written: ` + "`password_file`, `key_file`, `token: {file: ...}` and `token: {env: ...}`" + ` are read when they are needed, and a changed file counts without a restart where the component says so.
` + "`${file:...}`" + ` puts the content into the configuration itself. Durations are written 500ms, 10s, 5m, 24h.

## Editors

[schemas/config.schema.json](../schemas/config.schema.json) has every key. In an editor with the YAML language server, write as the first line:

    # yaml-language-server: $schema=https://raw.githubusercontent.com/mcpsiem/mcpsiem/main/schemas/config.schema.json

`

// upstream says where the Collector's own components are described.
const upstream = "https://pkg.go.dev/"

// Reference is docs/config.md.
func Reference(comps []Component) string {
	var b strings.Builder
	b.WriteString(intro)
	b.WriteString("## Components\n\n| | component | |\n|---|---|---|\n")
	for _, c := range comps {
		if c.Own() {
			fmt.Fprintf(&b, "| %s | [%s](#%s-%s) | [%s](../%s/README.md) |\n", c.Kind, c.Type, strings.TrimSuffix(c.Kind, "s"), anchor(c.Type), dirOf(c.Package), readmeDir(c.Package))
		} else {
			fmt.Fprintf(&b, "| %s | %s | the Collector's: [%s](%s%s) |\n", c.Kind, c.Type, c.Package[strings.LastIndex(c.Package, "/")+1:], upstream, c.Package)
		}
	}
	for _, c := range comps {
		if !c.Own() {
			continue
		}
		fmt.Fprintf(&b, "\n## %s %s\n\n```yaml\n%s:\n  %s:", strings.TrimSuffix(c.Kind, "s"), c.Type, c.Kind, c.Type)
		if len(c.Fields) == 0 {
			b.WriteString(" {}")
		}
		b.WriteString("\n")
		writeFields(&b, c.Fields, "    ")
		b.WriteString("```\n")
	}
	b.WriteString("\nSettings of single detectors, under `connectors: detect: detectors:`, are on [their pages](detectors/README.md).\n")
	return b.String()
}

// readmeDir is the folder with the component's README: that of the configuration's package.
func readmeDir(pkg string) string {
	if dir := dirOf(pkg); dir != "detectors/connector" {
		return dir
	}
	return "detectors/engine"
}

func anchor(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "-")) }

const width = 150

// writeFields writes settings as commented YAML. A setting without a default is commented out with its type.
func writeFields(b *strings.Builder, fields []Field, indent string) {
	for _, f := range fields {
		if f.Doc != "" {
			comment(b, indent, f.Doc)
		}
		switch {
		case f.Foreign && f.Type == "section":
			fmt.Fprintf(b, "%s# %s: {}  # section of the Collector's own settings\n", indent, f.Key)
		case f.Type == "section" && f.Optional:
			fmt.Fprintf(b, "%s# %s:\n", indent, f.Key)
			writeFields(b, f.Fields, indent+"#   ")
		case f.Type == "section":
			fmt.Fprintf(b, "%s%s:\n", indent, f.Key)
			writeFields(b, f.Fields, indent+"  ")
		case len(f.Fields) > 0 && f.Item == "section" && f.Default == "":
			of := "list of"
			if f.Type == "map" {
				of = "map of name to"
			}
			fmt.Fprintf(b, "%s# %s:  # %s\n", indent, f.Key, of)
			writeFields(b, f.Fields, indent+"#   ")
		case f.Default != "":
			fmt.Fprintf(b, "%s%s: %s\n", indent, f.Key, f.Default)
		default:
			typ := f.Type
			if f.Item != "" {
				typ += " of " + f.Item
			}
			fmt.Fprintf(b, "%s# %s:  # %s\n", indent, f.Key, typ)
		}
	}
}

func comment(b *strings.Builder, indent, text string) {
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && len(indent)+len(line)+len(w) > width {
			fmt.Fprintf(b, "%s# %s\n", indent, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	fmt.Fprintf(b, "%s# %s\n", indent, line)
}
