// Descriptions of settings: comments of struct fields, and tables of settings in READMEs.

package configdoc

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

// Comments finds descriptions in the source tree at root.
type Comments struct {
	root   string
	fields map[string]map[string]string // package path -> Type.Field -> comment
	tables map[string]map[string]string // folder -> key -> meaning
}

// NewComments reads from the source tree of the repository.
func NewComments(root string) *Comments {
	return &Comments{root: root, fields: map[string]map[string]string{}, tables: map[string]map[string]string{}}
}

// Describe fills in the descriptions of a component's settings.
func (c *Comments) Describe(comp *Component) {
	if comp.Own() {
		c.describe(comp.Fields, c.table(dirOf(comp.Package)), "")
	}
}

func dirOf(pkg string) string { return strings.TrimPrefix(pkg, module) }

func (c *Comments) describe(fields []Field, table map[string]string, prefix string) {
	for i := range fields {
		f := &fields[i]
		key := prefix + f.Key
		f.Doc = c.comment(f.owner, f.name, f.Key)
		if f.Doc == "" {
			f.Doc = table[key]
		}
		if f.Doc == "" && prefix == "" {
			f.Doc = table[f.Key]
		}
		if !f.Foreign {
			c.describe(f.Fields, table, key+".")
		}
	}
}

// comment is the field's comment; where it begins with the field's Go name, it begins with the key instead.
func (c *Comments) comment(t reflect.Type, name, key string) string {
	if t == nil || !strings.HasPrefix(t.PkgPath(), module) {
		return ""
	}
	pkg := t.PkgPath()
	if c.fields[pkg] == nil {
		c.fields[pkg] = c.parse(filepath.Join(c.root, dirOf(pkg)))
	}
	text := c.fields[pkg][t.Name()+"."+name]
	if rest, ok := strings.CutPrefix(text, name+" "); ok {
		text = "`" + key + "` " + rest
	}
	return text
}

// parse reads the comments of every struct in a folder.
func (c *Comments) parse(dir string) map[string]string {
	out := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return out
	}
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range st.Fields.List {
				text := f.Doc.Text()
				if text == "" {
					text = f.Comment.Text()
				}
				for _, n := range f.Names {
					out[spec.Name.Name+"."+n.Name] = strings.Join(strings.Fields(text), " ")
				}
			}
			return true
		})
	}
	return out
}

var (
	row    = regexp.MustCompile(`^\|\s*((?:` + "`[^`]+`" + `,?\s*)+)\|(.*)\|\s*$`)
	quoted = regexp.MustCompile("`([^`]+)`")
)

// table reads the settings of a README: rows whose first cell names keys in code, the last cell what they mean. In "`nats.url`, `.username`" the
// latter belongs to the former's section.
func (c *Comments) table(dir string) map[string]string {
	if t, ok := c.tables[dir]; ok {
		return t
	}
	out := map[string]string{}
	c.tables[dir] = out
	text, err := os.ReadFile(filepath.Join(c.root, dir, "README.md"))
	if err != nil {
		return out
	}
	for _, line := range strings.Split(string(text), "\n") {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		cells := strings.Split(m[2], "|")
		meaning := strings.TrimSpace(cells[len(cells)-1])
		section := ""
		for _, k := range quoted.FindAllStringSubmatch(m[1], -1) {
			key := k[1]
			if rest, ok := strings.CutPrefix(key, "."); ok {
				key = section + rest
			} else if i := strings.LastIndex(key, "."); i >= 0 {
				section = key[:i+1]
			}
			if _, ok := out[key]; !ok {
				out[key] = meaning
			}
		}
	}
	return out
}
