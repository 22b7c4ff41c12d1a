package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/inventory"
)

func names(rows []inventory.Candidate) (out []string) {
	for _, x := range rows {
		out = append(out, strings.TrimSuffix(x.Tenant+"/"+x.Server+"/"+x.Tool, "/"))
	}
	return out
}

func TestApprovable(t *testing.T) {
	all := []inventory.Candidate{
		{Tenant: "a", Server: "git", State: inventory.StateApproved},
		{Tenant: "a", Server: "git", Tool: "push", State: inventory.StateChanged},
		{Tenant: "a", Server: "git", Tool: "pull", State: inventory.StateApproved},
		{Tenant: "a", Server: "mail", State: inventory.StateNew},
		{Tenant: "a", Server: "mail", Tool: "send", State: inventory.StateNew},
		{Tenant: "a", Server: "mail", Tool: "read", State: inventory.StateNew},
		{Tenant: "b", Server: "mail", State: inventory.StateNew},
	}
	f := func(want string, args ...string) {
		t.Helper()
		if got := strings.Join(names(approvable(all, args)), " "); got != want {
			t.Errorf("%v: %s", args, got)
		}
	}
	f("a/git/push a/mail a/mail/send a/mail/read b/mail")
	f("a/git/push", "git")
	f("a/mail a/mail/read b/mail", "mail", "read")
	f("", "git", "pull")
	f("", "other")
	if err := missing(approvable(all, []string{"git", "pull"}), []string{"git", "pull"}, false); err == nil {
		t.Error("a tool that is approved already is no error")
	}
}

func TestRevocable(t *testing.T) {
	in := []inventory.Approval{{Tenant: "a", Server: "git"}, {Tenant: "a", Server: "git", Tool: "push", Definition: "1"}, {Tenant: "a", Server: "git", Tool: "push", Definition: "2"}, {Tenant: "a", Server: "mail"}}
	f := func(want string, all bool, args ...string) {
		t.Helper()
		if got := strings.Join(names(revocable(in, all, args)), " "); got != want {
			t.Errorf("%v: %s", args, got)
		}
	}
	f("a/git", false, "git")
	f("a/git/push", false, "git", "push")
	f("a/git a/mail", true)
	f("", false, "none")
}

func TestApprovalRecords(t *testing.T) {
	x := inventory.Candidate{Tenant: "a", Server: "git", Tool: "push", Definition: "abc"}
	r := x.Record("why")
	if r.Action != "server.approve" || r.Target != "git" || r.Server != "git" || r.Tool != "push" || r.Tenant != "a" || !reflect.DeepEqual(r.Details, map[string]string{"tool": "push", "definition_hash": "abc", "reason": "why"}) {
		t.Errorf("%+v", r)
	}
	if r := x.Revocation(""); r.Action != "server.revoke" || !reflect.DeepEqual(r.Details, map[string]string{"tool": "push"}) {
		t.Errorf("%+v", r)
	}
	if e := r.Event(); e.Server != "git" || e.Tool != "push" {
		t.Errorf("%+v", e)
	}
}

func TestApproveUsage(t *testing.T) {
	f := func(problem string, args ...string) {
		t.Helper()
		c := newRoot()
		c.SetArgs(append([]string{"approve", "--state=" + t.TempDir()}, args...))
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v: %v", args, err)
		}
	}
	f("cannot go together", "--all", "git")
	f("revoke what", "--revoke")
	f("--list takes", "--list", "a", "b")
	f("", "git")
}
