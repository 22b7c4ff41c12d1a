package evidence

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/csv"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/chdb"
	"github.com/mcpsiem/mcpsiem/internal/seal"
	"github.com/mcpsiem/mcpsiem/internal/seal/sealtest"
	"github.com/mcpsiem/mcpsiem/internal/store/storetest"
	"github.com/mcpsiem/mcpsiem/schemas/compliance"
)

// Names that others chose become text in reports, never markup, formulas or PDF operators.
func TestHostileNames(t *testing.T) {
	hostile := []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</td></table><svg/onload=alert(1)>`, `{{.Manifest}}`, `=HYPERLINK("http://x","y")`, "\t=cmd|' /C calc'!A0", `+1+1`, `-2+3`, `@SUM(1)`, "a;=1+1", "x\n=1+1", "\uff1d1+1", ` =1+1`,
		`(text) Tj ET endstream endobj %%EOF`, `\) /JS (app.alert(1)) /S /JavaScript`, strings.Repeat("W", 5000), "\u202egnp.exe", "\x00\x1b[31m", "javascript:alert(1)"}
	dir := t.TempDir()
	sealtest.Clear(t, storetest.Open(t, chdb.UserAdmin))
	e := sealtest.Exporter(t)
	events := sealtest.Events("acme", 50, len(hostile))
	for i, h := range hostile {
		x := &events[i]
		x.Server, x.Tool, x.PrincipalID, x.ClientName, x.Outcome = h, h, h, h, h
		if i%2 == 0 {
			x.AuditAction, x.AuditTarget, x.AuditDetails = "rules.change", h, map[string]string{"change": "a;" + h}
		}
	}
	sealtest.Store(t, e, sealtest.Batch(1, events...))
	f := sealtest.Finding("acme", 1)
	f.Title, f.Severity, f.RuleID, f.Server = hostile[0], hostile[1], hostile[4], hostile[5]
	sealtest.Store(t, e, sealtest.FindingBatch(1, f))
	sealtest.Seal(t, dir, 1, 1)
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	o.ExportedBy = hostile[0] + hostile[12]
	export(t, o)
	if r := verify(t, o.Out, o.Key.VerifierKey("acme")); !r.OK || r.Events == 0 {
		t.Fatal(text(r))
	}
	files := contents(t, o.Out)
	html := string(files[fileHTML])
	if tags := regexp.MustCompile(`(?i)<\s*(script|img|svg|iframe|a|link|object|form)\b|javascript:\S*"`).FindAllString(html, -1); tags != nil || !strings.Contains(html, "&lt;script&gt;") {
		t.Errorf("report.html has %v", tags)
	}
	cell := regexp.MustCompile("(^|[;|\\t\\r\\n])[\\s\"]*[=+@\uff1d\uff0b\uff0d\uff20-]")
	seen := 0
	for name, b := range files {
		if !strings.HasSuffix(name, ".csv") {
			continue
		}
		rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, row := range rows {
			for _, c := range row {
				if strings.Contains(c, "HYPERLINK") || strings.Contains(c, "SUM(1)") {
					seen++
				}
				if cell.MatchString(c) {
					t.Errorf("%s has a formula: %q", name, c)
				}
			}
		}
	}
	if seen < 8 {
		t.Errorf("hostile names are in %d cells only", seen)
	}
	pdf := files[filePDF]
	if bytes.Count(pdf, []byte("%%EOF")) != 1 || bytes.Contains(pdf, []byte("/JavaScript")) || !bytes.HasSuffix(bytes.TrimSpace(pdf), []byte("%%EOF")) {
		t.Error("report.pdf has what a name brought along")
	}
	// The same, with the page's content uncompressed: every text is a string that ends where it should.
	s := Summary{Manifest: Manifest{Tenant: hostile[13]}, Coverage: &seal.Coverage{}, Framework: &compliance.Framework{Title: hostile[14]}}
	for _, h := range hostile {
		s.ByServer = append(s.ByServer, Count{h, 1})
		s.Samples = append(s.Samples, Sample{h, h, h, h, h, h})
		s.Exceptions = append(s.Exceptions, Exception{1, h, h, h})
	}
	if b, err := reportPDF(&s); err != nil || len(b) < 1000 {
		t.Error(err)
	}
}

