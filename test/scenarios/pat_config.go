package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// patInConfig: a client's configuration file holds a personal access token in plain text, as installation guides tell people to write it.
var patInConfig = &Scenario{
	Name:    "pat-in-config",
	Title:   "a personal access token in an mcpServers file",
	Source:  "OWASP MCP01:2025; 5,200 servers, 53 % with static keys, Astrix, 2025",
	Traffic: "live, mcptap wrap and stdio, Go client",
	Incident: func(ctx context.Context, s *Stage) error {
		return configured(ctx, s, "code-host", map[string]string{"GITHUB_PERSONAL_ACCESS_TOKEN": pat(1)})
	},
	Twin: func(ctx context.Context, s *Stage) error {
		return configured(ctx, s, "code-desk", map[string]string{"CODE_HOST_URL": "https://code.example", "LOG_LEVEL": "info"})
	},
	Want: []Want{{Rule: "token_hygiene", Principal: me, Server: "code-host", Says: "configuration file"}},
}

// pat is a GitHub token of the right shape and checksum that opens nothing.
func pat(seed int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body := strings.Repeat(fmt.Sprintf("q%dT7z%d", seed%10, (seed+3)%10), 5)
	sum, check := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		check = string(digits[sum%62]) + check
		sum /= 62
	}
	return "ghp_" + body + check
}

// configured writes a configuration, has mcptap wrap it, and starts the server as a client would.
func configured(ctx context.Context, s *Stage, name string, env map[string]string) error {
	command, err := s.Stdio(&Server{Name: name, Tools: []Tool{{Name: "list_branches", Description: "Lists branches.", Answer: "main, next"}}})
	if err != nil {
		return err
	}
	own := command[len(command)-3:] // without the tap
	type entry struct {
		Command string            `json:"command"`
		Args    []string          `json:"args"`
		Env     map[string]string `json:"env"`
	}
	var conf struct {
		Servers map[string]entry `json:"mcpServers"`
	}
	conf.Servers = map[string]entry{name: {own[0], own[1:], env}}
	file := filepath.Join(s.dir, "mcp.json")
	b, err := json.Marshal(conf)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	tap := filepath.Join(s.h.bin, "mcptap")
	wrap := exec.CommandContext(ctx, tap, "wrap", "--endpoint", s.h.endpoint, "--token-file", filepath.Join(s.h.state, "secrets", "otlp.token"), "--tenant", s.Tenant,
		"--state-dir", filepath.Join(s.h.dir, "tap"), "--tap", tap, file)
	if out, err := wrap.CombinedOutput(); err != nil {
		return fmt.Errorf("mcptap wrap failed: %w: %s", err, bytes.TrimSpace(out))
	}
	if b, err = os.ReadFile(file); err != nil {
		return err
	}
	if err := json.Unmarshal(b, &conf); err != nil {
		return fmt.Errorf("cannot read the wrapped configuration: %w", err)
	}
	e := conf.Servers[name]
	var environ []string
	for k, v := range e.Env {
		environ = append(environ, k+"="+v)
	}
	cs, err := s.Start(ctx, append([]string{e.Command}, e.Args...), "editor", environ...)
	if err != nil {
		return err
	}
	return Do(ctx, cs, list, call("list_branches"))
}
