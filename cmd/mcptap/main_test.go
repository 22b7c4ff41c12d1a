package main

// The test binary is also mcptap, and an MCP server made with the official SDK: MCPTAP_TEST_ROLE says which.

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	switch os.Getenv("MCPTAP_TEST_ROLE") {
	case "tap":
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	case "server":
		if err := newServer().Run(context.Background(), &mcp.StdioTransport{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

type echoArgs struct {
	Text string `json:"text"`
}

// newServer has a tool that echoes, asking the client for its roots and reporting progress where it can.
func newServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "echo", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "echo", Description: "echoes"}, func(ctx context.Context, r *mcp.CallToolRequest, a echoArgs) (*mcp.CallToolResult, any, error) {
		if a.Text == "fail" {
			return nil, nil, fmt.Errorf("failed as asked")
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: a.Text}}}, nil, nil
	})
	return s
}