// What a ZIP can be made to do: none of it passes, and none costs more than the file is worth. All of it is signed by nobody; half of it again with the key.
func TestZipTricks(t *testing.T) {
	dir := sealed(t)
	o := options(t, dir, filepath.Join(t.TempDir(), "a.zip"))
	export(t, o)
	key := o.Key.VerifierKey("acme")
	whole, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name, file, detail string, make func(t *testing.T) string) {
		t.Run(name, func(t *testing.T) {
			r := verify(t, make(t), key)
			if r.OK || !slices.ContainsFunc(r.Problems, func(p Problem) bool { return strings.Contains(p.File, file) && strings.Contains(p.Detail, detail) }) {
				t.Errorf("%q in %q is not named: %.2000s", detail, file, text(r))
			}
		})
	}
	names := func(f map[string][]byte) (out []string) {
		for n := range f {
			out = append(out, n)
		}
		slices.Sort(out)
		return out
	}
	for _, evil := range []string{"../../etc/cron.d/x", "/etc/passwd", "log/../../x", `..\..\x`, "C:/x", "report.html\x00.exe", "REPORT.HTML", "events.ndjson ", "\u202efdp.troper"} {
		check("name "+fmt.Sprintf("%q", evil), "", "none that a bundle can have", func(t *testing.T) string { // by somebody with the key
			f := contents(t, o.Out)
			f[evil] = []byte("x")
			return rewrite(t, o.Out, f, names(f), o.Key, "")
		})
	}
	header := func(t *testing.T, edit func(z *zip.Writer)) string {
		path := filepath.Join(t.TempDir(), "x.zip")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z := zip.NewWriter(f)
		edit(z)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	check("a link for a file", fileManifest, "link", func(t *testing.T) string {
		return header(t, func(z *zip.Writer) {
			h := &zip.FileHeader{Name: fileManifest}
			h.SetMode(fs.ModeSymlink | 0o777)
			w, _ := z.CreateHeader(h)
			w.Write([]byte("/etc/passwd"))
		})
	})
	check("bomb", fileManifest, "larger", func(t *testing.T) string {
		return header(t, func(z *zip.Writer) {
			w, _ := z.CreateHeader(&zip.FileHeader{Name: fileManifest, Method: zip.Deflate})
			zeros := make([]byte, 1<<20)
			for range 100 {
				w.Write(zeros)
			}
		})
	})
	check("bomb that says it is small", fileManifest, "damaged", func(t *testing.T) string {
		return header(t, func(z *zip.Writer) {
			var b bytes.Buffer
			fw, _ := flate.NewWriter(&b, 9)
			zeros := make([]byte, 1<<20)
			for range 100 {
				fw.Write(zeros)
			}
			fw.Close()
			w, _ := z.CreateRaw(&zip.FileHeader{Name: fileManifest, Method: zip.Deflate, UncompressedSize64: 10, CompressedSize64: uint64(b.Len())})
			w.Write(b.Bytes())
		})
	})
	check("a million files", "", "list of files is longer", func(t *testing.T) string {
		return header(t, func(z *zip.Writer) {
			for i := range 100_000 {
				z.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i)})
			}
		})
	})
	check("a bundle in a bundle's comment", "", "", func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "x.zip")
		b := header(t, func(z *zip.Writer) {
			w, _ := z.Create(fileManifest)
			w.Write([]byte("{}"))
		})
		front, _ := os.ReadFile(b)
		if err := os.WriteFile(path, append(front, whole...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	})
	check("two ends", "", "", func(t *testing.T) string { // an end record inside the comment, which names another list of files
		b := bytes.Clone(whole)
		end := bytes.LastIndex(b, []byte("PK\x05\x06"))
		fake := bytes.Clone(b[end : end+22])
		binary.LittleEndian.PutUint16(fake[20:], 0)
		path := filepath.Join(t.TempDir(), "x.zip")
		os.WriteFile(path, append(b, fake...), 0o600)
		return path
	})
	check("local name unlike that of the list", "", "some byte", func(t *testing.T) string {
		b := bytes.Clone(whole)
		copy(b[30:], "evil")
		path := filepath.Join(t.TempDir(), "x.zip")
		os.WriteFile(path, b, 0o600)
		return path
	})
	for _, x := range []struct{ file, content string }{{fileSegments, "[" + strings.Repeat("{},", 2_100_000) + "{}]"}, {fileHistory, "[" + strings.Repeat("{},", 200_000) + "{}]"}, {fileAnchors, "[" + strings.Repeat("{},", 200_000) + "{}]"}} {
		check("long list in "+x.file, x.file, "cannot be read", func(t *testing.T) string {
			f := contents(t, o.Out)
			f[x.file] = []byte(x.content)
			return rewrite(t, o.Out, f, names(f), o.Key, "")
		})
	}
}
