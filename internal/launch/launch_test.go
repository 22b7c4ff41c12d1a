package launch

import (
	"strings"
	"testing"
)

func TestPackage(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		if got := Package(strings.Fields(line)); got != want {
			t.Errorf("%s: %q", line, got)
		}
	}
	f("", "")
	f("npx -y @modelcontextprotocol/server-filesystem /home/ann/secret", "npm:@modelcontextprotocol/server-filesystem")
	f("/usr/local/bin/npx some-mcp@1.2.3 --token abc", "npm:some-mcp@1.2.3")
	f(`C:\nodejs\npx.cmd -y a-mcp@latest`, "npm:a-mcp@latest")
	f("cmd /c npx -y a-mcp", "npm:a-mcp")
	f("npx --package=@a/b -c run", "npm:@a/b")
	f("npx -p a-b tool", "npm:a-b")
	f("npx ./local", "")
	f("npx github:user/repo", "")
	f("npx user/repo", "")
	f("npx https://x.example/a?token=1", "")
	f("npm exec a-mcp", "npm:a-mcp")
	f("npm install a-mcp", "")
	f("pnpm dlx @a/b@^2", "npm:@a/b@^2")
	f("uvx --from mcp-x[cli]==1.0 tool", "pypi:mcp-x[cli]==1.0")
	f("uvx --python 3.12 mcp-server-time --local-timezone=x", "pypi:mcp-server-time")
	f("uvx --from git+https://x/y tool", "")
	f("uv run server.py", "")
	f("uv tool run mcp-x", "pypi:mcp-x")
	f("pipx run mcp-x", "pypi:mcp-x")
	f("docker run -i --rm -e TOKEN=abc --mount type=bind,src=/a,dst=/b ghcr.io/a/b:1.2 stdio", "oci:ghcr.io/a/b:1.2")
	f("docker compose up", "")
	f("node /srv/server.js", "")
	f("python -m server", "")
	f("npx "+strings.Repeat("a", 200), "")
}

func TestName(t *testing.T) {
	f := func(pkg, registry, name string) {
		t.Helper()
		if r, n := Name(pkg); r != registry || n != name {
			t.Errorf("%s: %s %s", pkg, r, n)
		}
	}
	f("npm:@A/b@1.2", "npm", "@a/b")
	f("npm:b", "npm", "b")
	f("pypi:X[cli]>=1", "pypi", "x")
	f("oci:localhost:5000/a:1@sha256:ab", "oci", "localhost:5000/a")
	f("a", "", "")
	f("", "", "")
}

func FuzzPackage(f *testing.F) {
	f.Add("npx\x00-y\x00@a/b@1")
	f.Add("docker\x00run\x00-e\x00A=b\x00x:y")
	f.Fuzz(func(t *testing.T, line string) {
		pkg := Package(strings.Split(line, "\x00"))
		if len(pkg) > maxName+5 || strings.ContainsAny(pkg, " \n\"'$;") {
			t.Errorf("%q", pkg)
		}
		Name(pkg)
		Name(line)
	})
}
