// Package deploy tests what is under deploy/ with the tools that read it: Compose's and Helm's own loaders, the NATS server, the types of the
// Kubernetes API, systemd-analyze. It is a module of its own, since none of these belongs into mcpsiem.
package deploy
