// Package tapio is where the tap touches traffic: it stands between an MCP client and server, on stdio or HTTP, forwards
// first and hands copies to a tap.Stream afterwards. See README.md for what it promises.
package tapio
