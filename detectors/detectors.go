// Package detectors lists the detectors of mcpsiem.
//
// To add one, copy a folder of this one: credentialleak is the smallest without memory, capturegap the smallest with a state
// and timers. Write its fixtures first (detecttest/README.md), name it in All, and run `go generate ./detectors` for its page
// in docs/detectors.
package detectors

import (
	"github.com/mcpsiem/mcpsiem/detectors/anonymousaccess"
	"github.com/mcpsiem/mcpsiem/detectors/approval"
	"github.com/mcpsiem/mcpsiem/detectors/archive"
	"github.com/mcpsiem/mcpsiem/detectors/blastradius"
	"github.com/mcpsiem/mcpsiem/detectors/budget"
	"github.com/mcpsiem/mcpsiem/detectors/bypass"
	"github.com/mcpsiem/mcpsiem/detectors/capturegap"
	"github.com/mcpsiem/mcpsiem/detectors/captureloss"
	"github.com/mcpsiem/mcpsiem/detectors/channel"
	"github.com/mcpsiem/mcpsiem/detectors/climb"
	"github.com/mcpsiem/mcpsiem/detectors/clockjump"
	"github.com/mcpsiem/mcpsiem/detectors/contenttaint"
	"github.com/mcpsiem/mcpsiem/detectors/costspike"
	"github.com/mcpsiem/mcpsiem/detectors/credentialleak"
	"github.com/mcpsiem/mcpsiem/detectors/credentialsharing"
	"github.com/mcpsiem/mcpsiem/detectors/crosstenant"
	"github.com/mcpsiem/mcpsiem/detectors/definitionbloat"
	"github.com/mcpsiem/mcpsiem/detectors/destructive"
	"github.com/mcpsiem/mcpsiem/detectors/endpoint"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/detectors/enumeration"
	"github.com/mcpsiem/mcpsiem/detectors/execution"
	"github.com/mcpsiem/mcpsiem/detectors/injection"
	"github.com/mcpsiem/mcpsiem/detectors/lookalike"
	"github.com/mcpsiem/mcpsiem/detectors/newdestination"
	"github.com/mcpsiem/mcpsiem/detectors/offhours"
	"github.com/mcpsiem/mcpsiem/detectors/passthrough"
	"github.com/mcpsiem/mcpsiem/detectors/protocolanomaly"
	"github.com/mcpsiem/mcpsiem/detectors/ratelimit"
	"github.com/mcpsiem/mcpsiem/detectors/residency"
	"github.com/mcpsiem/mcpsiem/detectors/revokeduse"
	"github.com/mcpsiem/mcpsiem/detectors/runaway"
	"github.com/mcpsiem/mcpsiem/detectors/scopegrowth"
	"github.com/mcpsiem/mcpsiem/detectors/serveridentity"
	"github.com/mcpsiem/mcpsiem/detectors/shadowing"
	"github.com/mcpsiem/mcpsiem/detectors/silence"
	"github.com/mcpsiem/mcpsiem/detectors/slowdrip"
	"github.com/mcpsiem/mcpsiem/detectors/steered"
	"github.com/mcpsiem/mcpsiem/detectors/tokenhygiene"
	"github.com/mcpsiem/mcpsiem/detectors/tokenstuffing"
	"github.com/mcpsiem/mcpsiem/detectors/tooldrift"
	"github.com/mcpsiem/mcpsiem/detectors/toolloop"
	"github.com/mcpsiem/mcpsiem/detectors/toxicflow"
	"github.com/mcpsiem/mcpsiem/detectors/transition"
	"github.com/mcpsiem/mcpsiem/detectors/volume"
)

//go:generate go test . -run TestDocs -update

// All is every detector, in the order of the documentation.
var All = []engine.Definition{
	credentialleak.Definition,
	injection.Definition,
	execution.Definition,
	toxicflow.Definition,
	steered.Definition,
	contenttaint.Definition,
	channel.Definition,
	newdestination.Definition,
	slowdrip.Definition,
	volume.Definition,
	archive.Definition,
	transition.Definition,
	toolloop.Definition,
	destructive.Definition,
	climb.Definition,
	offhours.Definition,
	tooldrift.Definition,
	approval.Definition,
	lookalike.Definition,
	shadowing.Definition,
	serveridentity.Definition,
	endpoint.Definition,
	tokenhygiene.Definition,
	credentialsharing.Definition,
	scopegrowth.Definition,
	anonymousaccess.Definition,
	revokeduse.Definition,
	passthrough.Definition,
	blastradius.Definition,
	crosstenant.Definition,
	residency.Definition,
	enumeration.Definition,
	protocolanomaly.Definition,
	captureloss.Definition,
	capturegap.Definition,
	silence.Definition,
	bypass.Definition,
	clockjump.Definition,
	budget.Definition,
	ratelimit.Definition,
	costspike.Definition,
	runaway.Definition,
	tokenstuffing.Definition,
	definitionbloat.Definition,
}
