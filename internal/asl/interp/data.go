package interp

import (
	"math/rand/v2"

	"github.com/rayorch/rayorch/internal/stepfn"
	"github.com/rayorch/rayorch/internal/value"
)

// data is a JSON value that is passed from state to state, as text, parsed, or both: each form is created when it is first
// needed. The value is immutable, so that states which pass it on share it.
type data struct {
	v      any
	parsed bool
	text   []byte
}

// textData returns the value of b, which must be valid JSON.
func textData(b []byte) *data { return &data{text: b} }

func valueData(v any) *data { return &data{v: v, parsed: true} }

// value returns the parsed value.
func (d *data) value() any {
	if !d.parsed {
		d.v, _ = value.Parse(d.text)
		d.parsed = true
	}
	return d.v
}

// bytes returns the JSON text.
func (d *data) bytes() []byte {
	if d.text == nil {
		d.text = value.Bytes(d.v)
	}
	return d.text
}

// tooBig reports whether the compact JSON exceeds 256 KiB, the limit of Step Functions. It does not write the JSON, because a
// value can contain the same part many times.
func (d *data) tooBig() bool {
	if d.text == nil {
		return value.Len(d.v, stepfn.MaxPayload) > stepfn.MaxPayload
	}
	return len(d.text) > stepfn.MaxPayload
}

// random returns a source of random numbers for one stage of a state's work, and one of its items. Each execution of a state
// and each attempt gets different numbers; a replay gets the same ones.
func (r *Run) random(f *frame, stage, index uint64) rand.Source {
	return sourceOf(r.params.Seed, stream(f, stage), index)
}

// stream identifies one stage of one execution of a state.
func stream(f *frame, stage uint64) uint64 {
	return mix(mix(mix(uint64(f.id))+uint64(f.entries)) + stage)
}

func sourceOf(seed, stream, index uint64) rand.Source {
	return &lazySource{seed: seed, stream: mix(stream + index)}
}

// mix spreads a number over all bits (the finalizer of splitmix64), so that the streams of neighbors are independent: two
// UUIDs of one execution must not be equal.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// lazySource seeds its generator at the first draw, because most evaluations need no random numbers.
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
