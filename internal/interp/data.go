package interp

import (
	"math/rand/v2"

	"github.com/rayorch/rayorch/internal/value"
)

// maxPayload is Step Functions' limit on what a state takes in or gives, in bytes of UTF-8.
const maxPayload = 262144

// data is a JSON value that is passed from state to state: as text, parsed, or both, each made when first asked for. It
// never changes, so that states which pass it on share it.
type data struct {
	v      any
	parsed bool
	text   []byte
}

// textData takes JSON that was checked before.
func textData(b []byte) *data { return &data{text: b} }

func valueData(v any) *data { return &data{v: v, parsed: true} }

// value is the parsed value; what is no JSON reads as null, because texts are checked where they come in.
func (d *data) value() any {
	if !d.parsed {
		d.v, _ = value.Parse(d.text)
		d.parsed = true
	}
	return d.v
}

func (d *data) bytes() []byte {
	if d.text == nil {
		d.text = value.Bytes(d.v)
	}
	return d.text
}

// tooBig counts bytes of the compact text, as Step Functions counts what it stores.
func (d *data) tooBig() bool { return len(d.bytes()) > maxPayload }

// lazySource seeds its generator at the first draw: most evaluations never draw.
type lazySource struct {
	seed, stream uint64
	pcg          *rand.PCG
}

func (s *lazySource) Uint64() uint64 {
	if s.pcg == nil {
		s.pcg = rand.NewPCG(s.seed, s.stream)
	}
	return s.pcg.Uint64()
}
