package decode

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/mcp"
)

// describe fills in what the message itself says. Where the source says otherwise the message wins, and the event says so.
func describe(e *event.Event, m *mcp.Message) {
	said := event.Fields{Kind: e.Kind, Method: e.Method, RequestID: e.RequestID, Tool: e.Tool}
	e.Kind = m.Kind.String()
	e.Name = nameOf(e.Kind)
	e.Anomalies = m.Anomalies.AppendNames(e.Anomalies)
	if e.BodySize == 0 {
		e.BodySize = int64(len(e.Body))
	}
	if e.BodySHA256 == "" {
		sum := sha256.Sum256([]byte(e.Body))
		e.BodySHA256 = hex.EncodeToString(sum[:])
	}
	if e.Capture == "" {
		e.Capture = event.CaptureComplete
	}
	if m.Kind == mcp.KindInvalid {
		return
	}
	mismatch := said.Kind != "" && said.Kind != e.Kind
	if m.ID.Present() {
		mismatch = mismatch || (said.RequestID != "" && said.RequestID != m.ID.Text)
		e.RequestID, e.RequestIDType = m.ID.Text, m.ID.Type.String()
	}
	if m.Kind == mcp.KindRequest || m.Kind == mcp.KindNotification {
		mismatch = mismatch || (said.Method != "" && said.Method != m.Method)
		e.Method = m.Method
		if t := m.Tool(); t != "" {
			mismatch = mismatch || (said.Tool != "" && said.Tool != t)
			e.Tool = t
		}
		if s := m.Prompt(); s != "" {
			e.Prompt = s
		}
		if s := m.ResourceURI(); s != "" {
			e.ResourceURI = s
		}
		if e.Direction == "" {
			e.Direction = directionOf(m.Method)
		}
		if t, ok := m.TraceContext(); ok && e.TraceID.IsEmpty() {
			e.TraceID, e.SpanID = pcommon.TraceID(t.TraceID), pcommon.SpanID(t.SpanID)
		}
		if v := m.MetaProtocolVersion(); v != "" {
			e.ProtocolVersion, e.Era = v, mcp.EraModern
		} else if v := m.ProtocolVersion(); m.Method == mcp.Initialize {
			if e.ProtocolVersion == "" {
				e.ProtocolVersion = v
			}
			e.Era = mcp.EraLegacy
		}
		if c, ok := m.ClientInfo(); ok {
			e.ClientName, e.ClientVersion = c.Name, c.Version
		}
	} else {
		outcome(e, m)
		if s, ok := m.ServerInfo(); ok {
			e.ServerClaimedName, e.ServerClaimedVersion = s.Name, s.Version
		}
		if v := m.Model(); v != "" && e.Model == "" {
			e.Model = v
		}
	}
	if t, ok := m.Task(); ok {
		e.TaskID = mcp.Hash("task", t.ID)
	}
	if e.Era == "" {
		e.Era = mcp.Era(e.ProtocolVersion)
	}
	if mismatch {
		e.Anomalies = append(e.Anomalies, anomalyEnvelope)
	}
}

// outcome is how the exchange ended, as its answer says.
func outcome(e *event.Event, m *mcp.Message) {
	switch {
	case m.Kind == mcp.KindError:
		e.Outcome, e.RPCCode = event.OutcomeRPCError, m.ErrorCode()
		if e.RPCCode != "" {
			e.ErrorType = e.RPCCode
		}
	case m.IsError():
		e.Outcome, e.ErrorType = event.OutcomeToolError, event.OutcomeToolError
	case m.ResultType() == "input_required":
		e.Outcome = event.OutcomeInputRequired
	case e.Outcome == "":
		e.Outcome = event.OutcomeOK
	}
}

// fromServer are the methods that servers send; whatever is not among them is taken for a client's.
var fromServer = []string{
	mcp.SamplingCreateMessage, mcp.RootsList, mcp.ElicitationCreate, mcp.NotificationMessage, mcp.NotificationToolsListChanged,
	mcp.NotificationPromptsListChanged, mcp.NotificationResourcesListChanged, mcp.NotificationResourcesUpdated,
	mcp.NotificationElicitationComplete, mcp.NotificationSubscriptionsAcknowledged, mcp.NotificationProgress,
	mcp.NotificationTasksStatus, mcp.NotificationTasks,
}

func directionOf(method string) string {
	if slices.Contains(fromServer, method) {
		return event.ServerToClient
	}
	return event.ClientToServer
}

func opposite(direction string) string {
	if direction == event.ServerToClient {
		return event.ClientToServer
	}
	return event.ServerToClient
}

// transportOf guesses the transport from OpenTelemetry's network attributes.
func transportOf(e *event.Event) string {
	switch {
	case e.Transport != "":
		return e.Transport
	case e.NetworkTransport == "pipe":
		return event.TransportStdio
	case strings.EqualFold(e.NetworkProtocol, "http"):
		return event.TransportHTTP
	}
	return "unknown"
}
