package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
)

// Scenario is an incident as it was reported or is known to happen, and its harmless twin: much the same work without the attack.
type Scenario struct {
	// Name is short, of lower-case words with hyphens; the incident's tenant is called that, the twin's has "-twin" behind it.
	Name string
	// Title says what happens, in one line.
	Title string
	// Source is where it comes from.
	Source string
	// Traffic says how it reaches mcpsiem: live, or replayed with the times of other days.
	Traffic string
	// People are principals of the directory; those who present a token prove who they are.
	People []Person
	// Budgets are rows of the budgets or limits file, YAML.
	Budgets, Limits []string
	// Servers are rows of identity's `servers`, YAML.
	Servers []string
	// Quick scenarios are those that the Go test runs.
	Quick bool
	// Incident and Twin drive the traffic. Each gets a stage of its own.
	Incident, Twin func(context.Context, *Stage) error
	// Want are the findings that the incident must end in, every one.
	Want []Want
	// Gap says why the incident is not found, where that is known; it is reported as not detected all the same.
	Gap string
}

// Want describes a finding: of this rule, at this severity or worse, medium if it is empty, naming these.
type Want struct {
	Rule, Severity          string
	Principal, Server, Tool string
	// Says are words that the summary or the values must hold.
	Says string
}

// me is the principal of stdio servers: who runs them, on which machine.
var me = func() string {
	name := "?"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return name + "@" + host
}()

func (w Want) String() string {
	s := w.Rule
	for _, p := range [][2]string{{"severity", w.Severity}, {"principal", w.Principal}, {"server", w.Server}, {"tool", w.Tool}, {"says", w.Says}} {
		if p[1] != "" {
			s += " " + p[0] + "=" + p[1]
		}
	}
	return s
}

// severities from harmless to worst.
var severities = []string{"informational", "low", "medium", "high", "critical"}

// alert is the severity from which on somebody is told.
const alert = "medium"

func rank(severity string) int { return slices.Index(severities, severity) }

// scenarios is the list. To add one, copy a neighbour's file and add its name here.
var scenarios = []*Scenario{
	weatherCurl,
	salesReport,
	verifyUser,
	githubIssue,
	patInConfig,
	patInTraffic,
	oauthDiscovery,
	asanaCache,
	sharedConnection,
	supabaseTicket,
	maliciousUpdate,
	lookalikeNames,
	boundEverywhere,
	dropTable,
	readOnlyFiles,
	tools91,
	tools256,
	keyInURL,
	shellMetachars,
	inspectorRCE,
	tokenForever,
	ownerLeft,
	fortyHosts,
	tokenPassthrough,
	runawayLoop,
	nightBill,
	rateLimit,
	fiveVersions,
	slowDrip,
	quietRecipient,
	promptArgument,
	kontoloeschung,
	recordByRecord,
	formPhishing,
	twoServers,
}

func find(name string) (*Scenario, error) {
	for _, s := range scenarios {
		if s.Name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("there is no scenario %s", name)
}
