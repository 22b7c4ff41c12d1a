package lookalike

import "testing"

func catalogue(t testing.TB) *Catalogue {
	c, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPackage(t *testing.T) {
	c := catalogue(t)
	f := func(pkg, how, like string) {
		t.Helper()
		if v := c.Package(pkg); v.How != how || v.Like != like {
			t.Errorf("%s: %+v", pkg, v)
		}
	}
	f("npm:@modelcontextprotocol/server-filesystem", "", "")
	f("npm:@modelcontextprotocol/server-anything@1.0", "", "")
	f("npm:@modelcontextprotocl/server-filesystem", Scope, "@modelcontextprotocol")
	f("npm:@m0delcontextprotocol/server-filesystem", Confusable, "@modelcontextprotocol")
	f("npm:modelcontextprotocol-server-memory", Unscoped, "@modelcontextprotocol/server-memory")
	f("npm:@someone/server-filesystem", OtherScope, "@modelcontextprotocol/server-filesystem")
	f("npm:@someone/mcp", "", "")
	f("npm:@offical/mcp-slack", Official, "@offical")
	f("npm:firecrawl-mcp", "", "")
	f("npm:firecrwal-mcp", Typo, "firecrawl-mcp")
	f("npm:firecrawl-mcp-official", Official, "firecrawl-mcp")
	f("npm:mcp-github-sever", Typo, "server")
	f("npm:my-own-tool-mcp", "", "")
	f("npm:mcp-remote@0.1.15", Vulnerable, "npm:mcp-remote")
	f("npm:mcp-remote@0.1.16", "", "")
	f("npm:mcp-remote@latest", "", "")
	f("npm:mcp-remotes", "", "")
	f("npm:postmark-mcp@1.0.16", Malicious, "npm:postmark-mcp")
	f("npm:postmark-mcp@1.0.12", "", "")
	f("pypi:mcp-server-fetch", "", "")
	f("pypi:mcp-sever-fetch", Typo, "mcp-server-fetch")
	f("pypi:mcp-server-gti", Typo, "mcp-server-git")
	f("pypi:mcp", "", "")
	f("pypi:mpc", "", "")
	f("oci:ghcr.io/gihtub/github-mcp-server:1", Typo, "ghcr.io/github/github-mcp-server")
	f("", "", "")
}

func TestServer(t *testing.T) {
	c := catalogue(t)
	f := func(name, how, like string) {
		t.Helper()
		if v := c.Server(name); v.How != how || v.Like != like {
			t.Errorf("%s: %+v", name, v)
		}
	}
	f("github", "", "")
	f("github-mcp-server", "", "")
	f("GitHub", "", "")
	f("gihtub", Typo, "github")
	f("mcp-github-sever", Typo, "server")
	f("githu6-mcp", Confusable, "github")
	f("gіthub", Confusable, "github")
	f("s1ack", Confusable, "slack")
	f("slackbot", "", "")
	f("black", "", "")
	f("my notes", "", "")
	f("observer-mcp", "", "")
	f("server", "", "")
	f("sever", "", "")
	f("postgre", "", "")
	f("mcp-sql", "", "")
}

func FuzzJudge(f *testing.F) {
	f.Add("npm:@a/b@1", "gіthub\xff")
	c := catalogue(f)
	f.Fuzz(func(t *testing.T, pkg, name string) {
		c.Package(pkg)
		c.Server(name)
	})
}
